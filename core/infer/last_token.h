// The pass of a text's last token with the others in a cache, recorded: what a decoder does for each new
// token, to be stepped through. Used by the engine's probe and by `headlight run`.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/infer/decoder.h"

namespace headlight {

/// Places of the cache for a text of n tokens: at least one more than the text takes, in eights, as far as
/// n_positions goes. A text that grows by a token keeps its cache most of the time.
[[nodiscard]] int64_t cache_places(int64_t n, int64_t n_positions);

class LastTokenPass {
 public:
  /// Keeps a reference to the model; allocates with the first recording.
  LastTokenPass(const Model& model, const WeightStorage& weights) : model_(model), weights_(weights) {}

  /// Computes what the cache lacks of all tokens but the last, then records the last one's pass. `tokens`: at
  /// least one, at most n_positions. `fused`: attention in one step. Throws Error as Decoder does, and
  /// Cancelled while the cache is filled.
  [[nodiscard]] std::shared_ptr<const Run> record(std::span<const int32_t> tokens, const Capture& capture,
                                                  bool fused, const std::atomic<bool>* cancel = nullptr);
  [[nodiscard]] const WeightStorage& weights() const { return weights_; }

 private:
  const Model& model_;
  WeightStorage weights_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<int32_t> held_;  ///< tokens that the cache holds
};

}  // namespace headlight
