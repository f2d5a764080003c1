// Training programs with joint steps on the emulated device, for every kind of model: each buffer that is
// left has the value that it has without them, what is gone is named, cells come about as they say, and the
// memory that is predicted is what is taken.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "core/engine/builtin.h"
#include "core/model/builder.h"
#include "core/ops/ops.h"
#include "core/tape/op.h"
#include "core/tape/rewrite_training.h"
#include "core/text/story.h"
#include "core/train/memory_use.h"
#include "core/train/trainer.h"
#include "core/train/training_program.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"
#include "tests/support/simt/cublasLt.h"

namespace headlight {
namespace {

using test::error_of;
using test::NamedConfig;
using Recording = headlight::Run;  // ::testing::Test has a Run of its own

constexpr int64_t kB = 2, kT = 5;

std::unique_ptr<kernels::Backend> emulated() {
  std::string why_not;
  auto backend = kernels::make_cuda_backend(why_not);
  EXPECT_NE(backend, nullptr) << why_not;
  return backend;
}

std::map<std::string, int> kinds_of(const Program& program) {
  std::map<std::string, int> kinds;
  for (const Step& step : program.steps()) ++kinds[std::string(step.op->kind())];
  return kinds;
}

/// With a width that the library's epilogues take.
ModelConfig with_even_width(ModelConfig config) {
  config.n_inner = 24;
  return config;
}

/// A kind of model, in fp32 or bf16.
class EmulatedJointSteps : public ::testing::TestWithParam<std::tuple<NamedConfig, ElementType>> {
 protected:
  EmulatedJointSteps() : backend_(emulated()), parameters_(*backend_, config_, 3) {
    test::randomize(parameters_, 5);
    test::randomize_moments(parameters_, 6);
  }
  ~EmulatedJointSteps() override { simt::set_gelu_epilogues(true); }

  std::shared_ptr<const Recording> run(std::shared_ptr<const Program> program) {
    Executor executor(std::move(program), *backend_, parameters_,
                      {Capture{{"*"}, size_t{1} << 30}, {}, false});
    return executor.run(inputs_);
  }
  std::shared_ptr<const Program> program(bool checkpointing) {
    ProgramOptions options = test::whole_program(config_, true);
    options.precision = std::get<1>(GetParam());
    options.checkpointing = checkpointing;
    return build_program(config_, kB, kT, options);
  }

