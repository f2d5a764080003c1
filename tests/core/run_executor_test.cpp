// The executor: capture and its budget, that watching changes nothing, repeatability, cancelling, training in
// place, inputs that do not fit, and the statistics of a recorded buffer.
#include "core/run/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>

#include "tests/support/error_text.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

using test::error_of;
using test::NamedConfig;
using test::same_bits;

constexpr int64_t kB = 2, kT = 5;

/// Capture of nothing at all.
const Capture kNothing = {{}, 0};

class Executors : public ::testing::TestWithParam<NamedConfig> {
 protected:
  Executors() : parameters_(test::cpu(), config_, 3) {
    test::randomize(parameters_, 5);
    test::randomize_moments(parameters_, 6);
  }
  /// Weights after one step of training in place.
  [[nodiscard]] std::vector<std::vector<float>> trained(const Capture& capture, bool fused, double& loss) {
    Parameters copy(test::cpu(), config_, 3);
    copy.copy_matching(parameters_);
    Executor executor(build_program(config_, kB, kT, test::whole_program(config_, fused)), test::cpu(), copy,
                      {capture, {}, true});
    loss = executor.run(inputs_)->loss;
    std::vector<std::vector<float>> weights;
    for (const Parameters::Entry& entry : copy.entries()) {
      for (const float* memory : {entry.value, entry.first, entry.second}) {
        weights.push_back(copy.download(memory, entry));
      }
    }
    return weights;
  }
  const ModelConfig config_ = GetParam().config;
  Parameters parameters_;
  RunInputs inputs_ = test::random_inputs(config_, kB, kT, 7);
};

TEST_P(Executors, WatchingChangesNoBit) {
  for (const bool fused : {false, true}) {
    double watched_loss = 0, loss = 0;
    const auto watched = trained({}, fused, watched_loss), alone = trained(kNothing, fused, loss);
    EXPECT_EQ(watched_loss, loss);
    ASSERT_EQ(watched.size(), alone.size());
    for (size_t i = 0; i < alone.size(); ++i) EXPECT_TRUE(same_bits(watched[i], alone[i])) << i;
  }
}

TEST_P(Executors, SameSeedSameBits) {
  for (const bool fused : {false, true}) {
    const ProgramOptions options = test::whole_program(config_, fused);
    const auto first = test::run_model(config_, parameters_, inputs_, kB, kT, options);
    const auto second = test::run_model(config_, parameters_, inputs_, kB, kT, options);
    EXPECT_NE(first->id, second->id);
    EXPECT_EQ(first->loss, second->loss);
    for (size_t i = 0; i < first->recorded.size(); ++i) {
      const auto id = static_cast<BufferId>(i);
      EXPECT_TRUE(same_bits(first->values(id), second->values(id))) << first->program().buffer(id).name;
    }
  }
}

