// Activation checkpointing as a rewrite: the same bits in every gradient and every new weight, on every
// backend; what is computed again and what is not; how much memory falls; edits, early ends and training.
#include "core/tape/checkpointing.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "core/base/out_of_memory.h"
#include "core/engine/builtin.h"
#include "core/run/memory_plan.h"
#include "core/tape/op.h"
#include "core/text/story.h"
#include "core/train/memory_use.h"
#include "core/train/trainer.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

using test::BackendCase;
using test::NamedConfig;
using Recording = headlight::Run;  // ::testing::Test has a Run of its own

constexpr int64_t kB = 2, kT = 5;

bool is_again(std::string_view name) { return name.find(again_suffix) != std::string_view::npos; }

/// Every buffer of the plain run is in the other one and has its bits; what is computed again has those of
/// the first time.
void expect_same_bits(const Recording& plain, const Recording& checkpointed) {
  const Program& a = plain.program();
  const Program& b = checkpointed.program();
  for (size_t i = 0; i < a.buffers().size(); ++i) {
    if (!is_floating(a.buffers()[i].type)) continue;
    const auto id = b.find(a.buffers()[i].name);
    ASSERT_TRUE(id.has_value()) << a.buffers()[i].name;
    EXPECT_TRUE(test::same_bits(plain.values(static_cast<BufferId>(i)), checkpointed.values(*id)))
        << a.buffers()[i].name;
  }
  for (size_t i = 0; i < b.buffers().size(); ++i) {
    const std::string& name = b.buffers()[i].name;
    if (!name.ends_with(again_suffix)) continue;
    const BufferId first = b.require(name.substr(0, name.size() - again_suffix.size()));
    ASSERT_FALSE(checkpointed.values(static_cast<BufferId>(i)).empty()) << name;
    EXPECT_TRUE(test::same_bits(checkpointed.values(static_cast<BufferId>(i)), checkpointed.values(first)))
        << name;
  }
}

/// A model on a backend.
using Where = std::tuple<BackendCase, NamedConfig>;

class Checkpointing : public ::testing::TestWithParam<Where> {
 protected:
  void SetUp() override {
    std::string why_not;
    backend_ = test::make_backend(std::get<0>(GetParam()).name, why_not);
    if (!backend_) GTEST_SKIP() << why_not;
    parameters_ = std::make_unique<Parameters>(*backend_, config_, 3);
    test::randomize(*parameters_, 5);
    test::randomize_moments(*parameters_, 6);
  }
  std::shared_ptr<const Recording> run(const ProgramOptions& options) {
    return test::run_model(config_, *parameters_, inputs_, kB, kT, options);
  }
  const ModelConfig config_ = std::get<1>(GetParam()).config;
  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<Parameters> parameters_;
  RunInputs inputs_ = test::random_inputs(config_, kB, kT, 7);
};

TEST_P(Checkpointing, EveryGradientAndEveryNewWeightKeepsItsBits) {
  for (const bool fused : {false, true}) {
    for (const ElementType precision : {ElementType::f32, ElementType::bf16}) {
      SCOPED_TRACE(std::string(fused ? "fused " : "plain ") + std::string(element_name(precision)));
      ProgramOptions options = test::whole_program(config_, fused);
      options.precision = precision;
      const auto plain = run(options);
      options.checkpointing = true;
      const auto checkpointed = run(options);
      expect_same_bits(*plain, *checkpointed);
      EXPECT_EQ(plain->loss, checkpointed->loss);
    }
  }
}

