// Facts of the course that hold before training: what a mask lets through, what √D is for, what an untrained
// model knows, what heads cost.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "core/model/config.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

using test::error_of;
using test::NamedConfig;

constexpr int64_t kB = 3, kT = 9;

/// Calls use(layer, row of the pattern, query number) for every row.
template <class Use>
void each_row(const Run& run, const ModelConfig& config, Use use) {
  for (int64_t l = 0; l < config.n_layer; ++l) {
    const std::span<const float> pattern = run.values(fmt::format("blocks.{}.attn.hook_pattern", l));
    ASSERT_FALSE(pattern.empty());
    const auto T = static_cast<size_t>(run.program().T());
    for (size_t r = 0; r < pattern.size() / T; ++r) use(l, pattern.subspan(r * T, T), r % T);
  }
}

/// Largest share of a row's attention that lies on the future.
double leak(const Run& run, const ModelConfig& config) {
  double worst = 0;
  each_row(run, config, [&](int64_t, std::span<const float> row, size_t query) {
    double future = 0;
    for (size_t j = query + 1; j < row.size(); ++j) future += static_cast<double>(row[j]);
    worst = std::max(worst, future);
  });
  return worst;
}

class CoursePatterns : public ::testing::TestWithParam<NamedConfig> {};

TEST_P(CoursePatterns, RowsOfAArePositiveAndSumTo1) {
  const ModelConfig& config = GetParam().config;
  Parameters parameters(test::cpu(), config, 3);
  test::randomize(parameters, 5);
  const auto run = test::run_model(config, parameters, test::random_inputs(config, kB, kT, 7), kB, kT);
  each_row(*run, config, [](int64_t layer, std::span<const float> row, size_t query) {
    double sum = 0;
    for (const float a : row) {
      EXPECT_GE(a, 0.0F);
      sum += static_cast<double>(a);
    }
    EXPECT_NEAR(sum, 1.0, 1e-6) << "block " << layer << ", query " << query;
  });
}
INSTANTIATE_TEST_SUITE_P(All, CoursePatterns, ::testing::ValuesIn(test::many_configs()),
                         [](const auto& which) { return which.param.name; });

TEST(Course, EqualLogitsGiveOneAHalfAThird) {
  const ModelConfig config = test::small_config();
  Parameters parameters(test::cpu(), config, 3);
  for (const Parameters::Entry& entry : parameters.entries()) {
    if (!entry.spec.name.ends_with("c_attn.weight")) continue;
    parameters.upload(entry.value, entry,
                      std::vector<float>(static_cast<size_t>(entry.spec.shape.count()), 0.0F));
  }
  const auto run = test::run_model(config, parameters, test::random_inputs(config, kB, kT, 7), kB, kT);
  each_row(*run, config, [](int64_t, std::span<const float> row, size_t query) {
    for (size_t j = 0; j < row.size(); ++j) {
      EXPECT_FLOAT_EQ(row[j], j <= query ? 1.0F / static_cast<float>(query + 1) : 0.0F);
    }
  });
}

