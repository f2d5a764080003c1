// Next-token logits of a token sequence, and text from them. Used for sample texts during training,
// generation and the Generate view.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/model/model.h"
#include "core/run/executor.h"
#include "core/text/sampler.h"

namespace headlight {

class Predictor {
 public:
  /// Keeps a reference to the model.
  explicit Predictor(const Model& model) : model_(model) {}

  /// Logits [V] behind the last of `tokens`, of which the last n_positions count. At least one token.
  [[nodiscard]] std::vector<float> logits(std::span<const int32_t> tokens);

  /// One drawn token and what it was drawn from.
  struct Drawn {
    int32_t token = 0;
    double probability = 0;  ///< it was drawn with this one
    double entropy = 0;      ///< of softmax(logits/τ) before the cuts, nats
  };
  [[nodiscard]] Drawn draw(std::span<const int32_t> tokens, const SamplerConfig& config, Random& random);

 private:
  const Model& model_;
  std::unique_ptr<Executor> executor_;  ///< for the length used last
};

/// `tokens` kept to what the model can take: the last n_positions of them.
[[nodiscard]] std::span<const int32_t> last_window(std::span<const int32_t> tokens, int64_t n_positions);

}  // namespace headlight
