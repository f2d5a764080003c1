// The trainer: it learns, it resumes bit for bit, it stops before a number that is none reaches the weights.
// And the folders that it is saved to.
#include "core/train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>

#include "core/engine/builtin.h"
#include "core/io/safetensors.h"
#include "core/run/predictor.h"
#include "core/text/story.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::error_of;
using test::TemporaryFolder;

class TrainerTest : public ::testing::Test {
 protected:
  TrainerTest() {
    config_.n_layer = 1;
    config_.n_embd = 16;
    config_.n_head = 2;
    config_.n_positions = 16;
    config_.dropout = 0.1;
    train_.B = 4;
    train_.T = 16;
    train_.steps = 40;
    train_.warmup_steps = 4;
    corpus_ = std::make_shared<const Corpus>(stories_corpus(3, 20'000, 16));
    config_.vocab_size = corpus_->vocab_size();
  }
  Model fresh() { return make_model("tiny", config_, corpus_->tokenizer(), *backend_, train_.seed); }
  static std::vector<std::vector<float>> weights(const Model& model) {
    std::vector<std::vector<float>> all;
    for (const auto& entry : model.parameters->entries())
      all.push_back(model.parameters->download(entry.value, entry));
    return all;
  }

  std::unique_ptr<kernels::Backend> backend_ = kernels::make_cpu_backend(2);
  ModelConfig config_;
  TrainConfig train_;
  std::shared_ptr<const Corpus> corpus_;
};

TEST_F(TrainerTest, TheSameSeedGivesTheSameBits) {
  std::vector<std::vector<float>> first;
  for (int round = 0; round < 2; ++round) {
    Model model = fresh();
    Trainer trainer(model, corpus_, train_);
    for (int i = 0; i < 10; ++i) (void)trainer.step();
    if (round == 0) {
      first = weights(model);
    } else {
      EXPECT_EQ(weights(model), first);
    }
  }
}

TEST_F(TrainerTest, AResumedRunEqualsAnUninterruptedOneBitForBit) {
  const TemporaryFolder folder;
  Model whole = fresh();
  Trainer through(whole, corpus_, train_);
  for (int i = 0; i < 12; ++i) (void)through.step();

  Model first_half = fresh();
  Trainer before(first_half, corpus_, train_);
  for (int i = 0; i < 5; ++i) (void)before.step();
  save_model_folder(folder.path(), first_half, before.state());

  OpenedModel opened = open_model_folder(folder.path(), *backend_);
  ASSERT_TRUE(opened.trainer.has_value());
  Trainer after(opened.model, corpus_, opened.trainer->config);
  after.restore(*opened.trainer);
  EXPECT_EQ(after.steps_done(), 5);
  for (int i = 0; i < 7; ++i) (void)after.step();
  EXPECT_EQ(weights(opened.model), weights(whole));
  EXPECT_EQ(after.evaluate(), through.evaluate());
}

TEST_F(TrainerTest, LearnsTheStoriesBetterThanWordCounts) {
  config_.dropout = 0;
  Model model = fresh();
  train_.learning_rate = 1e-2;
  train_.min_learning_rate = 1e-3;
  train_.steps = 300;
  train_.B = 16;
  Trainer trainer(model, corpus_, train_);
  const double before = trainer.evaluate();
  EXPECT_NEAR(before, std::log(static_cast<double>(config_.vocab_size)), 0.1);
  for (int i = 0; i < 300; ++i) (void)trainer.step();
  const double after = trainer.evaluate();
  EXPECT_LT(after, 0.5 * before);
  EXPECT_GT(after, *corpus_->entropy_floor(16)) << "nothing beats the floor";
}

TEST_F(TrainerTest, GradientNormsByBlockAddUpToTheWhole) {
  Model model = fresh();
  Trainer trainer(model, corpus_, train_);
  const HistoryPoint point = trainer.step();
  ASSERT_EQ(point.block_gradient_norms.size(), 3U);
  double squares = 0;
  for (const float norm : point.block_gradient_norms)
    squares += static_cast<double>(norm) * static_cast<double>(norm);
  EXPECT_NEAR(std::sqrt(squares), point.gradient_norm, 1e-5 * point.gradient_norm);
}

TEST_F(TrainerTest, ANumberThatIsNonePausesTheStepAndNamesTheTensor) {
  config_.dropout = 0;
  Model model = fresh();
  Trainer trainer(model, corpus_, train_);
  (void)trainer.step();
  const auto* entry = model.parameters->find("h.0.mlp.c_fc.weight");
  ASSERT_NE(entry, nullptr);
  std::vector<float> broken = model.parameters->download(entry->value, *entry);
  const std::vector<float> good = broken;
  broken[5] = std::numeric_limits<float>::quiet_NaN();
  model.parameters->upload(entry->value, *entry, broken);
  const auto before = weights(model);
  const std::string sentence = error_of([&] { (void)trainer.step(); });
  EXPECT_SAYS(sentence, "h.0.mlp.c_fc.weight[0, 5] = nan");
  EXPECT_SAYS(sentence, "step 2");
  const auto unchanged = weights(model);
  for (size_t i = 0; i < before.size(); ++i) {
    for (size_t j = 0; j < before[i].size(); ++j) {
      if (std::isnan(before[i][j])) continue;
      ASSERT_EQ(before[i][j], unchanged[i][j]);
    }
  }
  EXPECT_EQ(trainer.steps_done(), 1);
  model.parameters->upload(entry->value, *entry, good);
  EXPECT_NO_THROW((void)trainer.step());
}

TEST_F(TrainerTest, StepsThatWereBegunBehindABadOneTouchNothing) {
  config_.dropout = 0;
  Model model = fresh();
  Trainer trainer(model, corpus_, train_);
  trainer.begin_step();
  trainer.begin_step();
  const auto* entry = model.parameters->find("h.0.mlp.c_fc.weight");
  const std::vector<float> good = model.parameters->download(entry->value, *entry);
  std::vector<float> broken = good;
  broken[5] = std::numeric_limits<float>::infinity();
  model.parameters->upload(entry->value, *entry, broken);
  trainer.begin_step();
  // The weights are whole again before anybody looks: the gate stays closed all the same.
  model.parameters->upload(entry->value, *entry, good);
  const auto before = weights(model);
  trainer.begin_step();
  EXPECT_EQ(trainer.steps_done(), 4);
  EXPECT_EQ(trainer.finished(true).size(), 2u) << "the good steps are handed out first";
  model.parameters->upload(entry->value, *entry, broken);
  EXPECT_SAYS(error_of([&] { (void)trainer.finished(true); }), "step 3");
  model.parameters->upload(entry->value, *entry, good);
  EXPECT_EQ(weights(model), before);
  EXPECT_EQ(trainer.steps_done(), 2);
  EXPECT_EQ(trainer.step().step, 3) << "and training goes on from before the bad step";
  EXPECT_NE(weights(model), before);
}

TEST_F(TrainerTest, BeginningStepsAheadChangesNoBit) {
  Model one = fresh(), other = fresh();
  Trainer stepwise(one, corpus_, train_), ahead(other, corpus_, train_);
  for (int i = 0; i < 12; ++i) (void)stepwise.step();
  std::vector<HistoryPoint> points;
  for (int i = 0; i < 12; ++i) ahead.begin_step();
  while (points.size() < 12)
    for (HistoryPoint& point : ahead.finished(true)) points.push_back(std::move(point));
  for (size_t i = 0; i < points.size(); ++i) {
    EXPECT_EQ(points[i].step, static_cast<int64_t>(i) + 1);
    EXPECT_GT(points[i].tokens_per_second, 0);
  }
  EXPECT_EQ(weights(one), weights(other));
  EXPECT_TRUE(ahead.finished(true).empty());
}

TEST_F(TrainerTest, AnExplodingActivationIsNamedToo) {
  config_.dropout = 0;
  config_.norm = NormKind::none;
  Model model = fresh();
  Trainer trainer(model, corpus_, train_);
  for (const char* name : {"wte.weight", "h.0.mlp.c_fc.weight"}) {
    const auto* entry = model.parameters->find(name);
    model.parameters->upload(entry->value, *entry,
                             std::vector<float>(static_cast<size_t>(entry->spec.shape.count()), 1e20F));
  }
  EXPECT_SAYS(error_of([&] { (void)trainer.step(); }), "the first tensor that is not finite is blocks.0.");
}

TEST_F(TrainerTest, SizesThatDoNotFitAreSentences) {
  Model model = fresh();
  TrainConfig bad = train_;
  bad.T = 17;
  EXPECT_SAYS(error_of([&] { Trainer(model, corpus_, bad); }), "16");
  config_.vocab_size = 10;
  EXPECT_SAYS(error_of([&] { (void)fresh(); }), "vocab_size");
}

TEST_F(TrainerTest, ReconfiguringKeepsStepAndWeights) {
  Model model = fresh();
  Trainer trainer(model, corpus_, train_);
  (void)trainer.step();
  TrainConfig other = train_;
  other.B = 2;
  other.T = 8;
  trainer.configure(other);
  EXPECT_EQ(trainer.steps_done(), 1);
  EXPECT_EQ(trainer.step().step, 2);
  other.T = 500;
  EXPECT_THROW(trainer.configure(other), Error);
  EXPECT_EQ(trainer.config().T, 8);
  EXPECT_EQ(trainer.step().step, 3) << "the old configuration goes on after a refused one";
}

TEST_F(TrainerTest, ModelFoldersKeepWeightsConfigAndTokenizer) {
  const TemporaryFolder folder;
  const Model model = fresh();
  save_model_folder(folder.path(), model);
  const OpenedModel opened = open_model_folder(folder.path(), *backend_);
  EXPECT_FALSE(opened.trainer.has_value());
  EXPECT_EQ(opened.model.config, model.config);
  EXPECT_EQ(weights(opened.model), weights(model));
  EXPECT_EQ(opened.model.tokenizer->vocab_size(), model.tokenizer->vocab_size());
  EXPECT_EQ(opened.model.seed, model.seed);
}

TEST_F(TrainerTest, CheckpointsKeepTheCurves) {
  const TemporaryFolder folder;
  Model model = fresh();
  Trainer trainer(model, corpus_, train_);
  History history;
  for (int i = 0; i < 5; ++i) history.add(trainer.step());
  history.add(ValidationPoint{5, trainer.evaluate()});
  save_model_folder(folder.path(), model, trainer.state(), history);
  const History read = open_model_folder(folder.path(), *backend_).history;
  ASSERT_EQ(read.size(), 5U);
  for (size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(read[i].step, history[i].step);
    EXPECT_FLOAT_EQ(static_cast<float>(read[i].train_loss), static_cast<float>(history[i].train_loss));
    EXPECT_EQ(read[i].block_gradient_norms, history[i].block_gradient_norms);
  }
  ASSERT_EQ(read.validation().size(), 1U);
  EXPECT_EQ(read.validation()[0].step, 5);
}

TEST_F(TrainerTest, FoldersWithPrefixedNamesOpen) {
  const TemporaryFolder folder;
  const Model model = fresh();
  save_model_folder(folder.path(), model);
  std::vector<std::vector<float>> values;
  {
    const SafetensorsFile file(folder / "model.safetensors");
    SafetensorsWriter writer;
    for (const TensorInfo& tensor : file.tensors()) values.push_back(file.read_f32(tensor.name));
    for (size_t i = 0; i < values.size(); ++i) {
      writer.add("transformer." + file.tensors()[i].name, values[i], file.tensors()[i].shape);
    }
    writer.write(folder / "model.safetensors");
  }
  EXPECT_EQ(weights(open_model_folder(folder.path(), *backend_).model), weights(model));
}

TEST_F(TrainerTest, FoldersThatDoNotHoldTogetherAreSentences) {
  const TemporaryFolder folder;
  EXPECT_SAYS(error_of([&] { (void)open_model_folder(folder / "none", *backend_); }), "none");
  EXPECT_SAYS(error_of([&] { (void)open_model_folder(folder.path(), *backend_); }), "config.json");
  Model model = fresh();
  save_model_folder(folder.path(), model);
  const std::filesystem::path weights_file = folder / "model.safetensors";
  std::filesystem::remove(weights_file);
  EXPECT_SAYS(error_of([&] { (void)open_model_folder(folder.path(), *backend_); }), "model.safetensors");
  // Weights of another width.
  config_.n_embd = 32;
  const TemporaryFolder other;
  save_model_folder(other.path(), fresh());
  std::filesystem::copy_file(other / "model.safetensors", weights_file);
  const std::string sentence = error_of([&] { (void)open_model_folder(folder.path(), *backend_); });
  EXPECT_SAYS(sentence, "wte.weight");
  EXPECT_SAYS(sentence, "32");
  EXPECT_SAYS(sentence, "16");
  // Pickle files are refused with the line that converts them.
  std::filesystem::remove(weights_file);
  std::ofstream(folder / "pytorch_model.bin") << "pickle";
  EXPECT_SAYS(error_of([&] { (void)open_model_folder(folder.path(), *backend_); }), "save_file");
}

TEST_F(TrainerTest, ThePredictorAgreesWithARun) {
  const Model model = fresh();
  Predictor predictor(model);
  const std::vector<int32_t> tokens = {0, 3, 5, 7};
  const std::vector<float> logits = predictor.logits(tokens);
  EXPECT_EQ(logits.size(), static_cast<size_t>(config_.vocab_size));
  std::vector<int32_t> longer(40, 2);
  longer.insert(longer.end(), tokens.begin(), tokens.end());
  EXPECT_EQ(last_window(longer, 4).size(), 4U);
  EXPECT_EQ(last_window(longer, 4)[0], 0);
  EXPECT_THROW((void)predictor.logits({}), Error);
}

}  // namespace
}  // namespace headlight
