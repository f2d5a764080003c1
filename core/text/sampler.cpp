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

std::vector<float> penalized(std::span<const float> logits, double penalty, std::span<const int32_t> text) {
  std::vector<float> result(logits.begin(), logits.end());
  if (penalty == 1.0) return result;
  for (const int32_t token : text) {
    const auto at = static_cast<size_t>(token);
    if (at >= result.size()) continue;
    // From the model's own logit, so that a token counts once however often it occurs.
    const auto logit = static_cast<double>(logits[at]);
    result[at] = static_cast<float>(logit > 0 ? logit / penalty : logit * penalty);
  }
  return result;
}

/// softmax(logits/τ) without its list: probabilities are worked out for whom they are asked.
class Distribution {
 public:
  Distribution(std::span<const float> logits, double temperature)
      : temperature_(temperature), largest_(static_cast<double>(checked_maximum(logits))) {
    double weighted = 0;
    for (const float logit : logits) {
      const double x = scaled(logit);
      if (x < negligible) continue;
      const double e = std::exp(x);
      sum_ += e;
      weighted += e * x;
    }
    entropy_ = std::log(sum_) - weighted / sum_;
  }
  explicit Distribution(const BestLogits& best)
      : temperature_(best.temperature),
        largest_(static_cast<double>(best.logits[0])),
        sum_(best.sum),
        entropy_(std::log(best.sum) - best.weighted / best.sum) {}
  /// Of a token with that logit.
  [[nodiscard]] double probability(float logit) const {
    const double x = scaled(logit);
    return x < negligible ? 0.0 : std::exp(x) / sum_;
  }
  [[nodiscard]] double entropy() const { return entropy_; }

 private:
  static constexpr double negligible = -700;  ///< e^x is below every double that a sum could notice
  [[nodiscard]] double scaled(float logit) const {
    return (static_cast<double>(logit) - largest_) / temperature_;
  }

  double temperature_, largest_, sum_ = 0, entropy_ = 0;
};

/// Tokens from the likeliest down, sorted as far as somebody asks.
class Ranking {
 public:
  explicit Ranking(std::span<const float> logits) : logits_(logits), ids_(logits.size()) {
    for (size_t i = 0; i < ids_.size(); ++i) ids_[i] = static_cast<int32_t>(i);
  }
  [[nodiscard]] size_t size() const { return ids_.size(); }
  [[nodiscard]] static bool reaches(size_t) { return true; }
  [[nodiscard]] float logit(size_t rank) { return logits_[static_cast<size_t>(at(rank))]; }
  [[nodiscard]] int32_t at(size_t rank) {
    while (rank >= sorted_) {
      const size_t end = std::min(ids_.size(), std::max<size_t>(64, 4 * sorted_));
      const auto from = ids_.begin() + static_cast<std::ptrdiff_t>(sorted_);
      const auto to = ids_.begin() + static_cast<std::ptrdiff_t>(end);
      const auto likelier = [&](int32_t a, int32_t b) {
        const float x = logits_[static_cast<size_t>(a)], y = logits_[static_cast<size_t>(b)];
        return x != y ? x > y : a < b;
      };
      // The first few stand out from a long list at one glance each.
      if (sorted_ == 0) {
        std::partial_sort(from, to, ids_.end(), likelier);
      } else {
        if (to != ids_.end()) std::nth_element(from, to, ids_.end(), likelier);
        std::sort(from, to, likelier);
      }
      sorted_ = end;
    }
    return ids_[rank];
  }

 private:
  std::span<const float> logits_;
  std::vector<int32_t> ids_;
  size_t sorted_ = 0;
};

/// The same over the best logits alone: it reaches as far as they do.
class BestRanking {
 public:
  explicit BestRanking(const BestLogits& best) : best_(best) {}
  [[nodiscard]] size_t size() const { return static_cast<size_t>(best_.vocabulary); }
  [[nodiscard]] bool reaches(size_t rank) const { return rank < best_.tokens.size(); }
  [[nodiscard]] int32_t at(size_t rank) const { return best_.tokens[rank]; }
  [[nodiscard]] float logit(size_t rank) const { return best_.logits[rank]; }

 private:
  const BestLogits& best_;
};

/// How many of the likeliest tokens each cut leaves, and the probability of what all of them leave.
struct Cuts {
  size_t top_k = 0, top_p = 0, kept = 0;
  double mass = 1;
};

/// Nothing where the ranking does not reach far enough to tell.
template <class Ranks>
std::optional<Cuts> cut(Ranks& ranking, const Distribution& distribution, const SamplerConfig& config) {
  const size_t V = ranking.size();
  if (config.greedy) return Cuts{1, 1, 1, distribution.probability(ranking.logit(0))};
  Cuts cuts;
  cuts.top_k = config.top_k == 0 ? V : std::min(V, static_cast<size_t>(config.top_k));
  // What nothing was cut from has the mass 1, without a sum over it.
  double in_top_k = 1;
  if (cuts.top_k < V) {
    in_top_k = 0;
    if (!ranking.reaches(cuts.top_k - 1)) return std::nullopt;
    for (size_t i = 0; i < cuts.top_k; ++i) in_top_k += distribution.probability(ranking.logit(i));
  }
  cuts.top_p = cuts.top_k;
  cuts.mass = in_top_k;
  if (config.top_p < 1.0) {
    cuts.top_p = 0;
    cuts.mass = 0;
    while (cuts.top_p < cuts.top_k && (cuts.top_p == 0 || cuts.mass < config.top_p * in_top_k)) {
      if (!ranking.reaches(cuts.top_p)) return std::nullopt;
      cuts.mass += distribution.probability(ranking.logit(cuts.top_p++));
    }
  }
  cuts.kept = cuts.top_p;
  if (config.min_p > 0) {
    const double least = config.min_p * distribution.probability(ranking.logit(0));
    cuts.kept = 0;
    double mass = 0;
    while (cuts.kept < cuts.top_p) {
      if (!ranking.reaches(cuts.kept)) return std::nullopt;
      const double p = distribution.probability(ranking.logit(cuts.kept));
      if (p < least) break;
      mass += p;
      ++cuts.kept;
    }
    if (cuts.kept < cuts.top_p) cuts.mass = mass;
  }
  return cuts;
}

