// Captures: what comes first within the budget, parts of buffers, runs that end early, and digests of heads.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/run/capture.h"
#include "core/run/head_digest.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

using test::error_of;
using test::same_bits;

constexpr int64_t kB = 2, kT = 5;

ModelConfig gpt2() {
  return {.n_layer = 12, .n_head = 12, .n_embd = 768, .n_positions = 1024, .vocab_size = 50257};
}

std::shared_ptr<const Program> gpt2_program(int64_t T) {
  ProgramOptions options;
  options.backward = options.update = true;
  return build_program(gpt2(), 1, T, options);
}

struct Planned {
  std::shared_ptr<const Program> program;
  CapturePlan plan;
  [[nodiscard]] int64_t held(std::string_view name) const {
    return plan.ranges[static_cast<size_t>(program->require(name))].count;
  }
  [[nodiscard]] bool whole(std::string_view name) const {
    return held(name) == program->buffer(program->require(name)).shape.count();
  }
};

Planned planned(int64_t T, const Capture& capture, Phase last) {
  Planned p{gpt2_program(T), {}};
  const auto& steps = p.program->steps();
  int count = 0;
  while (count < static_cast<int>(steps.size()) && steps[static_cast<size_t>(count)].phase <= last) ++count;
  p.plan = plan_capture(*p.program, capture, count);
  size_t bytes = 0;
  for (const ElementRange& range : p.plan.ranges) bytes += 4 * static_cast<size_t>(range.count);
  EXPECT_EQ(p.plan.bytes, bytes);
  EXPECT_LE(p.plan.bytes, capture.budget_bytes);
  return p;
}

TEST(CapturePlan, ActivationsOfGpt2ComeBeforeItsWeights) {
  for (const Phase last : {Phase::loss, Phase::update}) {
    const Planned p = planned(64, {}, last);
    for (const Buffer& buffer : p.program->buffers()) {
      const bool runs = buffer.writer < 0 || p.program->step(buffer.writer).phase <= last;
      EXPECT_TRUE(buffer.role != Role::activation || p.whole(buffer.name)) << buffer.name;
      EXPECT_TRUE(runs || p.held(buffer.name) == 0) << buffer.name;
    }
    EXPECT_FALSE(p.whole("wte.weight")) << "154 MB";
    EXPECT_TRUE(p.whole("h.11.ln_1.weight"));
    EXPECT_NE(std::find(p.plan.left_out.begin(), p.plan.left_out.end(), "wte.weight"), p.plan.left_out.end());
    EXPECT_GT(p.plan.matched_bytes, size_t{500'000'000});
  }
  // Gradients of activations come before those of parameters.
  const Planned p = planned(64, {}, Phase::update);
  EXPECT_TRUE(p.whole("blocks.0.attn.hook_pattern_grad"));
  EXPECT_FALSE(p.whole("wte.weight_grad"));
  EXPECT_FALSE(p.whole("wte.weight_new"));
}

TEST(CapturePlan, WhatIsNotRunIsNotLeftOutEither) {
  const Planned p = planned(8, {.budget_bytes = size_t{1} << 40}, Phase::loss);
  EXPECT_TRUE(p.plan.left_out.empty());
  EXPECT_EQ(p.plan.bytes, p.plan.matched_bytes);
  EXPECT_LT(p.plan.bytes, size_t{700'000'000}) << "no gradient, no moment, no update";
  EXPECT_TRUE(p.whole("wte.weight"));
}

