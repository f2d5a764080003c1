// What the Residual view shows, worked out from a run: how long the stream's vectors are, what attention and
// MLP wrote into it, how alike the tokens have grown; with what the unembedding reads at every depth. Pure
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
#include "core/run/logit_lens.h"
#include "core/run/run.h"

namespace headlight::app {

/// What one part of a block wrote.
struct WrittenPart {
  int64_t block = 0;
  bool mlp = false;
  BufferId buffer = no_buffer;  ///< hook_attn_out or hook_mlp_out
  BufferId stream = no_buffer;  ///< what it read and is added to
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
  std::vector<float> cosines;             ///< [W·T] with the stream; 0 where a vector is 0
  std::vector<double> similarity;         ///< [P] mean cosine of all pairs of tokens; NaN for one token
  std::shared_ptr<const LogitLens> lens;  ///< of the run; null where it was not read
  std::vector<float> lens_colors;         ///< [P·T] its probabilities, as the heat map takes them
  std::vector<std::string> missing;       ///< names that the run did not record

  [[nodiscard]] int64_t P() const { return static_cast<int64_t>(points.size()); }
  [[nodiscard]] int64_t W() const { return static_cast<int64_t>(parts.size()); }
  [[nodiscard]] size_t at(int64_t row, int64_t token) const { return static_cast<size_t>(row * T + token); }
};

[[nodiscard]] ResidualModel prepare_residual(const Run& run);

/// Mean of cos(x_i, x_j) over all pairs of rows i < j of x [T, C]; rows of length 0 do not count. NaN below
/// two rows.
[[nodiscard]] double mean_pairwise_cosine(std::span<const float> x, int64_t T, int64_t C);

}  // namespace headlight::app
