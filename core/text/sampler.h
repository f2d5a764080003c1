// From logits to the next token: temperature, top-k, top-p (nucleus), greedy. The Generate view draws
// `candidates`, the command line and the view append what `sample` returns.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/random.h"

namespace headlight {

struct SamplerConfig {
  double temperature = 0.8;  ///< τ > 0: softmax(logits/τ)
  int64_t top_k = 40;        ///< keep the k most likely tokens; 0: all
  double top_p = 0.9;        ///< keep the fewest tokens whose probabilities reach p, in (0, 1]; 1: all
  bool greedy = false;       ///< always the most likely token; the other cuts then do nothing
  uint64_t seed = 0;         ///< seed of the generator that the caller makes
  bool operator==(const SamplerConfig&) const = default;
};

/// Throws Error naming the field, its value and the range that works.
void validate(const SamplerConfig& config);

/// One token of the vocabulary as the sampler sees it.
struct Candidate {
  int32_t token = 0;
  float logit = 0;
  double probability = 0;   ///< softmax(logits/τ) over the whole vocabulary
  bool kept_top_k = false;  ///< survives top-k
  bool kept = false;        ///< survives top-k and then top-p
  double sampled = 0;       ///< the probability it is drawn with: kept ones renormalised, 0 for the rest
};

/// Every token, most likely first (lower id first among equals). top-p counts probabilities renormalised over
/// what top-k kept, and keeps the token that crosses p. Throws Error when a logit is NaN or +∞, or all are
/// −∞.
[[nodiscard]] std::vector<Candidate> candidates(std::span<const float> logits, const SamplerConfig& config);

/// Draws one token from candidates(); uses one number of `random`, or none when greedy. Throws as candidates
/// does.
[[nodiscard]] int32_t sample(std::span<const float> logits, const SamplerConfig& config, Random& random);

}  // namespace headlight