TEST(CapturePlan, WatchedHeadsAreRecordedAloneWhereTheBufferIsTooLarge) {
  const size_t head = 4 * 1024 * 1024;
  Capture capture;
  capture.budget_bytes = 24 * head;
  capture.watched = {{.glob = "unembed.hook_out", .rows = 1},
                     {.glob = "blocks.7.attn.hook_pattern", .head = 3},
                     {.glob = "blocks.9.attn.hook_pattern", .head = 11},
                     {.glob = "blocks.7.attn.hook_q"}};
  const Planned p = planned(1024, capture, Phase::loss);
  const auto range = [&](std::string_view name) {
    return p.plan.ranges[static_cast<size_t>(p.program->require(name))];
  };
  EXPECT_EQ(range("unembed.hook_out"), (ElementRange{1023 * 50257, 50257}));
  EXPECT_TRUE(p.whole("blocks.7.attn.hook_pattern")) << "12 heads find room, and are looked at";
  EXPECT_EQ(range("blocks.9.attn.hook_pattern"), (ElementRange{11 << 20, 1 << 20})) << "24 heads do not";
  EXPECT_TRUE(p.whole("blocks.7.attn.hook_q"));
  EXPECT_EQ(p.held("blocks.8.attn.hook_pattern"), 0);
  const auto& left_out = p.plan.left_out;
  EXPECT_NE(std::find(left_out.begin(), left_out.end(), "blocks.9.attn.hook_pattern"), left_out.end());
  EXPECT_EQ(std::find(left_out.begin(), left_out.end(), "blocks.7.attn.hook_pattern"), left_out.end());
  EXPECT_TRUE(p.whole("blocks.11.ln2.hook_scale")) << "small ones before large ones";
}

TEST(CapturePlan, PartsOfShapes) {
  const Shape scores{{"B", 2}, {"H", 3}, {"Tq", 5}, {"Tk", 4}}, heads{{"B", 2}, {"T", 5}, {"H", 3}, {"D", 4}};
  const Shape rows{{"B", 2}, {"T", 5}, {"C", 4}}, weight{{"V", 9}, {"C", 4}}, bias{{"C", 4}};
  EXPECT_EQ(part_range({.head = 1}, scores), (ElementRange{20, 20}));
  EXPECT_EQ(part_range({.head = 1, .rows = 2}, scores), (ElementRange{32, 8}));
  EXPECT_EQ(part_range({.head = 1, .rows = 2, .last = 3}, scores), (ElementRange{24, 8}));
  EXPECT_EQ(part_range({.head = 7}, scores), (ElementRange{40, 20})) << "the last head that there is";
  EXPECT_EQ(part_range({}, scores), (ElementRange{0, 120}));
  EXPECT_EQ(part_range({.head = 1, .rows = 2}, heads), (ElementRange{36, 24})) << "rows of all heads";
  EXPECT_EQ(part_range({.rows = 1}, rows), (ElementRange{16, 4}));
  EXPECT_EQ(part_range({.rows = 9}, rows), (ElementRange{0, 20})) << "one sequence";
  EXPECT_EQ(part_range({.rows = 3, .last = 4}, weight), (ElementRange{4, 12}));
  EXPECT_EQ(part_range({.rows = 3}, bias), (ElementRange{0, 4}));
}

class Capturing : public ::testing::Test {
 protected:
  Capturing() { test::randomize(parameters_, 5); }
  [[nodiscard]] std::shared_ptr<const Program> program(bool backward = true) const {
    ProgramOptions options;
    options.backward = options.update = backward;
    return build_program(config_, kB, kT, options);
  }
  const ModelConfig config_ = test::small_config();
  Parameters parameters_{test::cpu(), config_, 3};
  RunInputs inputs_ = test::random_inputs(config_, kB, kT, 7);
};

