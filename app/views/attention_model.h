// What the Attention view shows, worked out from runs: stages, planes of every head, detector scores, row
// entropy, leak. Pure functions, tested without ImGui.
#pragma once

#include <cmath>
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

/// A score that no even attention would reach: at least 0.2 above it.
[[nodiscard]] bool stands_out(std::optional<double> score, std::optional<double> even);
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
  int64_t L = 0, H = 0, T = 0;  ///< T: tokens of the text, the keys
  /// Place in the text of the first query: 0, or behind the tokens out of a cache, which ask nothing in this
  /// run. The matrices have T − first rows.
  int64_t first = 0;
  AttentionStage stage = AttentionStage::softmax;
  Comparison runs;
  bool causal = false;             ///< the shown run's mask is −∞ (and the other's, in A − B)
  std::vector<HeadSummary> heads;  ///< [L·H] of the shown run; empty where no pattern was recorded, and
                                   ///< with a cache: they are means over queries, and there is one
  std::vector<HeadSummary> minus;  ///< [L·H] of B in A − B
  DetectorScores even;
  std::optional<size_t> best_induction;  ///< index into heads of the strongest one that stands out
  std::optional<size_t> best_previous;
  std::vector<HeadPlane> thumbnails;  ///< [L·H], pictures of digests; in A − B of long prompts the
                                      ///< difference of both pictures
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

/// Every cell of one head at the grid's stage, in A − B the difference; empty where the run holds its picture
/// alone.
[[nodiscard]] HeadPlane whole_head(const AttentionGrid& grid, int64_t block, int64_t head);

/// The head that is shown large.
struct AttentionHead {
  HeadPlane map;                     ///< whole_head(), or its thumbnail where that is all there is
  bool enlarged = false;             ///< `map` is the thumbnail
  HeatStyle style;                   ///< scale of this head (of A and B together)
  Plane pattern;                     ///< of the shown run; its data may be null
  Plane minus;                       ///< of B in A − B, else no data
  std::vector<float> entropy;        ///< by row of the shown run
  std::vector<float> entropy_minus;  ///< of B in A − B
  std::vector<int32_t> strongest;    ///< key with the most weight, by row
  int64_t first = 0;                 ///< place in the text of row 0
  /// True where the arcs' weights are known: the pattern, or |A − B|.
  [[nodiscard]] bool has_weights() const { return !pattern.empty(); }
  /// By places in the text; 0 for queries that this run does not have.
  [[nodiscard]] float weight(int64_t query, int64_t key) const {
    const int64_t row = query - first;
    if (row < 0 || row >= pattern.rows) return 0;
    const float a = pattern.at(row, key);
    return minus.empty() ? a : std::abs(a - minus.at(row, key));
  }
};
[[nodiscard]] AttentionHead prepare_head(const AttentionGrid& grid, int64_t block, int64_t head);
/// The lightest arc worth drawing among the tokens [first, first + count): at least 0.04, and more where a
/// picture would hold too many.
[[nodiscard]] float arc_threshold(const AttentionHead& head, int64_t first, int64_t count);

}  // namespace headlight::app