TEST_P(Checkpointing, MemoryMayBeReusedBehindTheRecordings) {
  // Without a capture nothing but the plan keeps a value alive: what is left must be the same all the same.
  for (const bool fused : {false, true}) {
    ProgramOptions options = test::whole_program(config_, fused);
    std::vector<float> squares[2];
    for (const bool checkpointing : {false, true}) {
      options.checkpointing = checkpointing;
      Executor executor(build_program(config_, kB, kT, options), *backend_, *parameters_,
                        {{{}, 0}, {}, false});
      (void)executor.run(inputs_);
      squares[checkpointing ? 1 : 0] = executor.download(executor.program().require("grad_squares"));
    }
    EXPECT_TRUE(test::same_bits(squares[0], squares[1]));
  }
}

INSTANTIATE_TEST_SUITE_P(All, Checkpointing,
                         ::testing::Combine(::testing::ValuesIn(test::backend_cases()),
                                            ::testing::ValuesIn(test::many_configs())),
                         [](const auto& which) {
                           return std::get<0>(which.param).name + "_" + std::get<1>(which.param).name;
                         });

ModelConfig deep(int64_t L) {
  ModelConfig config = test::small_config();
  config.n_layer = L;
  config.n_head = 4;
  config.n_embd = 32;
  config.n_inner = 0;
  config.n_positions = 64;
  return config;
}

std::shared_ptr<const Program> program_of(const ModelConfig& config, int64_t B, int64_t T, bool checkpointing,
                                          bool fused = true) {
  ProgramOptions options = test::whole_program(config, fused);
  options.checkpointing = checkpointing;
  return build_program(config, B, T, options);
}

TEST(CheckpointingProgram, BlocksAreRepeatedInFrontOfTheirBackwardSteps) {
  for (const auto& [name, config] : test::many_configs()) {
    SCOPED_TRACE(name);
    const auto plain = program_of(config, kB, kT, false, false),
               program = program_of(config, kB, kT, true, false);
    std::set<int> gone_back;  // blocks whose first real backward step has been met
    std::vector<std::string> rest;
    for (const Step& step : program->steps()) {
      if (!is_again(step.name)) {
        rest.push_back(step.name);
        if (step.phase == Phase::backward) gone_back.insert(step.block);
        continue;
      }
      EXPECT_EQ(step.phase, Phase::backward) << step.name;
      EXPECT_FALSE(gone_back.contains(step.block)) << step.name;
      const Step& first = program->step(
          program->buffer(program->require(step.name.substr(0, step.name.size() - again_suffix.size())))
              .writer);
      EXPECT_EQ(step.op, first.op);  // the same op: the same attributes, the same mask of dropout
      EXPECT_EQ(step.block, first.block);
    }
    // Nothing else was added, left out or moved.
    std::vector<std::string> before;
    for (const Step& step : plain->steps()) before.push_back(step.name);
    EXPECT_EQ(rest, before);
    EXPECT_EQ(program->aliases().size(), plain->aliases().size());
  }
}

TEST(CheckpointingProgram, BackwardStepsReadOnlyBlockInputsOfTheForwardPass) {
  for (const auto& [name, config] : test::many_configs()) {
    for (const bool fused : {false, true}) {
      const auto program = program_of(config, kB, kT, true, fused);
      for (const Step& step : program->steps()) {
        if (step.phase != Phase::backward) continue;
        for (const BufferId id : step.inputs) {
          if (id == no_buffer || program->buffer(id).writer < 0) continue;
          const Step& writer = program->step(program->buffer(id).writer);
          const bool of_a_block = writer.phase == Phase::forward && writer.block >= 0;
          // Block l's input is what block l − 1 wrote last; the unembedding reads the last block's.
          if (of_a_block) {
            EXPECT_TRUE(step.block == writer.block + 1 || step.block < 0)
                << name << ": " << step.name << " reads " << program->buffer(id).name;
          }
        }
      }
    }
  }
}