TEST_F(Capturing, PartsHaveTheValuesOfTheWhole) {
  const std::string name = "blocks.1.attn.hook_pattern";
  const auto whole = test::run_model(config_, parameters_, inputs_, kB, kT);
  const size_t head = 4 * kT * kT;
  Capture capture{{"blocks.1.attn.hook_v"}, head + 4 * kB * kT * 12, {{.glob = name, .head = 2}}};
  const auto run = test::run_model(config_, parameters_, inputs_, kB, kT, {}, capture);
  const BufferId id = run->program().require(name);
  const ElementRange range{2 * kT * kT, kT * kT};
  EXPECT_FALSE(run->has(id));
  EXPECT_TRUE(run->values(id).empty());
  EXPECT_TRUE(run->has(id, range));
  EXPECT_TRUE(run->range(id, {range.first - 1, 2}).empty());
  EXPECT_TRUE(run->range(id, {range.first + range.count - 1, 2}).empty());
  EXPECT_TRUE(same_bits(run->range(id, range), whole->values(name).subspan(2 * kT * kT, kT * kT)));
  EXPECT_EQ(run->value(id, range.first + 7), whole->value(id, range.first + 7));
  EXPECT_SAYS(error_of([&] { (void)run->value(id, range.first - 1); }), "was not captured");
  EXPECT_EQ(run->left_out, std::vector<std::string>{name});
  EXPECT_EQ(run->captured_bytes, capture.budget_bytes);
  EXPECT_EQ(run->matched_bytes, 4 * (kB * 3 * kT * kT + kB * kT * 12));
  // z = Σ a·v reads one head's pattern and all values, and both are there.
  const BufferId z = run->program().require("blocks.1.attn.hook_z");
  const int64_t cell = run->program().buffer(z).shape.offset({0, 4, 2, 1});
  EXPECT_EQ(run->explain(z, cell).result, whole->explain(z, cell).result);
  EXPECT_SAYS(error_of([&] {
                (void)run->explain(z, run->program().buffer(z).shape.offset({0, 4, 0, 1}));
              }),
              "was not captured");
}

TEST_F(Capturing, ARunMayEndBeforeTheBackwardPass) {
  Executor all(program(), test::cpu(), parameters_, {});
  Executor some(program(), test::cpu(), parameters_, {{}, {}, false, {}, Phase::loss});
  const auto whole = all.run(inputs_), part = some.run(inputs_);
  EXPECT_LT(some.arena_bytes(), all.arena_bytes());
  EXPECT_EQ(part->loss, whole->loss);
  EXPECT_EQ(part->steps_run, part->program().range(Phase::backward).first);
  EXPECT_EQ(whole->steps_run, static_cast<int>(whole->program().steps().size()));
  EXPECT_EQ(part->step_seconds.size(), part->program().steps().size());
  for (size_t i = 0; i < part->recorded.size(); ++i) {
    const Buffer& buffer = part->program().buffers()[i];
    const auto id = static_cast<BufferId>(i);
    if (buffer.writer >= part->steps_run || buffer.role == Role::moment) {
      EXPECT_FALSE(part->has(id)) << buffer.name;
    } else if (is_floating(buffer.type)) {
      EXPECT_TRUE(same_bits(part->values(id), whole->values(id))) << buffer.name;
    }
  }
  EXPECT_TRUE(part->left_out.empty());
  Executor forward(program(), test::cpu(), parameters_, {{}, {}, false, {}, Phase::forward});
  EXPECT_TRUE(std::isnan(forward.run(inputs_)->loss));
}

TEST_F(Capturing, TheCaptureOfAnExecutorCanChange) {
  Executor executor(program(), test::cpu(), parameters_, {{{"hook_embed"}, 1 << 20}, {}, false});
  const auto before = executor.run(inputs_);
  executor.set_capture({{"*"}, 1 << 24});
  const auto after = executor.run(inputs_);
  executor.set_capture({{"hook_embed"}, 1 << 20});
  const auto again = executor.run(inputs_);
  EXPECT_FALSE(before->has(before->program().require("blocks.0.ln1.hook_scale")));
  EXPECT_TRUE(after->left_out.empty());
  const auto fresh = test::run_model(config_, parameters_, inputs_, kB, kT);
  for (const Buffer& buffer : fresh->program().buffers()) {
    EXPECT_TRUE(same_bits(after->values(buffer.name), fresh->values(buffer.name))) << buffer.name;
  }
  EXPECT_TRUE(same_bits(again->values("hook_embed"), before->values("hook_embed")));
  EXPECT_EQ(again->captured_bytes, before->captured_bytes);
  EXPECT_EQ(before->program().find("loss"), after->program().find("loss"));
}

