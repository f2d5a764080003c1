// See sampler.h.
#include "core/text/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/error.h"

namespace headlight {

namespace {

/// The largest logit, after checking that a distribution can be made of them.
float checked_maximum(std::span<const float> logits) {
  if (logits.empty()) fail("there are no logits to sample from");
  float largest = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == std::numeric_limits<float>::infinity()) {
      fail(
          "the logit of token {} is {}, so no token can be drawn; the weights have diverged, load a good "
          "checkpoint",
          i, std::isnan(logits[i]) ? "not a number" : "infinite");
    }
    largest = std::max(largest, logits[i]);
  }
  if (std::isinf(largest)) fail("every logit is −∞, so no token can be drawn");
  return largest;
}

}  // namespace

void validate(const SamplerConfig& config) {
  // Written so that NaN fails too.
  if (!(config.temperature > 0) || !std::isfinite(config.temperature)) {
    fail("temperature = {} cannot be used; give a number above 0, such as 0.8, or use greedy",
         config.temperature);
  }
  if (config.top_k < 0)
    fail("top_k = {} cannot be used; give a whole number, such as 40, or 0 for all", config.top_k);
  if (!(config.top_p > 0 && config.top_p <= 1)) {
    fail("top_p = {} cannot be used; give a number above 0 and at most 1, such as 0.9", config.top_p);
  }
}

std::vector<Candidate> candidates(std::span<const float> logits, const SamplerConfig& config) {
  validate(config);
  const double largest = checked_maximum(logits);
  std::vector<Candidate> all(logits.size());
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    all[i].token = static_cast<int32_t>(i);
    all[i].logit = logits[i];
    all[i].probability = std::exp((static_cast<double>(logits[i]) - largest) / config.temperature);
    sum += all[i].probability;
  }
  for (Candidate& candidate : all) candidate.probability /= sum;
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
  });

  if (config.greedy) {
    all[0].kept_top_k = all[0].kept = true;
    all[0].sampled = 1.0;
    return all;
  }
  const size_t k = config.top_k == 0 ? all.size() : std::min(all.size(), static_cast<size_t>(config.top_k));
  double in_top_k = 0;
  for (size_t i = 0; i < k; ++i) {
    all[i].kept_top_k = true;
    in_top_k += all[i].probability;
  }
  double kept = 0;
  for (size_t i = 0; i < k && (i == 0 || config.top_p == 1.0 || kept < config.top_p * in_top_k); ++i) {
    all[i].kept = true;
    kept += all[i].probability;
  }
  for (Candidate& candidate : all) candidate.sampled = candidate.kept ? candidate.probability / kept : 0.0;
  return all;
}

int32_t sample(std::span<const float> logits, const SamplerConfig& config, Random& random) {
  const std::vector<Candidate> all = candidates(logits, config);
  if (config.greedy) return all[0].token;
  double left = random.uniform();
  int32_t chosen = all[0].token;
  for (const Candidate& candidate : all) {
    if (!candidate.kept) break;
    if (candidate.sampled > 0)
      chosen = candidate.token;  // also the answer when rounding leaves a little of `left`
    left -= candidate.sampled;
    if (left < 0) break;
  }
  return chosen;
}

}  // namespace headlight
