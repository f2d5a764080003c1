// From logits to the next token: repetition penalty, temperature, top-k, top-p (nucleus), min-p, greedy. The
// Generate view draws `candidates`, generation appends what `draw` returns.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/base/random.h"

namespace headlight {

struct SamplerConfig {
  double temperature = 0.8;  ///< τ > 0: softmax(logits/τ)
  int64_t top_k = 40;        ///< keep the k most likely tokens; 0: all
  double top_p = 0.9;        ///< keep the fewest tokens whose probabilities reach p, in (0, 1]; 1: all
  double min_p = 0.0;        ///< keep tokens at least this share as likely as the first, in [0, 1]; 0: all
  double repetition_penalty = 1.0;  ///< > 0: logits of tokens in the text are divided by it (negative ones
                                    ///< multiplied; Keskar et al. 2019); 1: none
  bool greedy = false;              ///< always the most likely token; the cuts then do nothing
  uint64_t seed = 0;                ///< seed of the generator that the caller makes
  bool operator==(const SamplerConfig&) const = default;
};

/// Throws Error naming the field, its value and the range that works.
void validate(const SamplerConfig& config);

/// One token of the vocabulary as the sampler sees it.
struct Candidate {
  int32_t token = 0;
  float logit = 0;          ///< as the model gave it
  float penalized = 0;      ///< after the repetition penalty
  double probability = 0;   ///< softmax(penalized/τ) over the whole vocabulary
  bool kept_top_k = false;  ///< survives top-k
  bool kept_top_p = false;  ///< and then top-p
  bool kept = false;        ///< and then min-p
  double sampled = 0;       ///< the probability it is drawn with: kept ones renormalised, 0 for the rest
};

/// Every token, most likely first (lower id first among equals). `text`: the tokens that the repetition
/// penalty looks at. top-p counts probabilities renormalised over what top-k kept, and keeps the token that
/// crosses p. Throws Error when a logit is NaN or +∞, or all are −∞.
[[nodiscard]] std::vector<Candidate> candidates(std::span<const float> logits, const SamplerConfig& config,
                                                std::span<const int32_t> text = {});

/// One draw, with all that led to it.
struct Draw {
  int32_t token = 0;
  double probability = 0;    ///< it was drawn with this one
  double before = 0;         ///< its softmax(penalized/τ), before the cuts
  double entropy = 0;        ///< of that distribution, nats
  double u = 0;              ///< the random number, uniform in [0, 1); 0 when greedy
  double low = 0, high = 1;  ///< the token's share of [0, 1), likeliest token first; u fell into it
  int64_t kept = 1;          ///< tokens that the cuts left
};

/// Draws one token of candidates() without sorting more of the vocabulary than it needs; uses one number of
/// `random`, or none when greedy. Throws as candidates does.
[[nodiscard]] Draw draw(std::span<const float> logits, const SamplerConfig& config, Random& random,
                        std::span<const int32_t> text = {});

/// The best logits of a row and what all of them add up to: enough for most draws, and all of it that has to
/// leave a device for them.
struct BestLogits {
  std::span<const float> logits;    ///< the largest, largest first
  std::span<const int32_t> tokens;  ///< whose they are; the lower id first among equals
  int64_t vocabulary = 0;           ///< how many logits there are in all
  double temperature = 1;           ///< τ of the sums
  double sum = 0, weighted = 0;     ///< Σ e^z and Σ e^z·z over all, with z = (logit − largest)/τ
};

/// draw() from them. Nothing, and no random number used, where only the whole row can tell: cuts that keep
/// more tokens than there are here, a repetition penalty, another temperature, logits that are not finite.
[[nodiscard]] std::optional<Draw> draw(const BestLogits& best, const SamplerConfig& config, Random& random);

/// The token of draw().
[[nodiscard]] int32_t sample(std::span<const float> logits, const SamplerConfig& config, Random& random);

}  // namespace headlight