TEST(Course, ZeroFillLeaksAndMinusInfinityDoesNot) {
  const auto leak_of = [](AttentionMask mask, double& loss_change) {
    ModelConfig config = test::small_config();
    config.mask = mask;
    Parameters parameters(test::cpu(), config, 3);
    test::randomize(parameters, 5);
    RunInputs inputs = test::random_inputs(config, 1, kT, 7);
    const auto before = test::run_model(config, parameters, inputs, 1, kT);
    // Whoever leaks sees another last token from the first position.
    inputs.tokens.back() = (inputs.tokens.back() + 1) % static_cast<int32_t>(config.vocab_size);
    const auto after = test::run_model(config, parameters, inputs, 1, kT);
    loss_change = 0;
    const auto V = static_cast<size_t>(config.vocab_size);
    for (size_t i = 0; i < (kT - 1) * V; ++i) {
      loss_change =
          std::max(loss_change, std::abs(static_cast<double>(before->values("unembed.hook_out")[i]) -
                                         static_cast<double>(after->values("unembed.hook_out")[i])));
    }
    return leak(*before, config);
  };
  double change = 0;
  EXPECT_EQ(leak_of(AttentionMask::causal, change), 0.0);
  EXPECT_EQ(change, 0.0) << "the past must not see the last token";
  EXPECT_EQ(leak_of(AttentionMask::finite, change), 0.0) << "e^(−10⁹) is 0 in fp32 too";
  EXPECT_EQ(change, 0.0);
  EXPECT_GT(leak_of(AttentionMask::zero, change), 0.3);
  EXPECT_GT(leak_of(AttentionMask::none, change), 0.3);
  EXPECT_GT(change, 1e-3) << "without a mask the past sees the future";
}

TEST(Course, VarianceOfScoresIsDUnscaledAnd1Scaled) {
  // Unit-variance q and k, by hand: LayerNorm gives unit variance, and orthogonal projections keep it.
  for (const int64_t D : {16, 64}) {
    ModelConfig config;
    config.n_layer = 1;
    config.n_head = 2;
    config.n_embd = 2 * D;
    config.n_positions = 64;
    config.vocab_size = 200;
    config.position = PositionKind::none;
    config.mlp = MlpKind::none;
    config.bias = false;
    config.initializer_range = 1.0;
    Parameters parameters(test::cpu(), config, 3);
    const Parameters::Entry& c_attn = *parameters.find("h.0.attn.c_attn.weight");
    std::vector<float> w = parameters.download(c_attn.value, c_attn);
    for (float& v : w) v /= std::sqrt(static_cast<float>(config.n_embd));
    parameters.upload(c_attn.value, c_attn, w);
    const auto run = test::run_model(config, parameters, test::random_inputs(config, 4, 64, 7), 4, 64);
    const auto variance = [&](const std::string& name) {
      return std::pow(statistics(run->values("blocks.0.attn." + name)).standard_deviation, 2);
    };
    EXPECT_NEAR(variance("hook_q"), 1.0, 0.15);
    EXPECT_NEAR(variance("hook_scores_raw") / static_cast<double>(D), 1.0, 0.15) << D;
    EXPECT_NEAR(variance("hook_scores_scaled"), 1.0, 0.15) << D;
  }
}

TEST(Course, WithoutTheScaleSoftmaxSaturatesAndItsGradientVanishes) {
  ModelConfig config;
  config.n_layer = config.n_head = 1;
  config.n_embd = 128;
  config.n_positions = 32;
  config.vocab_size = 60;
  config.position = PositionKind::none;
  config.mlp = MlpKind::none;
  config.bias = false;
  // Σ over rows of Σ_j A(1 − A): how far a softmax is from saturation, which is its gradient's size.
  const auto openness = [&](bool scaled) {
    config.scale_attn_weights = scaled;
    config.initializer_range = 1.0;
    Parameters parameters(test::cpu(), config, 3);
    const Parameters::Entry& c_attn = *parameters.find("h.0.attn.c_attn.weight");
    std::vector<float> w = parameters.download(c_attn.value, c_attn);
    for (float& v : w) v /= std::sqrt(128.0F);
    parameters.upload(c_attn.value, c_attn, w);
    const auto run = test::run_model(config, parameters, test::random_inputs(config, 2, 32, 7), 2, 32);
    double sum = 0;
    each_row(*run, config, [&](int64_t, std::span<const float> row, size_t) {
      for (const float a : row) sum += static_cast<double>(a * (1 - a));
    });
    return sum;
  };
  EXPECT_LT(openness(false), 0.35 * openness(true));
}

