// See head_digest.h.
#include "core/run/head_digest.h"

#include <algorithm>
#include <unordered_map>
#include <utility>

namespace headlight {

namespace {

/// What a query attends to of the keys that the detectors look at.
struct KeyWeights {
  double copied = 0, previous = 0, first = 0;
};

/// Means of weights(i) over the queries that have such a key.
template <class Weights>
DetectorScores scores_of(std::span<const int32_t> tokens, const Weights& weights) {
  DetectorScores s;
  const auto T = static_cast<int64_t>(tokens.size());
  const std::vector<int32_t> induction = induction_keys(tokens);
  KeyWeights sums;
  int64_t queries = 0;
  for (int64_t i = 0; i < T; ++i) {
    const KeyWeights row = weights(i);
    if (induction[static_cast<size_t>(i)] >= 0) {
      sums.copied += row.copied;
      ++queries;
    }
    if (i > 0) {
      sums.previous += row.previous;
      sums.first += row.first;
    }
  }
  if (queries > 0) s.induction = sums.copied / static_cast<double>(queries);
  if (T > 1) {
    s.previous = sums.previous / static_cast<double>(T - 1);
    s.first = sums.first / static_cast<double>(T - 1);
  }
  return s;
}

DetectorScores scores_of(std::span<const kernels::PatternRow> rows, std::span<const int32_t> tokens) {
  return scores_of(tokens, [&](int64_t i) -> KeyWeights {
    const kernels::PatternRow& row = rows[static_cast<size_t>(i)];
    return {static_cast<double>(row.copied), static_cast<double>(row.previous),
            static_cast<double>(row.first)};
  });
}

double leak_of(std::span<const kernels::PatternRow> rows) {
  double mass = 0;
  for (const kernels::PatternRow& row : rows) mass += row.future;
  return rows.empty() ? 0 : mass / static_cast<double>(rows.size());
}

/// `tokens`: of the sequence, or none.
std::vector<kernels::PatternRow> rows_of(const Plane& pattern, std::span<const int32_t> tokens) {
  const std::vector<int32_t> induction = induction_keys(tokens);
  std::vector<kernels::PatternRow> rows;
  rows.reserve(static_cast<size_t>(std::max<int64_t>(pattern.rows, 0)));
  for (int64_t i = 0; i < pattern.rows; ++i) {
    const auto at = static_cast<size_t>(i);
    rows.push_back(kernels::pattern_row(i, pattern.cols, at < induction.size() ? induction[at] : -1,
                                        [&](int64_t j) { return pattern.at(i, j); }));
  }
  return rows;
}

}  // namespace

std::vector<int32_t> induction_keys(std::span<const int32_t> tokens) {
  std::vector<int32_t> keys(tokens.size(), -1);
  std::unordered_map<int32_t, int32_t> last;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto here = static_cast<int32_t>(i);
    const auto [it, fresh] = last.try_emplace(tokens[i], here);
    if (!fresh) keys[i] = std::exchange(it->second, here) + 1;
  }
  return keys;
}

DetectorScores detector_scores(const Plane& pattern, std::span<const int32_t> tokens) {
  return scores_of(rows_of(pattern, tokens), tokens);
}

DetectorScores even_scores(std::span<const int32_t> tokens, bool causal) {
  const auto T = static_cast<double>(tokens.size());
  return scores_of(tokens, [&](int64_t i) -> KeyWeights {
    const double share = causal ? 1.0 / static_cast<double>(i + 1) : 1.0 / T;
    return {share, share, share};
  });
}

double future_mass(const Plane& pattern) { return leak_of(rows_of(pattern, {})); }

std::vector<float> row_entropy(const Plane& pattern) {
  std::vector<float> entropy;
  for (const kernels::PatternRow& row : rows_of(pattern, {})) entropy.push_back(row.entropy);
  return entropy;
}

std::vector<int32_t> strongest_keys(const Plane& pattern) {
  std::vector<int32_t> keys;
  for (const kernels::PatternRow& row : rows_of(pattern, {})) keys.push_back(row.strongest);
  return keys;
}

HeadPicture head_picture(const Plane& matrix) {
  HeadPicture picture;
  if (matrix.empty()) return picture;
  const kernels::PictureShape shape = kernels::picture_shape(matrix.rows, matrix.cols);
  picture.rows = shape.rows;
  picture.cols = shape.cols;
  std::vector<uint32_t> keys(static_cast<size_t>(shape.rows * shape.cols), 0);
  for (int64_t i = 0; i < matrix.rows; ++i) {
    uint32_t* cell = keys.data() + i / shape.square * shape.cols;
    for (int64_t first = 0; first < matrix.cols; first += shape.square, ++cell) {
      const int64_t last = std::min(first + shape.square, matrix.cols);
      for (int64_t j = first; j < last; ++j) *cell = std::max(*cell, kernels::strength(matrix.at(i, j)));
    }
  }
  picture.values.resize(keys.size());
  std::transform(keys.begin(), keys.end(), picture.values.begin(), kernels::of_strength);
  return picture;
}

PatternDigest pattern_digest(std::span<const kernels::PatternRow> rows, std::span<const int32_t> tokens) {
  PatternDigest digest;
  digest.scores = scores_of(rows, tokens);
  digest.leak = leak_of(rows);
  for (const kernels::PatternRow& row : rows) {
    digest.entropy.push_back(row.entropy);
    digest.strongest.push_back(row.strongest);
  }
  return digest;
}

HeadDigest digest_head(const Plane& matrix, std::span<const int32_t> tokens, bool is_pattern) {
  HeadDigest digest;
  digest.picture = head_picture(matrix);
  for (int64_t i = 0; i < matrix.rows; ++i) {
    for (int64_t j = 0; j < matrix.cols; ++j) {
      const float v = matrix.at(i, j);
      // False for NaN too.
      if (!(std::abs(v) < largest_score)) continue;
      digest.low = std::min(digest.low, v);
      digest.high = std::max(digest.high, v);
    }
  }
  if (is_pattern) digest.pattern = pattern_digest(rows_of(matrix, tokens), tokens);
  return digest;
}

}  // namespace headlight