  const ModelConfig config_ = with_even_width(std::get<0>(GetParam()).config);
  std::unique_ptr<kernels::Backend> backend_;
  Parameters parameters_;
  const RunInputs inputs_ = test::random_inputs(config_, kB, kT, 7);
};

TEST_P(EmulatedJointSteps, EveryBufferThatIsLeftKeepsItsValue) {
  const bool is_exact = std::get<1>(GetParam()) == ElementType::f32;
  for (const bool checkpointing : {false, true}) {
    const auto plain_program = program(checkpointing);
    const auto plain = run(plain_program);
    for (const bool epilogues : {true, false}) {
      simt::set_gelu_epilogues(epilogues);
      const auto joint_program = fuse_training(*plain_program);
      const auto joint = run(joint_program);
      EXPECT_NEAR(joint->loss, plain->loss, (is_exact ? 1e-5 : 1e-2) * plain->loss);
      std::set<std::string> gone;
      for (const Step& step : joint_program->steps())
        gone.insert(step.fused_away.begin(), step.fused_away.end());
      size_t left = 0;
      for (const Buffer& buffer : plain_program->buffers()) {
        const auto id = joint_program->find(buffer.name);
        EXPECT_NE(id.has_value(), gone.contains(buffer.name)) << buffer.name;
        if (!id || !is_floating(buffer.type)) continue;
        ++left;
        // Gradients of bf16 pass through many roundings, which fall elsewhere.
        const double tolerance = is_exact ? 3e-5 : 0.08;
        EXPECT_EQ(joint_program->buffer(*id).shape, buffer.shape) << buffer.name;
        EXPECT_LT(
            test::relative_error(joint->values(*id), plain->values(plain_program->require(buffer.name))),
            tolerance)
            << buffer.name;
      }
      EXPECT_EQ(left, static_cast<size_t>(
                          std::count_if(joint_program->buffers().begin(), joint_program->buffers().end(),
                                        [](const Buffer& b) { return is_floating(b.type); })));
    }
  }
}

TEST_P(EmulatedJointSteps, CellsComeAboutAsTheySay) {
  const auto plain = program(false);
  const auto recorded = run(fuse_training(*plain));
  Random random(1);
  for (const Step& step : recorded->program().steps()) {
    const std::string_view kind = step.op->kind();
    if (kind != "add_norm" && kind != "add_norm_grad" && !kind.ends_with("_all") &&
        !kind.starts_with("linear_gelu") && kind != "softmax_cross_entropy_both")
      continue;
    EXPECT_FALSE(step.op->equation().empty());
    for (size_t o = 0; o < step.outputs.size(); ++o) {
      const BufferId id = step.outputs[o];
      if (id == no_buffer) continue;
      const Buffer& buffer = recorded->program().buffer(id);
      double size = 0;
      for (const float value : recorded->values(id)) size = std::max(size, std::abs(double{value}));
      for (int cell = 0; cell < 6; ++cell) {
        const auto offset = static_cast<int64_t>(random.below(static_cast<uint64_t>(buffer.shape.count())));
        const CellTerms terms = recorded->explain(id, offset);
        const double computed = recorded->value(id, offset);
        // A part may have been rounded on its way, too.
        const double rounding = buffer.type == ElementType::bf16 ? size / 256 : 0;
        EXPECT_FALSE(terms.formula.empty());
        EXPECT_DOUBLE_EQ(combine_terms(terms), terms.result) << buffer.name;
        EXPECT_NEAR(terms.result, computed, rounding + 2e-5 * size + 1e-8) << buffer.name << " " << offset;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Emulated, EmulatedJointSteps,
                         ::testing::Combine(::testing::ValuesIn(test::many_configs()),
                                            ::testing::Values(ElementType::f32, ElementType::bf16)),
                         [](const auto& which) {
                           return std::get<0>(which.param).name + "_" +
                                  std::string(element_name(std::get<1>(which.param)));
                         });

TEST(EmulatedJointProgram, JoinsWhatGptHasToJoin) {
  ModelConfig config = test::small_config();
  config.n_layer = 3;
  TrainConfig train;
  train.B = kB;
  train.T = kT;
  train.precision = ElementType::bf16;
  auto plain = kinds_of(*training_program(config, train, false)),
       joint = kinds_of(*training_program(config, train, true));
  // Each norm behind a sum: the first block's behind the embeddings', the final one behind the last block's.
  EXPECT_EQ(joint["add_norm"], 7);
  EXPECT_EQ(joint["layernorm"], 0);
  EXPECT_EQ(joint["add"], plain["add"] - 7 - 6);
  EXPECT_EQ(joint["add_norm_grad"], 7);
  EXPECT_EQ(joint["layernorm_grad"], 0);
  EXPECT_EQ(joint["linear_grad_bias"], plain["linear_grad_bias"] - 6);
  EXPECT_EQ(joint["linear_gelu"], 3);
  EXPECT_EQ(joint["linear_gelu_grad"], 3);
  EXPECT_EQ(joint["gelu_tanh"] + joint["gelu_tanh_grad"], 0);
  EXPECT_EQ(joint["softmax_cross_entropy_both"], 1);
  EXPECT_EQ(joint["cast_all"], 1);
  EXPECT_EQ(joint["cast"], 0);
  EXPECT_EQ(joint["adamw_all"], 1);
  EXPECT_EQ(joint["adamw"], 0);
  const auto program = training_program(config, train, true);
  for (const std::string_view name : {"unembed.hook_out", "unembed.hook_out_grad"}) {
    const Buffer& logits = program->buffer(program->require(name));
    EXPECT_EQ(logits.pitch, 64);
    EXPECT_EQ(logits.shape.last(), config.vocab_size);
    EXPECT_EQ(logits.bytes(), static_cast<size_t>(kB * kT * 64 * 2));
  }
  // The products of the logits run over whole sixty-fours: there is room for them.
  const int64_t room = (64 - config.vocab_size) * config.n_embd;
  EXPECT_EQ(program->buffer(program->require("wte.weight@bf16")).spare, room);
  const Buffer& dW = program->buffer(program->require("wte.weight_grad@unembed"));
  EXPECT_EQ(dW.spare, room);
  EXPECT_EQ(dW.bytes(), static_cast<size_t>(64 * config.n_embd) * sizeof(float));
  // A vocabulary of whole sixty-fours has no gaps.
  config.vocab_size = 64;
  const auto whole = training_program(config, train, true);
  EXPECT_EQ(whole->buffer(whole->require("unembed.hook_out")).pitch, 0);
  // Nobody else may take rows with gaps for one array.
  ProgramBuilder builder(*program);
  const BufferId logits = program->require("unembed.hook_out");
  EXPECT_SAYS(error_of([&] { builder.apply(ops::softmax(1, "p"), {logits}, "p"); }), "pitch of 64");
  EXPECT_SAYS(error_of([&] {
                const auto backend = kernels::make_cpu_backend(1);
                Parameters parameters(*backend, config, 1);
                Executor executor(whole, *backend, parameters, {{{}, 0}, {}, false});
                (void)executor.run(test::random_inputs(config, kB, kT, 1));
              }),
              "no joint steps");
}

TEST(EmulatedJointProgram, ThePlanIsWhatIsTaken) {
  ModelConfig config = test::small_config();
  const auto corpus = std::make_shared<const Corpus>(stories_corpus(3, 20'000, 16));
  config.vocab_size = corpus->vocab_size();
  const auto backend = emulated();
  for (const ElementType precision : {ElementType::f32, ElementType::bf16}) {
    TrainConfig train;
    train.B = 3;
    train.T = 8;
    train.precision = precision;
    Model model = make_model("tiny", config, corpus->tokenizer(), *backend, 1);
    Trainer trainer(model, corpus, train);
    (void)trainer.step();
    EXPECT_EQ(trainer.held_bytes(), memory_of_training(config, train, true).total());
    EXPECT_NE(trainer.held_bytes(), memory_of_training(config, train, false).total());
  }
}

}  // namespace
}  // namespace headlight
