// What a run takes of buffers where they lie, on every backend: digests of heads equal those of the recorded
// cells, statistics those of the recorded values, and steps are timed by the backend's own clock.
#include "core/run/watcher.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>

#include "tests/support/model.h"

namespace headlight {
namespace {

using test::BackendCase;
using test::same_bits;

class Watching : public ::testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override {
    std::string why_not;
    backend_ = test::make_backend(GetParam().name, why_not);
    if (backend_ == nullptr) GTEST_SKIP() << why_not;
  }
  /// One sequence through a new model; tokens repeat, so that there are keys to copy from.
  std::shared_ptr<const headlight::Run> run(const ModelConfig& config, int64_t T,
                                            const ProgramOptions& options, const Capture& capture) {
    Parameters parameters(*backend_, config, 3);
    test::randomize(parameters, 5);
    return test::run_model(config, parameters, test::random_inputs(config, 1, T, 7), 1, T, options, capture);
  }

  std::unique_ptr<kernels::Backend> backend_;
};
INSTANTIATE_TEST_SUITE_P(Backends, Watching, ::testing::ValuesIn(test::backend_cases()),
                         [](const auto& tested) { return tested.param.name; });

void expect_same_digest(const HeadDigest& actual, const HeadDigest& expected) {
  EXPECT_EQ(actual.picture.rows, expected.picture.rows);
  EXPECT_EQ(actual.picture.cols, expected.picture.cols);
  EXPECT_TRUE(same_bits(actual.picture.values, expected.picture.values));
  EXPECT_EQ(actual.low, expected.low);
  EXPECT_EQ(actual.high, expected.high);
  ASSERT_EQ(actual.pattern.has_value(), expected.pattern.has_value());
  if (!expected.pattern) return;
  const PatternDigest &a = *actual.pattern, &b = *expected.pattern;
  EXPECT_EQ(a.scores.induction, b.scores.induction);
  EXPECT_EQ(a.scores.previous, b.scores.previous);
  EXPECT_EQ(a.scores.first, b.scores.first);
  EXPECT_NEAR(a.leak, b.leak, 1e-12);
  EXPECT_EQ(a.strongest, b.strongest);
  EXPECT_LT(test::relative_error(a.entropy, std::span<const float>(b.entropy)), 1e-6);
}

TEST_P(Watching, DigestsAreThoseOfTheRecordedCells) {
  for (const int64_t T : {1, 5, 130}) {
    for (const AttentionMask mask : {AttentionMask::causal, AttentionMask::finite, AttentionMask::none}) {
      for (const ElementType precision : {ElementType::f32, ElementType::bf16}) {
        SCOPED_TRACE(fmt::format("T {}, mask {}, precision {}", T, static_cast<int>(mask),
                                 static_cast<int>(precision)));
        ModelConfig config = test::small_config();
        config.n_layer = 1;
        config.n_positions = 130;
        config.mask = mask;
        ProgramOptions options;
        options.precision = precision;
        const Capture capture{{"*"}, size_t{1} << 26, {}, {"*"}};
        const auto recorded = run(config, T, options, capture);
        int digests = 0;
        for (size_t i = 0; i < recorded->digests.size(); ++i) {
          if (recorded->digests[i] == nullptr) continue;
          const auto id = static_cast<BufferId>(i);
          const Buffer& buffer = recorded->program().buffer(id);
          SCOPED_TRACE(buffer.name);
          const bool is_pattern = recorded->program().step(buffer.writer).op->kind() == "softmax";
          const int64_t rows = buffer.shape.size(2), cols = buffer.shape.last();
          for (int64_t h = 0; h < config.n_head; ++h) {
            const auto values = recorded->range(id, {h * rows * cols, rows * cols});
            ASSERT_FALSE(values.empty());
            const Plane plane{values.data(), rows, cols, cols, 1};
            expect_same_digest(*recorded->digest(id, h), digest_head(plane, recorded->tokens, is_pattern));
            ++digests;
          }
        }
        EXPECT_GE(digests, 4 * config.n_head);
        EXPECT_TRUE(recorded->digest(recorded->program().require("blocks.0.attn.hook_pattern"), 0)->pattern);
      }
    }
  }
}

TEST_P(Watching, StatisticsOfWhatIsTooLargeComeWithoutItsCells) {
  const ModelConfig config = test::small_config();
  for (const ElementType precision : {ElementType::f32, ElementType::bf16}) {
    ProgramOptions options;
    options.precision = precision;
    const auto whole = run(config, 9, options, {});
    Capture capture{{}, 4 * 9 * 12, {{.glob = "*"}}, {}};
    const auto watched = run(config, 9, options, capture);
    int measured = 0, recorded = 0;
    for (size_t i = 0; i < watched->recorded.size(); ++i) {
      const auto id = static_cast<BufferId>(i);
      const Buffer& buffer = watched->program().buffer(id);
      SCOPED_TRACE(buffer.name);
      const BufferStatistics* found = watched->statistics(id);
      EXPECT_EQ(whole->statistics(id), nullptr) << "nobody watches it";
      if (!whole->has(id) || !is_floating(buffer.type)) {
        EXPECT_EQ(found, nullptr);
        continue;
      }
      ASSERT_EQ(found == nullptr, watched->has(id));
      recorded += found == nullptr ? 1 : 0;
      if (found == nullptr) continue;
      const BufferStatistics expected = statistics(whole->values(id));
      const double width = expected.maximum - expected.minimum;
      EXPECT_EQ(found->count, expected.count);
      EXPECT_EQ(found->non_finite, expected.non_finite);
      EXPECT_EQ(found->minimum, expected.minimum);
      EXPECT_EQ(found->maximum, expected.maximum);
      EXPECT_NEAR(found->mean, expected.mean, 1e-12 * width);
      EXPECT_NEAR(found->standard_deviation, expected.standard_deviation, 1e-12 * width);
      EXPECT_EQ(found->histogram, expected.histogram);
      ++measured;
    }
    EXPECT_GT(measured, 40);
    EXPECT_GT(recorded, 0);
    EXPECT_EQ(watched->statistics(no_buffer), nullptr);
  }
}

TEST_P(Watching, ARunUnderWayHoldsWhatItSawWhileTrainingGoesOn) {
  const ModelConfig config = test::small_config();
  for (const ElementType precision : {ElementType::f32, ElementType::bf16}) {
    ProgramOptions options;
    options.precision = precision;
    options.backward = options.update = true;
    const auto program = build_program(config, 1, 9, options);
    Parameters parameters(*backend_, config, 3);
    Capture capture{{"*"}, 4000, {{.glob = "*"}}, {"blocks.*.attn.hook_pattern"}};
    Executor probe(program, *backend_, parameters, {capture, {}, false, {}, Phase::backward});
    Executor training(program, *backend_, parameters, {{{}, 0}, {}, true, {}, Phase::update});
    RunInputs inputs = test::random_inputs(config, 1, 9, 7);
    inputs.learning_rate = 0.1;
    const auto before = probe.run(inputs);
    const auto pending = probe.start(inputs);
    training.set_inputs(inputs);
    training.run_steps(0, static_cast<int>(program->steps().size()));
    const auto recorded = pending->finish();
    EXPECT_EQ(recorded->loss, before->loss);
    EXPECT_NE(probe.run(inputs)->loss, before->loss) << "the training changed nothing";
    int compared = 0;
    for (size_t i = 0; i < before->recorded.size(); ++i) {
      const auto id = static_cast<BufferId>(i);
      SCOPED_TRACE(program->buffer(id).name);
      ASSERT_EQ(before->recorded[i] == nullptr, recorded->recorded[i] == nullptr);
      if (before->recorded[i] != nullptr) {
        EXPECT_TRUE(same_bits(recorded->recorded[i]->values, before->recorded[i]->values));
        EXPECT_EQ(recorded->recorded[i]->integers, before->recorded[i]->integers);
        ++compared;
      }
      ASSERT_EQ(before->statistics(id) == nullptr, recorded->statistics(id) == nullptr);
      if (before->statistics(id) != nullptr) {
        EXPECT_EQ(recorded->statistics(id)->histogram, before->statistics(id)->histogram);
      }
      const auto digest = recorded->digest(id, 1);
      if (digest != nullptr) expect_same_digest(*digest, *before->digest(id, 1));
    }
    EXPECT_GT(compared, 10);
    // One that nobody waits for leaves nothing behind that writes into its memory.
    (void)probe.start(inputs);
    EXPECT_TRUE(backend_->reached(backend_->mark(), true));
  }
}

TEST_P(Watching, EveryStepThatRanHasItsTime) {
  Parameters parameters(*backend_, test::small_config(), 3);
  ProgramOptions options;
  options.backward = options.update = true;
  const auto program = build_program(test::small_config(), 1, 9, options);
  Executor executor(program, *backend_, parameters, {{}, {}, false, {}, Phase::backward});
  const RunInputs inputs = test::random_inputs(test::small_config(), 1, 9, 7);
  std::atomic<bool> cancelled = true;
  EXPECT_THROW((void)executor.run(inputs, &cancelled), Cancelled);
  for (int round = 0; round < 2; ++round) {
    const auto recorded = executor.run(inputs);
    const std::vector<double>& seconds = recorded->step_seconds;
    ASSERT_EQ(seconds.size(), program->steps().size());
    const auto behind = seconds.begin() + recorded->steps_run;
    ASSERT_NE(behind, seconds.end());
    EXPECT_TRUE(std::all_of(seconds.begin(), behind, [](double s) { return s > 0 && s < 60; }));
    EXPECT_TRUE(std::all_of(behind, seconds.end(), [](double s) { return s == 0; }));
  }
}

}  // namespace
}  // namespace headlight