TEST(CheckpointingProgram, NothingIsComputedAgainThatNobodyReads) {
  for (const auto& [name, config] : test::many_configs()) {
    const auto program = program_of(config, kB, kT, true, false);
    std::set<BufferId> read;
    for (const Step& step : program->steps()) read.insert(step.inputs.begin(), step.inputs.end());
    for (const Step& step : program->steps()) {
      if (!is_again(step.name)) continue;
      bool any = false;
      for (const BufferId id : step.outputs) any = any || read.contains(id);
      EXPECT_TRUE(any) << name << ": " << step.name;
    }
  }
  // What is added to the stream in front of the next block is no factor of any gradient.
  const auto program = program_of(test::small_config(), kB, kT, true);
  EXPECT_TRUE(program->find("blocks.0.hook_resid_mid@again"));
  EXPECT_FALSE(program->find("blocks.0.hook_mlp_out@again"));
  EXPECT_FALSE(program->find("blocks.0.hook_resid_post@again"));
}

TEST(CheckpointingProgram, WithoutABackwardPassNothingChanges) {
  ProgramOptions options;
  const auto plain = build_program(test::small_config(), kB, kT, options);
  EXPECT_EQ(checkpoint_blocks(plain), plain);
}

size_t arena(const Program& program) {
  return plan_memory(program, lasting_buffers(program), std::vector<bool>(program.buffers().size(), false),
                     true)
      .bytes;
}

TEST(CheckpointingMemory, BlocksShareOneBlocksRoom) {
  for (const bool fused : {false, true}) {
    const size_t held = arena(*program_of(deep(8), 4, 64, false, fused)),
                 again = arena(*program_of(deep(8), 4, 64, true, fused));
    // One block's activations and eight blocks' inputs instead of eight blocks' activations. Fused, a block
    // holds 11 rows of C a token, plain a [H,T,T] pattern more.
    EXPECT_LT(again, held * (fused ? 50 : 35) / 100) << again << " of " << held;
    // Each further block costs its input, its weights' gradients and no more.
    const size_t deeper = arena(*program_of(deep(9), 4, 64, true, fused));
    size_t gradients = 0;
    for (const ParameterSpec& spec : parameter_specs(deep(9))) {
      if (spec.name.starts_with("h.8.")) gradients += static_cast<size_t>(spec.shape.count()) * sizeof(float);
    }
    EXPECT_LE(deeper - again, size_t{4} * 64 * 32 * sizeof(float) + gradients + 64 * 16);
  }
}

TEST(CheckpointingMemory, FourBlocksTakeLessThanTwoThirds) {
  const size_t held = arena(*program_of(deep(4), 8, 64, false)),
               again = arena(*program_of(deep(4), 8, 64, true));
  EXPECT_LT(again, held * 2 / 3) << again << " of " << held;
}

TEST(CheckpointingEdits, TheSecondTimeIsEditedLikeTheFirst) {
  const ModelConfig config = test::small_config();
  Parameters parameters(test::cpu(), config, 3);
  test::randomize(parameters, 5);
  test::randomize_moments(parameters, 6);
  const RunInputs inputs = test::random_inputs(config, kB, kT, 7);
  ProgramOptions options = test::whole_program(config);
  // By name, by a glob, by a second name, and in an op.
  for (const char* text :
       {"blocks.0.attn.hook_z:head=1:zero", "blocks.*.mlp.hook_*:scale=0.5",
        "blocks.1.hook_resid_pre:scale=2", "blocks.1.attn.hook_attn_scores:mask=1,3,open"}) {
    options.edits.push_back(parse_edit(text));
  }
  options.checkpointing = false;
  const auto plain = test::run_model(config, parameters, inputs, kB, kT, options);
  options.checkpointing = true;
  const auto checkpointed = test::run_model(config, parameters, inputs, kB, kT, options);
  expect_same_bits(*plain, *checkpointed);
  options.edits.clear();
  const auto unedited = test::run_model(config, parameters, inputs, kB, kT, options);
  EXPECT_FALSE(test::same_bits(unedited->values("blocks.0.attn.hook_z@again"),
                               checkpointed->values("blocks.0.attn.hook_z@again")));
}

