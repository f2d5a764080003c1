// Mixed precision as a rewrite: which buffers become 16 bit, that the mixed program computes what the fp32
// one does, that master weights gather updates smaller than a 16-bit step, and that training learns the same.
#include "core/tape/precision.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "core/base/error.h"
#include "core/engine/builtin.h"
#include "core/text/story.h"
#include "core/train/trainer.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::error_of;
using test::NamedConfig;

constexpr int64_t kB = 2, kT = 5;

ProgramOptions mixed(const ModelConfig& config, bool fused, ElementType element = ElementType::bf16) {
  ProgramOptions options = test::whole_program(config, fused);
  options.precision = element;
  if (element == ElementType::f16) options.backward = options.update = false;
  return options;
}

/// √(Σ(a − b)²/Σb²) over the finite cells; infinite where one side alone is finite.
double root_error(std::span<const float> a, std::span<const float> b) {
  double error = 0, size = 1e-12;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    if (x == y || std::abs(y) >= 1e8) continue;  // −∞ and −10⁹ of masks
    if (!std::isfinite(x - y)) return INFINITY;
    error += (x - y) * (x - y);
    size += y * y;
  }
  return std::sqrt(error / size);
}

class Precision : public ::testing::TestWithParam<NamedConfig> {
 protected:
  Precision() : parameters_(test::cpu(), config_, 3) {
    test::randomize(parameters_, 5);
    test::randomize_moments(parameters_, 6);
  }
  std::shared_ptr<const headlight::Run> run(const ProgramOptions& options) {
    return test::run_model(config_, parameters_, inputs_, kB, kT, options);
  }
  const ModelConfig config_ = GetParam().config;
  Parameters parameters_;
  RunInputs inputs_ = test::random_inputs(config_, kB, kT, 7);
};

TEST_P(Precision, WhatIsSixteenBitAndWhatStaysFp32) {
  for (const bool fused : {false, true}) {
    const auto program = build_program(config_, kB, kT, mixed(config_, fused));
    for (const Buffer& buffer : program->buffers()) {
      const std::string& name = buffer.name;
      const auto named = [&](std::string_view part) { return name.find(part) != std::string::npos; };
      const bool whole_number = name == "tokens" || name == "targets" || name == "dropout_seed";
      if (whole_number) continue;
      const bool statistic = name.ends_with("hook_mean") || name.ends_with("hook_scale") || named("lse") ||
                             name.starts_with("loss") || name.starts_with("probs") ||
                             name.starts_with("hook_rotary") || name.ends_with("@fp32");
      const bool of_a_parameter = named(".weight") || named(".bias");
      const bool copied = name.ends_with("@bf16");
      // The gradient of the logits leaves the fp32 island of an unfused program through a cast.
      const bool island = !fused && name == "unembed.hook_out_grad";
      const bool single = !copied && (statistic || of_a_parameter || island || buffer.role == Role::update ||
                                      named("adamw") || named("grad_squares"));
      EXPECT_EQ(buffer.type, single ? ElementType::f32 : ElementType::bf16) << name;
    }
  }
}

TEST_P(Precision, EverySurvivingBufferIsNearTheFp32Program) {
  for (const bool fused : {false, true}) {
    const auto exact = run(test::whole_program(config_, fused)), found = run(mixed(config_, fused));
    EXPECT_NEAR(found->loss, exact->loss, 0.03 * exact->loss);
    for (size_t i = 0; i < exact->recorded.size(); ++i) {
      const Buffer& buffer = exact->program().buffers()[i];
      if (!is_floating(buffer.type)) continue;
      const auto id = found->program().find(buffer.name);
      ASSERT_TRUE(id.has_value()) << buffer.name;
      const std::span<const float> expected = exact->values(static_cast<BufferId>(i));
      // Rounding to 8 bits of fraction at each of some thirty steps.
      EXPECT_LE(root_error(found->values(*id), expected), 0.06)
          << buffer.name << (fused ? " fused" : " plain");
    }
  }
}

TEST_P(Precision, FusedAndPlainAgree) {
  const auto plain = run(mixed(config_, false)), fused = run(mixed(config_, true));
  EXPECT_NEAR(plain->loss, fused->loss, 0.02 * plain->loss);
}

TEST_P(Precision, Fp16RunsForwardCloserThanBf16) {
  const ProgramOptions options = mixed(config_, true, ElementType::f16);
  const auto exact = run(test::whole_program(config_, true)), found = run(options);
  EXPECT_LE(root_error(found->values("unembed.hook_out"), exact->values("unembed.hook_out")), 0.006);
}

