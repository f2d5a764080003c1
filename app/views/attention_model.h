// What the Attention view shows, worked out from runs: stages, planes of every head, detector scores, row
// entropy, leak. Pure functions, tested without ImGui.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/render/heat_map.h"
#include "app/session/state.h"
#include "app/views/run_data.h"
#include "core/run/run.h"

namespace headlight::app {

/// What attention has made of Q and K so far.
enum class AttentionStage { raw, scaled, mask, softmax };
inline constexpr int attention_stage_count = 4;
/// "raw", "scaled", "mask", "softmax": in commands and options.
[[nodiscard]] std::string_view stage_name(AttentionStage stage);
[[nodiscard]] std::optional<AttentionStage> stage_from_name(std::string_view name);
/// "blocks.1.attn.hook_pattern".
[[nodiscard]] std::string stage_buffer(int64_t block, AttentionStage stage);

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
/// A score that no even attention would reach: at least 0.2 above it.
[[nodiscard]] bool stands_out(std::optional<double> score, std::optional<double> even);
/// Probability mass right of the diagonal, mean over rows.
[[nodiscard]] double future_mass(const Plane& pattern);
/// −Σ a ln a of each row, nats.
[[nodiscard]] std::vector<double> row_entropy(const Plane& pattern);
/// Entropy of an even row: ln(i + 1), or ln T where nothing is masked.
[[nodiscard]] double even_entropy(int64_t row, int64_t T, bool causal);

struct HeadSummary {
  DetectorScores scores;
  double leak = 0;
};

/// One head's matrix as a heat map, ready to draw but for the theme.
struct HeadPlane {
  HeatKey key;
  Plane plane;  ///< data is null where the run did not record it
  std::shared_ptr<const void> owner;
};

/// Which runs are shown, after what cannot be compared was sorted out.
struct Comparison {
  std::shared_ptr<const Run> shown;   ///< A, or B when B alone is looked at
  std::shared_ptr<const Run> minus;   ///< B in A − B, else null
  std::shared_ptr<const Run> beside;  ///< the other run of the pair, for one shared scale; may be null
  /// Text key of why A − B is not shown; empty: no reason.
  std::string_view obstacle;
};
[[nodiscard]] Comparison compare_attention(const std::shared_ptr<const Run>& run, const Pins& pins);

/// Every head of the shown run at one stage.
struct AttentionGrid {
  int64_t L = 0, H = 0, T = 0;
  AttentionStage stage = AttentionStage::softmax;
  Comparison runs;
  bool causal = false;             ///< the shown run's mask is −∞ (and the other's, in A − B)
  std::vector<HeadSummary> heads;  ///< [L·H] of the shown run; empty where no pattern was recorded
  std::vector<HeadSummary> minus;  ///< [L·H] of B in A − B
  DetectorScores even;
  std::optional<size_t> best_induction;  ///< index into heads of the strongest one that stands out
  std::optional<size_t> best_previous;
  std::vector<HeadPlane> thumbnails;  ///< [L·H], pooled where T is large
  std::vector<HeadPlane> planes;      ///< [L·H], whole
  std::vector<BufferPlane> sources;   ///< [L·H] in the shown run
  HeatStyle style;  ///< one scale for all heads: that of the middle one, where values are signed
  bool is_signed = false;
  bool clipped = false;      ///< some heads go beyond the scale
  std::string_view missing;  ///< text key of why there is nothing to draw
  [[nodiscard]] size_t index(int64_t block, int64_t head) const {
    return static_cast<size_t>(block * H + head);
  }
};
[[nodiscard]] AttentionGrid prepare_attention(const std::shared_ptr<const Run>& run, const Pins& pins,
                                              AttentionStage stage);

/// The head that is shown large.
struct AttentionHead {
  HeatStyle style;                    ///< scale of this head (of A and B together)
  Plane pattern;                      ///< of the shown run; its data may be null
  std::vector<double> entropy;        ///< by row of the shown run
  std::vector<double> entropy_minus;  ///< of B in A − B
  std::vector<int64_t> strongest;     ///< key with the most weight, by row
  std::vector<float> weights;         ///< [T·T] for the arcs: the pattern, or |A − B|
};
[[nodiscard]] AttentionHead prepare_head(const AttentionGrid& grid, int64_t block, int64_t head);
/// The lightest arc worth drawing among the tokens [first, first + count) of weights [T·T]: at least 0.04,
/// and more where a picture would hold too many.
[[nodiscard]] float arc_threshold(std::span<const float> weights, int64_t T, int64_t first, int64_t count);

}  // namespace headlight::app