TEST_F(Capturing, DigestsNeedNoRoomInTheBudget) {
  Capture capture{
      {"loss"}, 4, {}, {"blocks.*.attn.hook_pattern", "blocks.1.attn.hook_attn_scores", "hook_*"}};
  const auto run = test::run_model(config_, parameters_, inputs_, kB, kT, {}, capture);
  const auto whole = test::run_model(config_, parameters_, inputs_, kB, kT);
  for (const std::string name : {"blocks.0.attn.hook_pattern", "blocks.1.attn.hook_attn_scores"}) {
    const BufferId id = run->program().require(name);
    const bool is_pattern = name.ends_with("pattern");
    EXPECT_FALSE(run->has(id));
    for (int64_t h = 0; h < 3; ++h) {
      const auto digest = run->digest(id, h);
      ASSERT_NE(digest, nullptr);
      const Plane matrix{whole->values(id).data() + h * kT * kT, kT, kT, kT, 1};
      const std::span<const int32_t> tokens = std::span(inputs_.tokens).first(kT);
      const HeadDigest expected = digest_head(matrix, tokens, is_pattern);
      EXPECT_TRUE(same_bits(digest->picture.values, expected.picture.values));
      EXPECT_EQ(digest->low, expected.low);
      EXPECT_EQ(digest->high, expected.high);
      ASSERT_EQ(digest->pattern.has_value(), is_pattern);
      if (!is_pattern) continue;
      EXPECT_EQ(digest->pattern->entropy, expected.pattern->entropy);
    }
    EXPECT_EQ(run->digest(id, 3), nullptr);
  }
  EXPECT_EQ(run->digest(run->program().require("blocks.0.attn.hook_attn_scores"), 0), nullptr);
  EXPECT_EQ(run->digest(run->program().require("hook_embed"), 0), nullptr) << "has no heads";
}

TEST(HeadDigest, PicturesKeepTheLargestAndEveryNaN) {
  const int64_t T = 200;  // squares of 3
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<float> matrix(static_cast<size_t>(T * T), -inf);
  const auto at = [&](int64_t i, int64_t j) -> float& { return matrix[static_cast<size_t>(i * T + j)]; };
  at(0, 0) = 1;
  at(2, 1) = -5;
  at(30, 31) = 2;
  at(30, 32) = std::nanf("");
  at(31, 30) = 9;
  at(199, 199) = 4;
  at(199, 0) = -1e9F;
  const HeadDigest d = digest_head({matrix.data(), T, T, T, 1}, {}, false);
  EXPECT_EQ(d.picture.rows, 67);
  EXPECT_EQ(d.picture.cols, 67);
  const Plane p = d.picture.plane();
  EXPECT_EQ(p.at(0, 0), -5);
  EXPECT_TRUE(std::isnan(p.at(10, 10)));
  EXPECT_EQ(p.at(66, 66), 4);
  EXPECT_EQ(p.at(66, 0), -1e9F);
  EXPECT_EQ(p.at(0, 1), -inf);
  EXPECT_EQ(d.low, -5) << "a finite mask is no score";
  EXPECT_EQ(d.high, 9);
  EXPECT_FALSE(d.pattern.has_value());
  const HeadPicture small = head_picture({matrix.data(), 96, 96, T, 1});
  EXPECT_EQ(small.rows, 96);
  for (int64_t i = 0; i < 96; ++i)
    for (int64_t j = 0; j < 96; ++j) ASSERT_TRUE(std::isnan(at(i, j)) || small.plane().at(i, j) == at(i, j));
}

}  // namespace
}  // namespace headlight