INSTANTIATE_TEST_SUITE_P(All, Precision, ::testing::ValuesIn(test::many_configs()),
                         [](const auto& which) { return which.param.name; });

TEST(PrecisionCasts, AWeightHasOneCopyAndTheUpdateWritesTheOriginal) {
  const ModelConfig config = test::small_config();
  const auto program = build_program(config, kB, kT, mixed(config, true));
  std::map<BufferId, int> copies;
  for (const Step& step : program->steps()) {
    if (step.op->kind() == "cast") copies[step.inputs[0]] += 1;
    if (step.op->kind() != "adamw") continue;
    EXPECT_EQ(program->buffer(step.inputs[0]).role, Role::parameter) << step.name;
    EXPECT_EQ(program->buffer(step.outputs[0]).type, ElementType::f32) << step.name;
  }
  for (const ParameterSpec& spec : parameter_specs(config)) {
    EXPECT_EQ(copies[program->require(spec.name)], 1) << spec.name;
    const Buffer& copy = program->buffer(program->require(spec.name + "@bf16"));
    EXPECT_EQ(copy.bytes(), 2 * static_cast<size_t>(spec.shape.count()));
    EXPECT_EQ(program->step(copy.writer).phase, Phase::forward);
  }
}

TEST(PrecisionMemory, SixteenBitActivationsTakeHalf) {
  ModelConfig config = test::small_config();
  config.n_embd = 48;
  Parameters parameters(test::cpu(), config, 3);
  const auto bytes = [&](ElementType element) {
    ProgramOptions options;
    options.precision = element;
    return Executor(build_program(config, 16, 9, options), test::cpu(), parameters, {{{}, 0}, {}, false})
        .arena_bytes();
  };
  EXPECT_LT(bytes(ElementType::bf16), bytes(ElementType::f32) * 3 / 4);
}

TEST(PrecisionMaster, WeightsGatherUpdatesSmallerThanTheirCopysStep) {
  // Gains start at 1, where bf16 steps down by 1/256: AdamW's 1e-4 a step never reaches it at once.
  const ModelConfig config = test::small_config();
  Parameters parameters(test::cpu(), config, 3);
  ProgramOptions options = mixed(config, true);
  options.train.weight_decay = 0;
  Executor executor(build_program(config, kB, kT, options), test::cpu(), parameters,
                    {{{"ln_f.weight", "ln_f.weight@bf16"}, size_t{1} << 20}, {}, true});
  RunInputs inputs = test::random_inputs(config, kB, kT, 7);
  inputs.learning_rate = 1e-4;
  inputs.beta1 = options.train.beta1;
  inputs.beta2 = options.train.beta2;
  std::vector<float> before(static_cast<size_t>(config.n_embd), 1.0F);
  bool copy_moved = false;
  for (int step = 1; step <= 60; ++step) {
    inputs.adam_step = step;
    const auto run = executor.run(inputs);
    const std::span<const float> copy = run->values("ln_f.weight@bf16");
    const Parameters::Entry& entry = *parameters.find("ln_f.weight");
    const std::vector<float> master = parameters.download(entry.value, entry);
    for (size_t c = 0; c < master.size(); ++c) {
      EXPECT_NE(master[c], before[c]) << "step " << step;
      EXPECT_LT(std::abs(master[c] - before[c]), 1.0F / 512) << "step " << step;
      EXPECT_EQ(copy[c], kernels::to_float(kernels::from_float<kernels::bfloat16>(before[c])));
      copy_moved = copy_moved || copy[c] != 1.0F;
    }
    EXPECT_FALSE(step < 8 && copy_moved) << "step " << step;
    before = master;
  }
  EXPECT_TRUE(copy_moved);
}

