// The sampler: cuts by hand, draws against exact distributions (χ²), bad logits and settings.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "core/text/sampler.h"
#include "tests/support/error_text.h"

namespace headlight {
namespace {

using test::error_of;

constexpr SamplerConfig plain{.temperature = 1, .top_k = 0, .top_p = 1};

std::vector<float> logits_of(const std::vector<double>& probabilities) {
  std::vector<float> logits;
  for (const double p : probabilities) logits.push_back(static_cast<float>(std::log(p)));
  return logits;
}

std::vector<int32_t> kept_tokens(const std::vector<float>& logits, const SamplerConfig& config) {
  std::vector<int32_t> tokens;
  for (const Candidate& candidate : candidates(logits, config)) {
    if (candidate.kept) tokens.push_back(candidate.token);
  }
  return tokens;
}

TEST(Sampler, SoftmaxWithTemperature) {
  const std::vector<float> logits{1, 3, 2};
  for (const double tau : {0.1, 0.5, 1.0, 3.0}) {
    SamplerConfig config = plain;
    config.temperature = tau;
    const auto all = candidates(logits, config);
    EXPECT_EQ(all[0].token, 1);
    EXPECT_EQ(all[1].token, 2);
    EXPECT_EQ(all[2].token, 0);
    const double sum = std::exp(1 / tau) + std::exp(2 / tau) + std::exp(3 / tau);
    EXPECT_NEAR(all[0].probability, std::exp(3 / tau) / sum, 1e-12);
    EXPECT_NEAR(all[2].probability, std::exp(1 / tau) / sum, 1e-12);
    EXPECT_EQ(all[0].logit, 3);
  }
}

TEST(Sampler, CutsByHand) {
  const std::vector<float> logits = logits_of({0.05, 0.4, 0.25, 0.2, 0.1});
  EXPECT_EQ(kept_tokens(logits, plain), (std::vector<int32_t>{1, 2, 3, 4, 0}));
  EXPECT_EQ(kept_tokens(logits, {.temperature = 1, .top_k = 2, .top_p = 1}), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(kept_tokens(logits, {.temperature = 1, .top_k = 99, .top_p = 1}).size(), 5u);
  // The token that crosses p is kept.
  EXPECT_EQ(kept_tokens(logits, {.temperature = 1, .top_k = 0, .top_p = 0.39}), (std::vector<int32_t>{1}));
  EXPECT_EQ(kept_tokens(logits, {.temperature = 1, .top_k = 0, .top_p = 0.41}), (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(kept_tokens(logits, {.temperature = 1, .top_k = 0, .top_p = 0.86}),
            (std::vector<int32_t>{1, 2, 3, 4}));
  // top-p counts what top-k left: 0.4 of 0.85 is 0.47.
  EXPECT_EQ(kept_tokens(logits, {.temperature = 1, .top_k = 3, .top_p = 0.46}), (std::vector<int32_t>{1}));
  EXPECT_EQ(kept_tokens(logits, {.temperature = 1, .top_k = 3, .top_p = 0.48}), (std::vector<int32_t>{1, 2}));
  const auto all = candidates(logits, {.temperature = 1, .top_k = 3, .top_p = 0.48});
  EXPECT_TRUE(all[2].kept_top_k);
  EXPECT_FALSE(all[2].kept);
  EXPECT_FALSE(all[3].kept_top_k);
  EXPECT_NEAR(all[0].sampled, 0.4 / 0.65, 1e-6);
  EXPECT_EQ(all[2].sampled, 0);
  EXPECT_EQ(kept_tokens(logits, {.temperature = 1, .greedy = true}), (std::vector<int32_t>{1}));
}

TEST(Sampler, EqualLogitsAreInOrderOfTheirIds) {
  const auto all = candidates(std::vector<float>{1, 2, 2, 1}, plain);
  EXPECT_EQ(all[0].token, 1);
  EXPECT_EQ(all[1].token, 2);
  EXPECT_EQ(all[2].token, 0);
  EXPECT_EQ(all[3].token, 3);
}

TEST(Sampler, DrawsTheExactDistribution) {
  const std::vector<float> logits = logits_of({0.05, 0.4, 0.25, 0.2, 0.1});
  constexpr int draws = 200'000;
  for (const SamplerConfig& config : {plain, SamplerConfig{.temperature = 2, .top_k = 0, .top_p = 1},
                                      SamplerConfig{.temperature = 0.5, .top_k = 4, .top_p = 1},
                                      SamplerConfig{.temperature = 1, .top_k = 0, .top_p = 0.8},
                                      SamplerConfig{.temperature = 1.3, .top_k = 4, .top_p = 0.9}}) {
    Random random(42);
    std::vector<double> counts(5);
    for (int i = 0; i < draws; ++i) counts[static_cast<size_t>(sample(logits, config, random))] += 1;
    double chi2 = 0;
    for (const Candidate& candidate : candidates(logits, config)) {
      const double count = counts[static_cast<size_t>(candidate.token)];
      if (!candidate.kept) {
        EXPECT_EQ(count, 0);
        continue;
      }
      const double expected = candidate.sampled * draws;
      chi2 += (count - expected) * (count - expected) / expected;
    }
    EXPECT_LT(chi2, 18.5);  // four degrees of freedom, p = 0.001
    EXPECT_EQ(random.counter(), static_cast<uint64_t>(draws));
  }
}

TEST(Sampler, MinPAndThePenaltyByHand) {
  const std::vector<float> logits = logits_of({0.05, 0.4, 0.25, 0.2, 0.1});
  SamplerConfig config = plain;
  config.min_p = 0.45;  // of 0.4: 0.18
  EXPECT_EQ(kept_tokens(logits, config), (std::vector<int32_t>{1, 2, 3}));
  config.top_k = 2;
  EXPECT_EQ(kept_tokens(logits, config), (std::vector<int32_t>{1, 2}));
  config.min_p = 1;
  EXPECT_EQ(kept_tokens(logits, config), (std::vector<int32_t>{1}));
  config = plain;
  config.top_p = 0.9, config.min_p = 0.3;
  const auto all = candidates(logits, config);
  EXPECT_TRUE(all[3].kept_top_p);
  EXPECT_NEAR(all[0].sampled, 0.4 / 0.85, 1e-6);
  EXPECT_FALSE(all[4].kept);

  config = plain;
  config.repetition_penalty = 2;
  const std::vector<float> signs{3, -1, 2, 0.5F};
  const std::vector<int32_t> text{0, 1, 1, 0, 99};  // a token counts once; one that is not there not at all
  const auto penalized = candidates(signs, config, text);
  EXPECT_EQ(penalized[0].token, 2);
  EXPECT_EQ(penalized[1].token, 0);
  EXPECT_FLOAT_EQ(penalized[1].penalized, 1.5F);
  EXPECT_FLOAT_EQ(penalized[1].logit, 3);
  EXPECT_EQ(penalized[3].token, 1);
  EXPECT_FLOAT_EQ(penalized[3].penalized, -2);
}

TEST(Sampler, ADrawSaysWhatLedToIt) {
  const std::vector<float> logits = logits_of({0.05, 0.4, 0.25, 0.2, 0.1});
  Random random(3), same(3);
  for (const SamplerConfig& config : {plain, SamplerConfig{.temperature = 0.7, .top_k = 3, .top_p = 0.9}}) {
    const auto all = candidates(logits, config);
    double entropy = 0;
    int64_t kept = 0;
    for (const Candidate& c : all) {
      entropy -= c.probability * std::log(c.probability);
      kept += c.kept ? 1 : 0;
    }
    for (int i = 0; i < 200; ++i) {
      const Draw drawn = draw(logits, config, random);
      EXPECT_EQ(drawn.u, same.uniform());
      EXPECT_NEAR(drawn.entropy, entropy, 1e-12);
      EXPECT_EQ(drawn.kept, kept);
      EXPECT_LE(drawn.low, drawn.u);
      EXPECT_GT(drawn.high, drawn.u);
      double low = 0;
      for (const Candidate& c : all) {
        if (c.token == drawn.token) {
          EXPECT_NEAR(drawn.low, low, 1e-12);
          EXPECT_NEAR(drawn.high, low + c.sampled, 1e-12);
          EXPECT_EQ(drawn.probability, c.sampled);
          EXPECT_EQ(drawn.before, c.probability);
        }
        low += c.sampled;
      }
    }
  }
}

// Over a large vocabulary the draw sorts only what it needs; its distribution is the one of the full list.
TEST(Sampler, DrawsFromALargeVocabularyExactly) {
  Random numbers(5);
  std::vector<float> logits(1000);
  for (float& logit : logits) logit = static_cast<float>(3 * numbers.normal());
  for (const SamplerConfig& config :
       {SamplerConfig{.temperature = 1, .top_k = 0, .top_p = 1},
        SamplerConfig{.temperature = 1, .top_k = 40, .top_p = 0.9},
        SamplerConfig{.temperature = 1.5, .top_k = 0, .top_p = 0.95},
        SamplerConfig{
            .temperature = 0.8, .top_k = 500, .top_p = 1, .min_p = 0.02, .repetition_penalty = 1.3}}) {
    const std::vector<int32_t> text{5, 17, 200, 17};
    const auto all = candidates(logits, config, text);
    constexpr int draws = 8'000;
    std::vector<double> counts(logits.size());
    Random random(11);
    for (int i = 0; i < draws; ++i) {
      counts[static_cast<size_t>(draw(logits, config, random, text).token)] += 1;
    }
    // Cells with few expected draws are put together.
    double chi2 = 0, cells = 0, pooled_count = 0, pooled = 0;
    for (const Candidate& c : all) {
      const double count = counts[static_cast<size_t>(c.token)];
      if (!c.kept) {
        EXPECT_EQ(count, 0);
        continue;
      }
      pooled_count += count;
      pooled += c.sampled * draws;
      if (pooled < 20) continue;
      chi2 += (pooled_count - pooled) * (pooled_count - pooled) / pooled;
      cells += 1;
      pooled_count = pooled = 0;
    }
    // χ² with n degrees of freedom has mean n and variance 2n; four deviations are one in 30,000.
    const double freedom = cells - 1;
    EXPECT_LT(chi2, freedom + 4 * std::sqrt(2 * freedom));
    EXPECT_GT(chi2, freedom - 4 * std::sqrt(2 * freedom));
  }
}

TEST(Sampler, IsRepeatable) {
  const std::vector<float> logits = logits_of({0.3, 0.3, 0.4});
  Random a(9), b(9);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(sample(logits, plain, a), sample(logits, plain, b));
}

TEST(Sampler, GreedyTakesTheLargestAndNoRandomNumber) {
  Random random(1);
  EXPECT_EQ(sample(std::vector<float>{1, 5, 5, 2}, {.greedy = true}, random), 1);
  EXPECT_EQ(random.counter(), 0u);
}

TEST(Sampler, ExtremeLogitsStayFinite) {
  Random random(1);
  const float lowest = -std::numeric_limits<float>::infinity();
  const std::vector<float> logits{lowest, 3e38F, -3e38F, lowest};
  for (const double tau : {1e-30, 1e-3, 1.0, 1e30}) {
    SamplerConfig config = plain;
    config.temperature = tau;
    const auto all = candidates(logits, config);
    double sum = 0;
    for (const Candidate& candidate : all) sum += candidate.sampled;
    EXPECT_NEAR(sum, 1, 1e-9);
    EXPECT_EQ(sample(logits, config, random), 1);
  }
  EXPECT_EQ(candidates(logits, plain)[3].probability, 0);
  EXPECT_EQ(sample(std::vector<float>{7}, plain, random), 0);
}

TEST(Sampler, SaysWhatIsWrong) {
  Random random;
  const float inf = std::numeric_limits<float>::infinity();
  const auto says = [&](const std::vector<float>& logits) {
    return error_of([&] { return sample(logits, plain, random); });
  };
  EXPECT_SAYS(says({1, 2, NAN}), "the logit of token 2 is not a number");
  EXPECT_SAYS(says({1, inf}), "the logit of token 1 is infinite");
  EXPECT_SAYS(says({-inf, -inf}), "every logit is −∞");
  EXPECT_SAYS(says({}), "no logits");
  const auto refuses = [](const SamplerConfig& config) { return error_of([&] { return validate(config); }); };
  for (const double tau : {0.0, -1.0, static_cast<double>(NAN), static_cast<double>(INFINITY)}) {
    EXPECT_SAYS(refuses({.temperature = tau}), "temperature = ");
  }
  EXPECT_SAYS(refuses({.top_k = -1}), "top_k = -1 cannot be used");
  for (const double p : {0.0, -0.1, 1.1, static_cast<double>(NAN)})
    EXPECT_SAYS(refuses({.top_p = p}), "top_p = ");
  for (const double p : {-0.1, 1.1, static_cast<double>(NAN)}) EXPECT_SAYS(refuses({.min_p = p}), "min_p = ");
  for (const double r : {0.0, -1.0, static_cast<double>(INFINITY)}) {
    EXPECT_SAYS(refuses({.repetition_penalty = r}), "repetition_penalty = ");
  }
  EXPECT_EQ(refuses({}), "no error");
}

TEST(Sampler, TheBestLogitsDrawWhatTheWholeRowDraws) {
  constexpr size_t V = 700, K = 64;
  struct Case {
    const char* name;
    SamplerConfig config;
    int at_least;  // of 60 draws are decided by the best; 0: none is
  };
  const std::vector<Case> cases = {
      {"greedy", {.temperature = 0.7, .greedy = true}, 60},
      {"top-k", {.temperature = 0.8, .top_k = 40, .top_p = 1}, 60},
      {"all of the best", {.temperature = 2, .top_k = K, .top_p = 0.9}, 60},
      {"top-p", {.temperature = 0.3, .top_k = 0, .top_p = 0.5}, 60},
      {"temperature", {.temperature = 1, .top_k = 0, .top_p = 1}, 20},
      {"min-p", {.temperature = 1, .top_k = 0, .top_p = 1, .min_p = 0.2}, 60},
      {"wide top-p", {.temperature = 3, .top_k = 0, .top_p = 0.95}, 0},
      {"wide top-k", {.temperature = 1, .top_k = 65, .top_p = 1}, 0},
      {"penalty", {.temperature = 1, .top_k = 5, .repetition_penalty = 1.2}, 0},
  };
  for (const auto& [name, config, at_least] : cases) {
    int enough = 0;
    Random numbers(3), whole_draws(11), best_draws(11);
    for (int round = 0; round < 60; ++round) {
      std::vector<float> logits(V);
      for (float& logit : logits) logit = static_cast<float>(2.5 * numbers.normal());
      logits[5] = logits[600] = 9.0F;  // alike, and often the best
      const std::vector<Candidate> all = candidates(logits, config);
      std::vector<float> best_values;
      std::vector<int32_t> best_tokens;
      double sum = 0, weighted = 0;
      for (size_t i = 0; i < K; ++i) {
        best_values.push_back(all[i].logit);
        best_tokens.push_back(all[i].token);
      }
      for (const float logit : logits) {
        const double z =
            (static_cast<double>(logit) - static_cast<double>(best_values[0])) / config.temperature;
        sum += std::exp(z);
        weighted += std::exp(z) * z;
      }
      const BestLogits best{.logits = best_values,
                            .tokens = best_tokens,
                            .vocabulary = V,
                            .temperature = config.temperature,
                            .sum = sum,
                            .weighted = weighted};
      const uint64_t before = best_draws.counter();
      const std::optional<Draw> drawn = draw(best, config, best_draws);
      const Draw expected = draw(logits, config, whole_draws);
      if (!drawn) {
        EXPECT_EQ(best_draws.counter(), before) << name;
        best_draws = whole_draws;
        continue;
      }
      ++enough;
      EXPECT_EQ(drawn->token, expected.token) << name << " " << round;
      EXPECT_EQ(drawn->u, expected.u) << name;
      EXPECT_EQ(drawn->kept, expected.kept) << name;
      EXPECT_NEAR(drawn->probability, expected.probability, 1e-12) << name;
      EXPECT_NEAR(drawn->before, expected.before, 1e-12) << name;
      EXPECT_NEAR(drawn->entropy, expected.entropy, 1e-9) << name;
      EXPECT_NEAR(drawn->low, expected.low, 1e-12) << name;
      EXPECT_NEAR(drawn->high, expected.high, 1e-12) << name;
      EXPECT_EQ(best_draws.counter(), whole_draws.counter()) << name;
    }
    EXPECT_LE(enough, 60) << name;
    EXPECT_GE(enough, at_least) << name;
    if (at_least == 0) {
      EXPECT_EQ(enough, 0) << name;
    }
  }
  const std::vector<float> broken = {NAN};
  const std::vector<int32_t> token = {0};
  Random random(1);
  EXPECT_FALSE(draw({.logits = broken, .tokens = token, .vocabulary = 1, .temperature = 1, .sum = 1},
                    {.temperature = 1, .greedy = true}, random));
}

}  // namespace
}  // namespace headlight
