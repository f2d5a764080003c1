// The memory plan: judged by brute force over the lifetimes of all pairs of buffers, for every switch.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "core/run/memory_plan.h"
#include "core/tape/op.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

using test::NamedConfig;

constexpr int64_t kB = 2, kT = 5;

/// Steps during which a buffer must keep its value.
struct Life {
  int first = 0, last = -1;
};

std::vector<Life> lives_of(const Program& program, const std::vector<bool>& kept) {
  const int n = static_cast<int>(program.steps().size());
  std::vector<Life> lives(program.buffers().size());
  for (size_t i = 0; i < lives.size(); ++i) {
    const Buffer& buffer = program.buffers()[i];
    lives[i] = {std::max(buffer.writer, 0), std::max(buffer.writer, 0)};
    if (kept[i] || buffer.role == Role::input) lives[i].last = n;
  }
  for (int s = 0; s < n; ++s) {
    for (const BufferId id : program.step(s).inputs) {
      if (id != no_buffer)
        lives[static_cast<size_t>(id)].last = std::max(lives[static_cast<size_t>(id)].last, s);
    }
  }
  return lives;
}

/// True where the step that writes `b` may write it over its input `a`.
bool may_overwrite(const Program& program, BufferId a, BufferId b) {
  const int writer = program.buffer(b).writer;
  if (writer < 0) return false;
  const Step& step = program.step(writer);
  for (size_t o = 0; o < step.outputs.size(); ++o) {
    if (step.outputs[o] != b || step.op->in_place_input(o) < 0) continue;
    if (step.inputs[static_cast<size_t>(step.op->in_place_input(o))] == a) return true;
  }
  return false;
}

/// Checks the plan; returns the bytes that its buffers would take side by side.
size_t check_plan(const Program& program, const MemoryPlan& plan, const std::vector<bool>& kept) {
  const std::vector<Life> lives = lives_of(program, kept);
  const auto placed = [&](size_t i) {
    return plan.offsets[i] != MemoryPlan::elsewhere && plan.offsets[i] != MemoryPlan::absent;
  };
  size_t sum = 0;
  for (size_t i = 0; i < lives.size(); ++i) {
    const Buffer& buffer = program.buffers()[i];
    const bool outside = buffer.role == Role::parameter || buffer.role == Role::moment;
    EXPECT_EQ(plan.offsets[i] == MemoryPlan::elsewhere, outside || plan.in_place_of[i] != no_buffer)
        << buffer.name;
    if (plan.offsets[i] == MemoryPlan::absent) {
      EXPECT_EQ(lives[i].last, buffer.writer) << buffer.name << " is absent, but somebody reads or keeps it";
    }
    if (!placed(i)) continue;
    sum += buffer.bytes();
    EXPECT_LE(plan.offsets[i] + buffer.bytes(), plan.bytes) << buffer.name;
    EXPECT_EQ(plan.offsets[i] % 64, 0U) << buffer.name;
    for (size_t j = 0; j < i; ++j) {
      const Buffer& other = program.buffers()[j];
      if (!placed(j)) continue;
      if (plan.offsets[i] + buffer.bytes() <= plan.offsets[j]) continue;
      if (plan.offsets[j] + other.bytes() <= plan.offsets[i]) continue;
      // They share bytes: one must be dead before the other is written, or hand its place over.
      const size_t early = lives[i].first < lives[j].first ? i : j, late = early == i ? j : i;
      const bool handed_over =
          lives[early].last == lives[late].first &&
          may_overwrite(program, static_cast<BufferId>(early), static_cast<BufferId>(late)) &&
          plan.offsets[early] == plan.offsets[late];
      EXPECT_TRUE(lives[early].last < lives[late].first || handed_over)
          << program.buffers()[early].name << " (steps " << lives[early].first << " to " << lives[early].last
          << ") lies in the memory of " << program.buffers()[late].name << " (from " << lives[late].first
          << ")";
    }
  }
  return sum;
}

class MemoryPlans : public ::testing::TestWithParam<NamedConfig> {};

TEST_P(MemoryPlans, NeverOverlapLiveBuffers) {
  const ModelConfig& config = GetParam().config;
  for (const bool fused : {false, true}) {
    for (const bool in_place : {false, true}) {
      ProgramOptions options = test::whole_program(config, fused);
      options.checkpointing = in_place == fused;
      const auto program = build_program(config, kB, kT, options);
      const size_t n = program->buffers().size();
      // Nothing kept; everything looked at; random buffers kept.
      Random random(9);
      for (int round = 0; round < 4; ++round) {
        std::vector<bool> kept(n, false), wanted(n, round == 1);
        for (size_t i = 0; i < n; ++i) {
          const bool lasting =
              program->buffers()[i].role == Role::parameter || program->buffers()[i].role == Role::moment;
          if (round >= 2 && !lasting) kept[i] = random.below(6) == 0;
        }
        const MemoryPlan plan = plan_memory(*program, kept, wanted, in_place);
        const size_t sum = check_plan(*program, plan, kept);
        if (round == 0) {
          EXPECT_LT(plan.bytes, sum * 2 / 3) << "the plan hardly shares memory";
        }
      }
    }
  }
}

TEST_P(MemoryPlans, OptionalOutputsAreThereOnlyWhenWanted) {
  const ModelConfig& config = GetParam().config;
  const auto program = build_program(config, kB, kT, test::whole_program(config));
  const size_t n = program->buffers().size();
  const std::vector<bool> none(n, false), all(n, true);
  const MemoryPlan plan = plan_memory(*program, none, none, false);
  const MemoryPlan watched = plan_memory(*program, none, all, false);
  size_t absent = 0;
  for (size_t i = 0; i < n; ++i) {
    const bool is_normalized = program->buffers()[i].name.ends_with("hook_normalized");
    EXPECT_EQ(plan.offsets[i] == MemoryPlan::absent, is_normalized) << program->buffers()[i].name;
    EXPECT_NE(watched.offsets[i], MemoryPlan::absent) << program->buffers()[i].name;
    absent += is_normalized ? 1 : 0;
  }
  EXPECT_EQ(absent > 0, config.norm != NormKind::none);
}

TEST_P(MemoryPlans, TrainingWritesWeightsAndMomentsInPlace) {
  const ModelConfig& config = GetParam().config;
  const auto program = build_program(config, kB, kT, test::whole_program(config));
  const std::vector<bool> none(program->buffers().size(), false);
  const MemoryPlan in_place = plan_memory(*program, none, none, true);
  const MemoryPlan looked_at = plan_memory(*program, none, none, false);
  for (const ParameterSpec& spec : parameter_specs(config)) {
    for (const std::string suffix : {"", "_m", "_v"}) {
      const auto updated = static_cast<size_t>(program->require(spec.name + suffix + "_new"));
      EXPECT_EQ(in_place.in_place_of[updated], program->require(spec.name + suffix)) << spec.name << suffix;
      EXPECT_EQ(looked_at.in_place_of[updated], no_buffer) << spec.name << suffix;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, MemoryPlans, ::testing::ValuesIn(test::many_configs()),
                         [](const auto& which) { return which.param.name; });

}  // namespace
}  // namespace headlight