class CheckpointedTraining : public ::testing::Test {
 protected:
  CheckpointedTraining() {
    config_ = deep(3);
    config_.n_positions = 16;
    config_.dropout = 0.1;
    train_.B = 4;
    train_.T = 16;
    train_.steps = 6;
    train_.warmup_steps = 2;
    corpus_ = std::make_shared<const Corpus>(stories_corpus(3, 20'000, 16));
    config_.vocab_size = corpus_->vocab_size();
  }
  ModelConfig config_;
  TrainConfig train_;
  std::shared_ptr<const Corpus> corpus_;
};

TEST_F(CheckpointedTraining, LearnsTheSameBits) {
  Model models[2];
  for (const bool checkpoint : {false, true}) {
    Model& model = models[checkpoint ? 1 : 0];
    model = make_model("tiny", config_, corpus_->tokenizer(), test::cpu(), train_.seed);
    train_.checkpoint = checkpoint;
    Trainer trainer(model, corpus_, train_);
    for (int i = 0; i < 6; ++i) (void)trainer.step();
  }
  for (const Parameters::Entry& entry : models[0].parameters->entries()) {
    const Parameters::Entry& other = *models[1].parameters->find(entry.spec.name);
    EXPECT_EQ(models[0].parameters->download(entry.value, entry),
              models[1].parameters->download(other.value, other))
        << entry.spec.name;
  }
}

TEST_F(CheckpointedTraining, ItCanBeSwitchedInBetween) {
  Model model = make_model("tiny", config_, corpus_->tokenizer(), test::cpu(), train_.seed);
  Trainer trainer(model, corpus_, train_);
  (void)trainer.step();
  const size_t before = trainer.held_bytes();
  train_.checkpoint = true;
  trainer.configure(train_);
  EXPECT_LT(trainer.held_bytes(), before);
  EXPECT_EQ(trainer.step().step, 2);
}

TEST_F(CheckpointedTraining, WhatWouldFitNamesItWhereItDoes) {
  config_ = deep(6);
  train_.B = 16;
  train_.T = 64;
  const auto total = [&](ElementType precision, bool checkpoint) {
    TrainConfig train = train_;
    train.precision = precision;
    train.checkpoint = checkpoint;
    return memory_of_training(config_, train, false).total();
  };
  const size_t plain = total(ElementType::f32, false), again = total(ElementType::f32, true),
               mixed = total(ElementType::bf16, false), both = total(ElementType::bf16, true);
  ASSERT_LT(again, plain);
  ASSERT_LT(both, std::min(again, mixed));
  EXPECT_SAYS(what_would_fit(config_, train_, false, again, 0), "checkpoint=true would fit");
  EXPECT_EQ(what_would_fit(config_, train_, false, again - 1, 0).find("or checkpoint=true"),
            std::string::npos);
  EXPECT_SAYS(what_would_fit(config_, train_, false, both, 0),
              "precision=bf16 with checkpoint=true would fit");
  train_.checkpoint = true;
  EXPECT_EQ(what_would_fit(config_, train_, false, both, 0).find("checkpoint"), std::string::npos);
}

TEST(CheckpointingPrompt, WhatWouldFitNamesItWhereItDoes) {
  const ModelConfig config = deep(6);
  ProgramOptions options = test::whole_program(config);
  const auto bytes = [&] {
    const MemoryUse use = memory_of_run(config, *build_program(config, 1, 64, options));
    return use.total() - use.parameters;
  };
  options.checkpointing = true;
  const size_t enough = bytes();
  options.checkpointing = false;
  ASSERT_LT(enough, bytes());
  EXPECT_SAYS(what_prompt_would_fit(config, 64, options, enough), "checkpoint=true or a prompt of ");
  EXPECT_EQ(what_prompt_would_fit(config, 64, options, enough - 1).find("checkpoint"), std::string::npos);
}

}  // namespace
}  // namespace headlight