TEST_P(Executors, AnUpdateThatIsOnlyLookedAtEqualsTrainingInPlace) {
  const auto run = test::run_model(config_, parameters_, inputs_, kB, kT, test::whole_program(config_));
  double loss = 0;
  const auto weights = trained(kNothing, false, loss);
  EXPECT_EQ(run->loss, loss);
  size_t i = 0;
  for (const Parameters::Entry& entry : parameters_.entries()) {
    for (const std::string suffix : {"", "_m", "_v"}) {
      EXPECT_TRUE(same_bits(run->values(entry.spec.name + suffix + "_new"), weights[i++]))
          << entry.spec.name << suffix;
    }
    // The model itself did not move.
    EXPECT_TRUE(same_bits(run->values(entry.spec.name), parameters_.download(entry.value, entry)));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Executors, ::testing::ValuesIn(test::many_configs()),
                         [](const auto& which) { return which.param.name; });

class Executing : public ::testing::Test {
 protected:
  Executing() { test::randomize(parameters_, 5); }
  const ModelConfig config_ = test::small_config();
  Parameters parameters_{test::cpu(), config_, 3};
  RunInputs inputs_ = test::random_inputs(config_, kB, kT, 7);
};

TEST_F(Executing, CapturesWhatTheGlobsName) {
  const auto run = test::run_model(config_, parameters_, inputs_, kB, kT, {},
                                   {{"blocks.*.attn.hook_pattern", "blocks.1.hook_resid_pre"}, 1 << 20});
  std::vector<std::string> names;
  for (size_t i = 0; i < run->recorded.size(); ++i) {
    if (run->recorded[i]) names.push_back(run->program().buffers()[i].name);
  }
  EXPECT_EQ(names, (std::vector<std::string>{"blocks.0.attn.hook_pattern", "blocks.0.hook_resid_post",
                                             "blocks.1.attn.hook_pattern"}));
  EXPECT_EQ(run->captured_bytes, 4 * (2 * kB * 3 * kT * kT + kB * kT * 12));
  EXPECT_TRUE(run->left_out.empty());
  EXPECT_TRUE(run->values("hook_embed").empty());
  EXPECT_EQ(run->tokens, inputs_.tokens);
  EXPECT_EQ(run->step_seconds.size(), run->program().steps().size());
}

TEST_F(Executing, SaysWhatTheBudgetLeftOut) {
  const size_t pattern = 4 * kB * 3 * kT * kT;
  const auto run =
      test::run_model(config_, parameters_, inputs_, kB, kT, {},
                      {{"blocks.1.attn.hook_pattern", "blocks.*.attn.hook_pattern", "loss"}, pattern + 4});
  EXPECT_EQ(run->left_out, std::vector<std::string>{"blocks.0.attn.hook_pattern"});
  EXPECT_FALSE(run->values("blocks.1.attn.hook_pattern").empty()) << "earlier globs come first";
  EXPECT_TRUE(run->values("blocks.0.attn.hook_pattern").empty());
  EXPECT_EQ(run->values("loss").size(), 1U) << "what is small still fits";
  EXPECT_EQ(run->captured_bytes, pattern + 4);
}

TEST_F(Executing, ABufferOverTheBudgetIsNamedOnce) {
  const auto run =
      test::run_model(config_, parameters_, inputs_, kB, kT, {}, {{"hook_embed", "hook_emb*", "*embed"}, 8});
  EXPECT_EQ(run->left_out, (std::vector<std::string>{"hook_embed", "hook_pos_embed"}));
}

TEST_F(Executing, CancelStopsBetweenSteps) {
  Executor executor(build_program(config_, kB, kT), test::cpu(), parameters_, {});
  std::atomic<bool> cancel{true};
  EXPECT_THROW((void)executor.run(inputs_, &cancel), Cancelled);
  cancel = false;
  const double loss = executor.run(inputs_, &cancel)->loss;
  EXPECT_EQ(loss, executor.run(inputs_)->loss);
}

TEST_F(Executing, PhasesByHandEqualOneRun) {
  ProgramOptions options;
  options.backward = true;
  Executor whole(build_program(config_, kB, kT, options), test::cpu(), parameters_,
                 {{{"wte.weight_grad"}, 1 << 20}, {}, false});
  Executor pieces(build_program(config_, kB, kT, options), test::cpu(), parameters_, {kNothing, {}, false});
  const double loss = whole.run(inputs_)->loss;
  pieces.set_inputs(inputs_);
  pieces.run_phase(Phase::forward);
  pieces.run_phase(Phase::loss);
  EXPECT_EQ(pieces.scalar("loss"), loss);
}

TEST_F(Executing, LossIsNoNumberWithoutTargets) {
  RunInputs inputs = inputs_;
  std::fill(inputs.targets.begin(), inputs.targets.end(), -1);
  ProgramOptions options;
  options.backward = true;
  const auto run = test::run_model(config_, parameters_, inputs, kB, kT, options);
  EXPECT_TRUE(std::isnan(run->loss));
  for (const float g : run->values("wte.weight_grad")) EXPECT_EQ(g, 0.0F);
}

TEST_F(Executing, InputsThatDoNotFit) {
  const auto sentence = [&](auto change) {
    RunInputs inputs = inputs_;
    change(inputs);
    return error_of([&] { (void)test::run_model(config_, parameters_, inputs, kB, kT); });
  };
  EXPECT_EQ(sentence([](RunInputs& i) { i.tokens.pop_back(); }),
            "\"tokens\" takes 10 numbers, but 9 were given");
  EXPECT_EQ(sentence([](RunInputs& i) { i.targets.clear(); }),
            "\"targets\" takes 10 numbers, but 0 were given");
  EXPECT_EQ(sentence([](RunInputs& i) { i.tokens[3] = 13; }),
            "token 13 at place 3 is not one of the model's 13 tokens; ids go from 0 to 12");
  EXPECT_SAYS(sentence([](RunInputs& i) { i.tokens[0] = -1; }), "token -1 at place 0");
  EXPECT_SAYS(sentence([](RunInputs& i) { i.targets[9] = 400; }), "target 400 at place 9");
  EXPECT_SAYS(sentence([](RunInputs& i) { i.targets[9] = -2; }), "target -2 at place 9");
}

TEST_F(Executing, NamesTheFirstBufferThatIsNotFinite) {
  const Parameters::Entry& entry = *parameters_.find("h.1.mlp.c_fc.bias");
  std::vector<float> bias = parameters_.download(entry.value, entry);
  ProgramOptions options;
  options.backward = true;
  Executor executor(build_program(config_, kB, kT, options), test::cpu(), parameters_, {kNothing, {}, false});
  bias[4] = std::numeric_limits<float>::infinity();
  parameters_.upload(entry.value, entry, bias);
  EXPECT_EQ(executor.first_non_finite(inputs_), "h.1.mlp.c_fc.bias[4] = inf");
  bias[4] = 3e38F;
  parameters_.upload(entry.value, entry, bias);
  const Parameters::Entry& next = *parameters_.find("h.1.mlp.c_proj.weight");
  std::vector<float> weight = parameters_.download(next.value, next);
  weight[4 * 12] = 100.0F;
  parameters_.upload(next.value, next, weight);
  EXPECT_SAYS(executor.first_non_finite(inputs_), "blocks.1.hook_mlp_out[0, 0, 0] = inf");
}

TEST(Statistics, CountFiniteValuesOnly) {
  const float inf = std::numeric_limits<float>::infinity();
  const std::vector<float> values = {1, 2, 3, -inf, 4, std::nanf("")};
  const BufferStatistics s = statistics(values, 3);
  EXPECT_EQ(s.count, 6);
  EXPECT_EQ(s.non_finite, 2);
  EXPECT_DOUBLE_EQ(s.mean, 2.5);
  EXPECT_DOUBLE_EQ(s.standard_deviation, std::sqrt(1.25));
  EXPECT_EQ(s.minimum, 1);
  EXPECT_EQ(s.maximum, 4);
  EXPECT_EQ(s.histogram, (std::vector<int64_t>{1, 1, 2}));
  const BufferStatistics constant = statistics(std::vector<float>{5, 5}, 4);
  EXPECT_EQ(constant.histogram, (std::vector<int64_t>{2, 0, 0, 0}));
  const BufferStatistics empty = statistics(std::vector<float>{-inf}, 2);
  EXPECT_EQ(empty.minimum, 0);
  EXPECT_EQ(empty.maximum, 0);
}

}  // namespace
}  // namespace headlight
