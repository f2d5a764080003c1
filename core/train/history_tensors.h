// A training's record as tensors, so that a checkpoint holds its curves: written and read by
// core/model/model_folder.
#pragma once

#include <cstdint>
#include <vector>

#include "core/io/safetensors.h"
#include "core/train/history.h"

namespace headlight {

/// The record laid out as arrays. Losses in nats a token.
struct HistoryTensors {
  std::vector<int64_t> steps;             ///< [N]
  std::vector<float> values;              ///< [N,4]: train loss, learning rate, gradient norm, tokens/s
  std::vector<float> block_norms;         ///< [N,G]; rows of another model depth are cut or filled with 0
  std::vector<int64_t> validation_steps;  ///< [M]
  std::vector<float> validation_losses;   ///< [M]

  explicit HistoryTensors(const History& history);
  /// Adds the arrays under the prefix "history."; they are viewed, so this object must outlive
  /// writer.write().
  void add_to(SafetensorsWriter& writer) const;
};

/// The record in a file; empty where it has none. Throws Error where its arrays do not fit together.
[[nodiscard]] History read_history(const SafetensorsFile& file);

}  // namespace headlight