/// One draw that is not greedy, by one random number; nothing, and none used, where the ranking does not
/// reach far enough.
template <class Ranks>
std::optional<Draw> draw_ranked(Ranks& ranking, const Distribution& distribution, const SamplerConfig& config,
                                Random& random) {
  const std::optional<Cuts> cuts = cut(ranking, distribution, config);
  if (!cuts) return std::nullopt;
  Draw drawn;
  drawn.entropy = distribution.entropy();
  drawn.kept = static_cast<int64_t>(cuts->kept);
  Random next = random;
  drawn.u = next.uniform();
  double end = 0;
  for (size_t i = 0; i < cuts->kept; ++i) {
    if (!ranking.reaches(i)) return std::nullopt;
    const double before = distribution.probability(ranking.logit(i));
    // The last token with a probability is also the answer when rounding leaves a little behind it.
    if (before == 0) break;
    drawn.token = ranking.at(i);
    drawn.before = before;
    drawn.probability = before / cuts->mass;
    drawn.low = end;
    end += drawn.probability;
    drawn.high = std::min(end, 1.0);
    if (drawn.u < end) break;
  }
  random = next;
  return drawn;
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
  if (!(config.min_p >= 0 && config.min_p <= 1)) {
    fail("min_p = {} cannot be used; give a number from 0 (no cut) to 1, such as 0.05", config.min_p);
  }
  if (!(config.repetition_penalty > 0) || !std::isfinite(config.repetition_penalty)) {
    fail("repetition_penalty = {} cannot be used; give a number above 0, such as 1.1, or 1 for none",
         config.repetition_penalty);
  }
}

std::vector<Candidate> candidates(std::span<const float> logits, const SamplerConfig& config,
                                  std::span<const int32_t> text) {
  validate(config);
  (void)checked_maximum(logits);
  const std::vector<float> adjusted = penalized(logits, config.repetition_penalty, text);
  const Distribution distribution(adjusted, config.temperature);
  Ranking ranking(adjusted);
  const Cuts cuts = *cut(ranking, distribution, config);
  std::vector<Candidate> all(logits.size());
  for (size_t i = 0; i < all.size(); ++i) {
    Candidate& candidate = all[i];
    candidate.token = ranking.at(i);
    candidate.logit = logits[static_cast<size_t>(candidate.token)];
    candidate.penalized = adjusted[static_cast<size_t>(candidate.token)];
    candidate.probability = distribution.probability(candidate.penalized);
    candidate.kept_top_k = i < cuts.top_k;
    candidate.kept_top_p = i < cuts.top_p;
    candidate.kept = i < cuts.kept;
    candidate.sampled = candidate.kept ? candidate.probability / cuts.mass : 0.0;
  }
  return all;
}

Draw draw(std::span<const float> logits, const SamplerConfig& config, Random& random,
          std::span<const int32_t> text) {
  validate(config);
  (void)checked_maximum(logits);
  const std::vector<float> adjusted = penalized(logits, config.repetition_penalty, text);
  const Distribution distribution(adjusted, config.temperature);
  if (config.greedy) {
    Draw drawn;
    drawn.entropy = distribution.entropy();
    drawn.token = static_cast<int32_t>(std::max_element(adjusted.begin(), adjusted.end()) - adjusted.begin());
    drawn.before = distribution.probability(adjusted[static_cast<size_t>(drawn.token)]);
    drawn.probability = 1;
    return drawn;
  }
  Ranking ranking(adjusted);
  return *draw_ranked(ranking, distribution, config, random);
}

std::optional<Draw> draw(const BestLogits& best, const SamplerConfig& config, Random& random) {
  validate(config);
  const bool whole = config.repetition_penalty != 1.0 || config.temperature != best.temperature;
  if (whole || best.tokens.empty() || !std::isfinite(best.logits[0]) || !std::isfinite(best.sum))
    return std::nullopt;
  const Distribution distribution(best);
  BestRanking ranking(best);
  if (!config.greedy) return draw_ranked(ranking, distribution, config, random);
  Draw drawn;
  drawn.entropy = distribution.entropy();
  drawn.token = best.tokens[0];
  drawn.before = distribution.probability(best.logits[0]);
  drawn.probability = 1;
  return drawn;
}

int32_t sample(std::span<const float> logits, const SamplerConfig& config, Random& random) {
  return draw(logits, config, random).token;
}

}  // namespace headlight
