// Next-token logits of one token sequence, and draws from them, with or without a cache of keys and values.
// Used for sample texts during training and by the engine's generation; batches and limits are
// core/infer/generation.h's.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/infer/decoder.h"
#include "core/model/model.h"
#include "core/run/executor.h"
#include "core/text/sampler.h"

namespace headlight {

/// Why `model` cannot keep a cache of keys and values, as a sentence; empty where it can.
[[nodiscard]] std::string why_no_cache(const Model& model);

class Predictor {
 public:
  /// Keeps a reference to the model. With `cached` only tokens that it has not seen are computed, where the
  /// model can have a cache; the logits are the same within rounding.
  explicit Predictor(const Model& model, bool cached = true);

  /// Logits [V] behind the last of `tokens`, of which the last n_positions count. At least one token. Throws
  /// Cancelled between two steps.
  [[nodiscard]] std::vector<float> logits(std::span<const int32_t> tokens,
                                          const std::atomic<bool>* cancel = nullptr);
  /// One token drawn from them.
  [[nodiscard]] Draw draw(std::span<const int32_t> tokens, const SamplerConfig& config, Random& random);

  /// The weights have changed: nothing that was computed holds any more.
  void forget();
  /// True where tokens seen before are not computed again.
  [[nodiscard]] bool is_cached() const { return cached_; }
  /// Bytes of cache and activations that it holds now.
  [[nodiscard]] size_t memory_bytes() const;
  /// What the last logits() took.
  struct Footprint {
    int64_t computed = 0;  ///< tokens that went through the model
    size_t kept = 0;       ///< bytes of keys and values that outlast it
    size_t work = 0;       ///< bytes of activations
  };
  [[nodiscard]] const Footprint& footprint() const { return footprint_; }

 private:
  void feed(std::span<const int32_t> window, const std::atomic<bool>* cancel);
  [[nodiscard]] std::vector<float> computed_logits(std::span<const int32_t> window,
                                                   const std::atomic<bool>* cancel);

  const Model& model_;
  bool cached_;
  Footprint footprint_;
  std::unique_ptr<Decoder> decoder_;
  std::vector<int32_t> fed_;            ///< what the decoder's cache holds
  std::unique_ptr<Executor> executor_;  ///< without a cache: for the length used last
};

/// `tokens` kept to what the model can take: the last n_positions of them.
[[nodiscard]] std::span<const int32_t> last_window(std::span<const int32_t> tokens, int64_t n_positions);

}  // namespace headlight