TEST(PrecisionEdits, BuffersWeightsAndMaskCellsCanBeChanged) {
  const ModelConfig config = test::small_config();
  Parameters parameters(test::cpu(), config, 3);
  test::randomize(parameters, 5);
  ProgramOptions options;
  options.precision = ElementType::bf16;
  for (const char* text : {"blocks.0.attn.hook_z:head=1:zero", "blocks.1.hook_mlp_out:replace=1.00390625",
                           "h.1.mlp.c_fc.bias@bf16:zero", "blocks.0.attn.hook_attn_scores:mask=1,3,open",
                           "blocks.0.attn.hook_attn_scores:head=2:mask=4,0,closed"}) {
    options.edits.push_back(parse_edit(text));
  }
  const auto run =
      test::run_model(config, parameters, test::random_inputs(config, kB, kT, 7), kB, kT, options);
  const Program& p = run->program();
  const Shape& z = p.buffer(p.require("blocks.0.attn.hook_z")).shape;
  for (int64_t i = 0; i < z.count(); ++i) {
    EXPECT_EQ(run->value(p.require("blocks.0.attn.hook_z"), i) == 0, z.index(i)[2] == 1);
  }
  // Halfway between two values of bf16: the even one.
  for (const float v : run->values("blocks.1.hook_mlp_out")) EXPECT_EQ(v, 1.0F);
  for (const float v : run->values("h.1.mlp.c_fc.bias@bf16")) EXPECT_EQ(v, 0.0F);
  const BufferId scores = p.require("blocks.0.attn.hook_attn_scores");
  const Shape& s = p.buffer(scores).shape;
  EXPECT_TRUE(std::isfinite(run->value(scores, s.offset({0, 0, 1, 3}))));
  EXPECT_EQ(run->value(scores, s.offset({1, 2, 4, 0})), -INFINITY);
  EXPECT_TRUE(std::isfinite(run->value(scores, s.offset({1, 1, 4, 0}))));
}

TEST(PrecisionRefusals, Fp16DoesNotTrain) {
  const ModelConfig config = test::small_config();
  ProgramOptions options;
  options.precision = ElementType::f16;
  options.backward = true;
  EXPECT_SAYS(error_of([&] { (void)build_program(config, 1, 3, options); }), "choose precision=bf16");
  TrainConfig train;
  set_train_value(train, "precision", "fp16");
  validate(train);
  EXPECT_SAYS(error_of([&] { validate_for_training(train); }), "train with precision = bf16 or fp32");
  EXPECT_SAYS(error_of([&] { set_train_value(train, "precision", "int8"); }), "it is fp32, bf16 or fp16");
}

class PrecisionTraining : public ::testing::Test {
 protected:
  PrecisionTraining() {
    config_.n_layer = 2;
    config_.n_embd = 32;
    config_.n_head = 2;
    config_.n_positions = 16;
    train_.B = 8;
    train_.T = 16;
    train_.steps = 150;
    train_.warmup_steps = 10;
    train_.learning_rate = 3e-3;
    corpus_ = std::make_shared<const Corpus>(stories_corpus(3, 20'000, 16));
    config_.vocab_size = corpus_->vocab_size();
  }
  Model fresh() { return make_model("tiny", config_, corpus_->tokenizer(), test::cpu(), train_.seed); }
  ModelConfig config_;
  TrainConfig train_;
  std::shared_ptr<const Corpus> corpus_;
};

TEST_F(PrecisionTraining, LearnsLikeFp32) {
  std::map<ElementType, double> before, after;
  for (const ElementType element : {ElementType::f32, ElementType::bf16}) {
    train_.precision = element;
    Model model = fresh();
    Trainer trainer(model, corpus_, train_);
    before[element] = trainer.evaluate();
    for (int i = 0; i < 150; ++i) (void)trainer.step();
    after[element] = trainer.evaluate();
  }
  EXPECT_NEAR(before[ElementType::bf16], before[ElementType::f32], 0.02);
  EXPECT_LT(after[ElementType::f32], 0.6 * before[ElementType::f32]);
  EXPECT_NEAR(after[ElementType::bf16], after[ElementType::f32], 0.04 * after[ElementType::f32]);
}

TEST_F(PrecisionTraining, ACheckpointKeepsThePrecisionAndResumesBitForBit) {
  const test::TemporaryFolder folder;
  train_.precision = ElementType::bf16;
  Model whole = fresh();
  Trainer through(whole, corpus_, train_);
  for (int i = 0; i < 6; ++i) (void)through.step();
  Model half = fresh();
  Trainer before(half, corpus_, train_);
  for (int i = 0; i < 3; ++i) (void)before.step();
  save_model_folder(folder.path(), half, before.state());

  OpenedModel opened = open_model_folder(folder.path(), test::cpu());
  ASSERT_TRUE(opened.trainer.has_value());
  EXPECT_EQ(opened.trainer->config.precision, ElementType::bf16);
  Trainer resumed(opened.model, corpus_, opened.trainer->config);
  resumed.restore(*opened.trainer);
  for (int i = 0; i < 3; ++i) (void)resumed.step();
  for (const Parameters::Entry& entry : whole.parameters->entries()) {
    const Parameters::Entry& other = *opened.model.parameters->find(entry.spec.name);
    EXPECT_EQ(whole.parameters->download(entry.value, entry),
              opened.model.parameters->download(other.value, other))
        << entry.spec.name;
  }
}

}  // namespace
}  // namespace headlight
