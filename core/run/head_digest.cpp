// See head_digest.h.
#include "core/run/head_digest.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <future>
#include <unordered_map>
#include <utility>

namespace headlight {

namespace {

/// Below this many cells a second thread costs more than it saves.
constexpr int64_t kCellsPerThread = 1 << 18;

/// For each query the key behind the previous occurrence of its token; −1 where there is none.
std::vector<int64_t> induction_keys(std::span<const int32_t> tokens) {
  std::vector<int64_t> keys(tokens.size(), -1);
  std::unordered_map<int32_t, int64_t> last;
  for (size_t i = 0; i < tokens.size(); ++i) {
    const auto [it, fresh] = last.try_emplace(tokens[i], static_cast<int64_t>(i));
    if (!fresh) keys[i] = std::exchange(it->second, static_cast<int64_t>(i)) + 1;
  }
  return keys;
}

/// Means of weight(i, key) over the queries that have such a key.
template <class Weight>
DetectorScores scores_of(std::span<const int32_t> tokens, Weight weight) {
  DetectorScores s;
  const auto T = static_cast<int64_t>(tokens.size());
  const std::vector<int64_t> induction = induction_keys(tokens);
  double copied = 0, previous = 0, first = 0;
  int64_t queries = 0;
  for (int64_t i = 0; i < T; ++i) {
    const int64_t key = induction[static_cast<size_t>(i)];
    if (key >= 0) {
      copied += weight(i, key);
      ++queries;
    }
    if (i > 0) {
      previous += weight(i, i - 1);
      first += weight(i, 0);
    }
  }
  if (queries > 0) s.induction = copied / static_cast<double>(queries);
  if (T > 1) {
    s.previous = previous / static_cast<double>(T - 1);
    s.first = first / static_cast<double>(T - 1);
  }
  return s;
}

/// The larger of two cells of a picture: NaN before all, finite before infinite, then by size.
float stronger(float a, float b) {
  if (std::isnan(a)) return a;
  if (std::isnan(b)) return b;
  if (!std::isfinite(b)) return a;
  return !std::isfinite(a) || std::abs(b) > std::abs(a) ? b : a;
}

}  // namespace

DetectorScores detector_scores(const Plane& pattern, std::span<const int32_t> tokens) {
  return scores_of(tokens, [&](int64_t i, int64_t j) { return static_cast<double>(pattern.at(i, j)); });
}

DetectorScores even_scores(std::span<const int32_t> tokens, bool causal) {
  const auto T = static_cast<double>(tokens.size());
  return scores_of(tokens,
                   [&](int64_t i, int64_t) { return causal ? 1.0 / static_cast<double>(i + 1) : 1.0 / T; });
}

double future_mass(const Plane& pattern) {
  double mass = 0;
  for (int64_t i = 0; i < pattern.rows; ++i)
    for (int64_t j = i + 1; j < pattern.cols; ++j) mass += static_cast<double>(pattern.at(i, j));
  return pattern.rows > 0 ? mass / static_cast<double>(pattern.rows) : 0;
}

std::vector<float> row_entropy(const Plane& pattern) {
  std::vector<float> entropy;
  entropy.reserve(static_cast<size_t>(std::max<int64_t>(pattern.rows, 0)));
  for (int64_t i = 0; i < pattern.rows; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < pattern.cols; ++j)
      if (const float a = pattern.at(i, j); a > 0) sum -= static_cast<double>(a * std::log(a));
    entropy.push_back(static_cast<float>(std::max(sum, 0.0)));
  }
  return entropy;
}

std::vector<int32_t> strongest_keys(const Plane& pattern) {
  std::vector<int32_t> keys;
  keys.reserve(static_cast<size_t>(std::max<int64_t>(pattern.rows, 0)));
  for (int64_t i = 0; i < pattern.rows; ++i) {
    int64_t best = 0;
    for (int64_t j = 1; j < pattern.cols; ++j)
      if (pattern.at(i, j) > pattern.at(i, best)) best = j;
    keys.push_back(static_cast<int32_t>(best));
  }
  return keys;
}

HeadPicture head_picture(const Plane& matrix) {
  HeadPicture picture;
  if (matrix.empty()) return picture;
  const int64_t square = (std::max(matrix.rows, matrix.cols) + picture_side - 1) / picture_side;
  picture.rows = (matrix.rows + square - 1) / square;
  picture.cols = (matrix.cols + square - 1) / square;
  picture.values.assign(static_cast<size_t>(picture.rows * picture.cols), 0.0F);
  for (int64_t i = 0; i < matrix.rows; ++i) {
    float* cell = picture.values.data() + i / square * picture.cols;
    const bool top = i % square == 0;
    for (int64_t first = 0; first < matrix.cols; first += square, ++cell) {
      float best = matrix.at(i, first);
      for (int64_t j = first + 1; j < std::min(first + square, matrix.cols); ++j)
        best = stronger(best, matrix.at(i, j));
      *cell = top ? best : stronger(*cell, best);
    }
  }
  return picture;
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
  if (is_pattern) {
    digest.pattern = PatternDigest{detector_scores(matrix, tokens), future_mass(matrix), row_entropy(matrix),
                                   strongest_keys(matrix)};
  }
  return digest;
}

std::shared_ptr<const BufferDigest> digest_heads(std::span<const Plane> matrices,
                                                 std::span<const int32_t> tokens, bool is_pattern,
                                                 int threads) {
  auto digest = std::make_shared<BufferDigest>();
  digest->heads.resize(matrices.size());
  int64_t cells = 0;
  for (const Plane& matrix : matrices) cells += matrix.rows * matrix.cols;
  std::atomic<size_t> next{0};
  const auto work = [&] {
    for (size_t h = next.fetch_add(1); h < matrices.size(); h = next.fetch_add(1))
      digest->heads[h] = digest_head(matrices[h], tokens, is_pattern);
  };
  const int64_t useful = std::min<int64_t>(threads, static_cast<int64_t>(matrices.size()));
  std::vector<std::future<void>> others;
  for (int64_t t = 1; t < std::min(useful, cells / kCellsPerThread); ++t)
    others.push_back(std::async(std::launch::async, work));
  work();
  for (std::future<void>& other : others) other.get();
  return digest;
}

}  // namespace headlight
