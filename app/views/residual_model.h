// What the Residual view shows, worked out from a run: how long the stream's vectors are, what attention and
// MLP wrote into it, how alike the tokens have grown, what the unembedding reads at every depth. Pure
// functions, tested without ImGui.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/render/heat_map.h"
#include "core/run/run.h"

namespace headlight::app {

/// A place on the stream between two parts of the model.
struct StreamPoint {
  enum class Kind { embedding, after_attention, after_mlp } kind = Kind::embedding;
  int64_t block = 0;
  BufferId buffer = no_buffer;
  std::string name;  ///< hook name ("blocks.0.hook_resid_mid"), which may be an alias
};

/// What one part of a block wrote.
struct WrittenPart {
  int64_t block = 0;
  bool mlp = false;
  BufferId buffer = no_buffer;  ///< hook_attn_out or hook_mlp_out
  BufferId stream = no_buffer;  ///< what it read and is added to
};

/// The most probable token that the unembedding reads off the stream at one place.
struct LensCell {
  int32_t token = -1;  ///< −1: not computed
  float probability = 0;
  float target_probability = -1;  ///< of the token that really comes next; −1 where none does
};

struct LogitLens {
  enum class Extent { all, column, none } extent = Extent::none;
  std::vector<LensCell> cells;  ///< [P·T]
  std::vector<float> colors;    ///< [P·T] their probabilities, as the heat map takes them
  int64_t column = 0;           ///< the only one computed, where extent is column
  std::string missing;          ///< buffer without which there is no lens
};

struct ResidualModel {
  uint64_t run = 0;
  int64_t T = 0, C = 0, L = 0, V = 0;
  bool residual = true, has_mlp = true, post_norm = false, final_norm = false;
  std::vector<StreamPoint> points;  ///< [P], from the embedding upwards; each value once
  std::vector<float> norms;         ///< [P·T] ‖x‖₂
  float largest_norm = 0;
  std::vector<WrittenPart> parts;  ///< [W]
  std::vector<float> written;      ///< [W·T] ‖·‖₂ of what was written
  float largest_written = 0;
  std::vector<float> cosines;      ///< [W·T] with the stream; 0 where a vector is 0
  std::vector<double> similarity;  ///< [P] mean cosine of all pairs of tokens; NaN for one token
  LogitLens lens;
  std::vector<std::string> missing;  ///< names that the run did not record

  [[nodiscard]] int64_t P() const { return static_cast<int64_t>(points.size()); }
  [[nodiscard]] int64_t W() const { return static_cast<int64_t>(parts.size()); }
  [[nodiscard]] size_t at(int64_t row, int64_t token) const { return static_cast<size_t>(row * T + token); }
};

/// Multiplications that a lens over the whole prompt may take; above it only one token's column is computed.
inline constexpr double lens_budget = 2e8;

/// `column`: the token to read when the lens is too large for all of them; clamped to the prompt.
[[nodiscard]] ResidualModel prepare_residual(const Run& run, int64_t column, double budget = lens_budget);

/// The lens alone, for a column that was chosen anew.
[[nodiscard]] LogitLens prepare_lens(const Run& run, std::span<const StreamPoint> points, int64_t column,
                                     double budget = lens_budget);
/// True where the lens of this run goes beyond the budget.
[[nodiscard]] bool lens_is_large(const Run& run, size_t points, double budget = lens_budget);

/// Mean of cos(x_i, x_j) over all pairs of rows i < j of x [T, C]; rows of length 0 do not count. NaN below
/// two rows.
[[nodiscard]] double mean_pairwise_cosine(std::span<const float> x, int64_t T, int64_t C);

}  // namespace headlight::app