TEST(Course, UntrainedLossIsLnV) {
  for (const int64_t V : {13, 65, 1000, 50257}) {
    ModelConfig config;
    config.vocab_size = V;
    Parameters parameters(test::cpu(), config, 3);
    const RunInputs inputs = test::random_inputs(config, 2, 32, 7);
    for (const bool fused : {false, true}) {
      ProgramOptions options;
      options.fused = fused;
      const auto run = test::run_model(config, parameters, inputs, 2, 32, options, {{}, 0});
      EXPECT_NEAR(run->loss / std::log(static_cast<double>(V)), 1.0, 0.02) << V;
    }
  }
}

TEST(Course, UntrainedAttentionIsNearUniform) {
  const ModelConfig config;
  Parameters parameters(test::cpu(), config, 3);
  const auto run = test::run_model(config, parameters, test::random_inputs(config, 2, 32, 7), 2, 32);
  each_row(*run, config, [](int64_t, std::span<const float> row, size_t query) {
    double entropy = 0;
    for (const float a : row)
      entropy -= a > 0 ? static_cast<double>(a) * std::log(static_cast<double>(a)) : 0.0;
    EXPECT_NEAR(entropy, std::log(static_cast<double>(query + 1)), 0.02) << query;
  });
}

TEST(Course, HeadsCostNothing) {
  ModelConfig config;
  Parameters one(test::cpu(), config, 3);
  config.n_head = 1;
  const Parameters four(test::cpu(), config, 3);
  EXPECT_EQ(one.count(), four.count());
  EXPECT_EQ(count_parameters(config).total(), one.count());
  // And models that differ in heads alone start from the same weights.
  EXPECT_EQ(one.copy_matching(four), static_cast<int>(four.entries().size()));
}

TEST(Course, AttentionIs4dSquaredAndTheMlp8dSquared) {
  ModelConfig config;
  config.bias = false;
  const ParameterCount count = count_parameters(config);
  EXPECT_EQ(count.attention, config.n_layer * 4 * config.n_embd * config.n_embd);
  EXPECT_EQ(count.mlp, config.n_layer * 8 * config.n_embd * config.n_embd);
}

TEST(Course, CountsByPartAddUpForEverySwitch) {
  for (const NamedConfig& named : test::many_configs()) {
    const Parameters parameters(test::cpu(), named.config, 3);
    EXPECT_EQ(count_parameters(named.config).total(), parameters.count()) << named.name;
  }
}

TEST(Course, HeadsThatDoNotDivideTheWidth) {
  ModelConfig config;
  config.n_embd = 64;
  config.n_head = 5;
  const std::string said = error_of([&] { (void)build_program(config, 1, 4); });
  EXPECT_SAYS(said, "n_embd = 64");
  EXPECT_SAYS(said, "n_head = 5");
  EXPECT_SAYS(said, "n_head = 4");
}

TEST(Course, TheMlpActsOnEachTokenAlone) {
  const ModelConfig config = test::small_config();
  Parameters parameters(test::cpu(), config, 3);
  test::randomize(parameters, 5);
  RunInputs inputs = test::random_inputs(config, 1, kT, 7);
  // With attention's output zeroed everywhere, a token's logits depend on nothing but itself.
  ProgramOptions options;
  options.edits = {parse_edit("blocks.*.hook_attn_out:zero")};
  const auto before = test::run_model(config, parameters, inputs, 1, kT, options);
  inputs.tokens[2] = (inputs.tokens[2] + 1) % static_cast<int32_t>(config.vocab_size);
  const auto after = test::run_model(config, parameters, inputs, 1, kT, options);
  const auto V = static_cast<size_t>(config.vocab_size);
  for (size_t t = 0; t < kT; ++t) {
    const auto row = [&](const headlight::Run& run) {
      return run.values("unembed.hook_out").subspan(t * V, V);
    };
    const bool same = std::ranges::equal(row(*before), row(*after));
    EXPECT_EQ(same, t != 2) << t;
  }
}

}  // namespace
}  // namespace headlight
