// Facts of the course that only training shows: what is lost without the MLP, without residuals, without
// heads; what a leaking mask does; that attention gains structure. On a language made for it, in seconds.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <memory>
#include <string>

#include "core/base/random.h"
#include "core/model/model.h"
#include "core/text/corpus.h"
#include "core/train/trainer.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

constexpr int64_t kT = 16, kSteps = 400;
constexpr double kNoise = 0.1;

/// Each letter is a fixed random function of the last three, but one in ten is drawn at random. Whoever
/// predicts it has to fetch three letters (attention) and look their combination up (MLP).
std::shared_ptr<const Corpus> letters(size_t alphabet) {
  Random random(5);
  std::vector<size_t> table(alphabet * alphabet * alphabet);
  for (size_t& next : table) next = random.below(alphabet);
  std::array<size_t, 3> last = {0, 1, 2};
  std::string text;
  for (int i = 0; i < 200'000; ++i) {
    const size_t next = random.uniform() < kNoise
                            ? random.below(alphabet)
                            : table[(last[0] * alphabet + last[1]) * alphabet + last[2]];
    last = {next, last[0], last[1]};
    text += static_cast<char>('a' + next);
  }
  return std::make_shared<const Corpus>(Corpus::from_text("letters", text));
}

/// Entropy of a letter given the three before it, in nats.
double entropy_floor(double alphabet) {
  const double likely = 1 - kNoise + kNoise / alphabet, other = kNoise / alphabet;
  return -likely * std::log(likely) - (alphabet - 1) * other * std::log(other);
}

/// A model with its held-out loss after training.
struct Trained {
  Model model;
  double loss = 0;
};

template <class Change>
Trained train(const std::shared_ptr<const Corpus>& corpus, Change change) {
  ModelConfig config;
  config.n_layer = 1;
  config.n_head = 4;
  config.n_embd = 32;
  config.n_positions = kT;
  config.vocab_size = corpus->vocab_size();
  change(config);
  Trained result{make_model("letters", config, corpus->tokenizer(), test::cpu(), 1), 0};
  TrainConfig settings;
  settings.B = 32;
  settings.T = kT;
  settings.steps = kSteps;
  settings.learning_rate = 5e-3;
  settings.min_learning_rate = 5e-4;
  settings.warmup_steps = 20;
  settings.eval_batches = 16;
  Trainer trainer(result.model, corpus, settings);
  for (int64_t step = 0; step < kSteps; ++step) (void)trainer.step();
  result.loss = trainer.evaluate();
  return result;
}

void one_layer(ModelConfig&) {}

TEST(CourseTrained, LearnsAndRemovingTheMlpHurts) {
  const auto corpus = letters(5);
  const double whole = train(corpus, one_layer).loss;
  const double without = train(corpus, [](ModelConfig& c) { c.mlp = MlpKind::none; }).loss;
  EXPECT_LT(whole, 0.5 * std::log(5.0)) << "it learned";
  EXPECT_GT(whole, entropy_floor(5)) << "nobody gets below the entropy of the language";
  EXPECT_GT(without, whole + 0.08);
}

TEST(CourseTrained, OneHeadIsWorseThanFourWhereAttentionAloneCombines) {
  const auto corpus = letters(5);
  const auto attention_only = [&](int64_t heads) {
    return train(corpus,
                 [&](ModelConfig& c) {
                   c.mlp = MlpKind::none;
                   c.n_head = heads;
                 })
        .loss;
  };
  EXPECT_GT(attention_only(1), attention_only(4) + 0.2);
}

TEST(CourseTrained, RemovingResidualsHurts) {
  const auto corpus = letters(4);
  const double whole = train(corpus, [](ModelConfig& c) { c.n_layer = 2; }).loss;
  const double without = train(corpus, [](ModelConfig& c) {
                           c.n_layer = 2;
                           c.residual = false;
                         }).loss;
  EXPECT_GT(without, whole + 0.3);
}

TEST(CourseTrained, WhoeverSeesTheFutureCheats) {
  const auto corpus = letters(5);
  const auto loss_with = [&](AttentionMask mask) {
    return train(corpus, [&](ModelConfig& c) { c.mask = mask; }).loss;
  };
  EXPECT_LT(loss_with(AttentionMask::none), 0.5 * entropy_floor(5)) << "below what is possible";
  EXPECT_LT(loss_with(AttentionMask::zero), loss_with(AttentionMask::causal) - 0.1) << "the zero fill leaks";
}

TEST(CourseTrained, AttentionGainsStructure) {
  const Trained trained = train(letters(5), one_layer);
  const RunInputs inputs = test::random_inputs(trained.model.config, 4, kT, 7);
  const auto run = test::run_model(trained.model.config, *trained.model.parameters, inputs, 4, kT);
  const std::span<const float> pattern = run->values("blocks.0.attn.hook_pattern");
  double entropy = 0, uniform = 0;
  for (size_t i = 0; i < pattern.size(); ++i) {
    const auto a = static_cast<double>(pattern[i]);
    if (a > 0) entropy -= a * std::log(a);
    if (i % kT == 0) uniform += std::log(static_cast<double>(i / kT % kT + 1));
  }
  EXPECT_LT(entropy, 0.7 * uniform);
}

}  // namespace
}  // namespace headlight
