// What is worth knowing of an attention head's matrix [Tq,Tk] without its T² cells: a small picture, the
// range of its values and, for patterns, detector scores, leak and row entropies. Taken on the backend while
// a run is recorded (core/run/watcher.h), so that a view can show every head of a large model; the rules are
// those of kernels/inspection.h.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/run/plane.h"
#include "kernels/inspection.h"

namespace headlight {

/// Mean attention on one kind of key; empty where no query has such a key.
struct DetectorScores {
  std::optional<double> induction;  ///< on the token behind the previous occurrence of the query's own token
  std::optional<double> previous;   ///< on the token before the query
  std::optional<double> first;      ///< on token 0, over the other queries
};

/// Measures one pattern [Tq, Tk] of a head over `tokens` [T].
[[nodiscard]] DetectorScores detector_scores(const Plane& pattern, std::span<const int32_t> tokens);
/// What a head that attends evenly to all allowed keys would score.
[[nodiscard]] DetectorScores even_scores(std::span<const int32_t> tokens, bool causal);
/// Probability mass right of the diagonal, mean over rows.
[[nodiscard]] double future_mass(const Plane& pattern);
/// −Σ a ln a of each row, nats.
[[nodiscard]] std::vector<float> row_entropy(const Plane& pattern);
/// Column of each row's largest value.
[[nodiscard]] std::vector<int32_t> strongest_keys(const Plane& pattern);

using kernels::largest_score;
using kernels::picture_side;

/// At most picture_side² cells; each is the value of largest size in a square of the matrix, so that a thin
/// diagonal stays visible; NaN where the square has one, −∞ where all of it is masked.
struct HeadPicture {
  std::vector<float> values;
  int64_t rows = 0, cols = 0;
  [[nodiscard]] Plane plane() const { return {values.data(), rows, cols, cols, 1}; }
};
[[nodiscard]] HeadPicture head_picture(const Plane& matrix);

/// What a pattern says.
struct PatternDigest {
  DetectorScores scores;
  double leak = 0;                 ///< future_mass()
  std::vector<float> entropy;      ///< row_entropy()
  std::vector<int32_t> strongest;  ///< strongest_keys()
};

struct HeadDigest {
  HeadPicture picture;
  float low = 0, high = 0;               ///< of the values smaller than largest_score, and 0
  std::optional<PatternDigest> pattern;  ///< of softmax outputs
};

/// `tokens`: of the sequence; `is_pattern`: the matrix holds probabilities.
[[nodiscard]] HeadDigest digest_head(const Plane& matrix, std::span<const int32_t> tokens, bool is_pattern);

/// For each query the key behind the previous occurrence of its token; −1 where there is none.
[[nodiscard]] std::vector<int32_t> induction_keys(std::span<const int32_t> tokens);
/// What the rows of a pattern say together. `tokens`: as many as there are rows.
[[nodiscard]] PatternDigest pattern_digest(std::span<const kernels::PatternRow> rows,
                                           std::span<const int32_t> tokens);

/// Every head of one buffer, first of the batch.
struct BufferDigest {
  std::vector<HeadDigest> heads;
};

}  // namespace headlight
