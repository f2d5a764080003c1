// The Training view: its numbers against the engine's, its sentences in both languages, its controls by click
// and key, and its place in small and large windows.
#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

#include <cmath>

#include "app/views/training_model.h"
#include "tests/app/views/fits.h"
#include "tests/app/views/live_window.h"

namespace headlight::app {
namespace {

/// A snapshot of nano after some steps, taken once.
const Snapshot& trained() {
  static const std::shared_ptr<const Snapshot> snapshot = [] {
    Engine engine({});
    engine.post(OpenPreset{"nano"});
    TrainConfig config;
    config.B = 4;
    config.T = 16;
    config.eval_every = 5;
    config.sample_every = 5;
    engine.post(SetTrainConfig{config});
    engine.post(Train{12});
    engine.drain();
    return engine.snapshot();
  }();
  return *snapshot;
}

TEST(TrainingModel, SaysWhatTheHistorySays) {
  const Snapshot& s = trained();
  const TrainingModel m = prepare_training(s, std::nullopt);
  const HistoryPoint& last = s.training.history->back();
  EXPECT_EQ(m.shown_step, 12);
  EXPECT_EQ(m.losses[0].loss, last.train_loss);
  EXPECT_DOUBLE_EQ(*m.losses[0].perplexity(), std::exp(last.train_loss));
  EXPECT_EQ(m.gradient_norm, last.gradient_norm);
  EXPECT_EQ(m.validation_step, 10);
  EXPECT_EQ(m.losses[1].loss, s.training.history->validation().back().loss);
  ASSERT_TRUE(m.losses[2].loss.has_value());
  EXPECT_EQ(m.losses[2].loss, s.corpus.entropy_floor);
  EXPECT_DOUBLE_EQ(*m.losses[3].perplexity(), static_cast<double>(s.model.config.vocab_size));
}

TEST(TrainingModel, ShowsThePastAtTheScrubber) {
  const Snapshot& s = trained();
  const TrainingModel at7 = prepare_training(s, 7);
  EXPECT_EQ(at7.shown_step, 7);
  EXPECT_EQ(at7.losses[0].loss, (*s.training.history)[6].train_loss);
  EXPECT_EQ(at7.validation_step, 5);
  EXPECT_EQ(at7.learning_rate, (*s.training.history)[6].learning_rate);
  EXPECT_EQ(prepare_training(s, -3).shown_step, 1);
  EXPECT_EQ(prepare_training(s, 1000).shown_step, 12);
}

TEST(TrainingModel, WithoutHistoryNothingIsMadeUp) {
  Snapshot s = trained();
  s.training.history = std::make_shared<const History>();
  const TrainingModel m = prepare_training(s, std::nullopt);
  EXPECT_FALSE(m.shown_step || m.losses[0].loss || m.losses[1].loss || m.gradient_norm ||
               m.tokens_per_second);
  EXPECT_FALSE(m.losses[0].perplexity());
}

TEST(TrainingModel, PartsAddUpToAllParameters) {
  const Snapshot& s = trained();
  const TrainingModel m = prepare_training(s, std::nullopt);
  int64_t sum = 0;
  double share = 0;
  for (const ParameterPart& part : m.parts) {
    EXPECT_GT(part.count, 0);
    sum += part.count;
    share += part.share;
  }
  EXPECT_EQ(sum, s.model.parameters.total());
  EXPECT_NEAR(share, 1, 1e-12);
  EXPECT_EQ(m.model_title[0], "Two blocks that learn to look back");
  EXPECT_FALSE(m.model_title[1].empty());
}

TEST(TrainingModel, SettingsReadBackAsTheyAre) {
  const Snapshot& s = trained();
  const TrainingModel m = prepare_training(s, std::nullopt);
  TrainConfig config;
  config.schedule = s.training.config.schedule;
  config.precision = s.training.config.precision;
  config.checkpoint = s.training.config.checkpoint;
  config.seed = s.training.config.seed;
  for (const TrainingSetting& setting : m.settings) set_train_value(config, setting.key, setting.value);
  TrainConfig expected = s.training.config;
  expected.epsilon = config.epsilon;
  expected.eval_batches = config.eval_batches;
  EXPECT_EQ(config, expected);
}

TEST(TrainingModel, EveryStateHasItsSentenceInBothLanguages) {
  const Strings strings;
  std::set<std::string> seen;
  const auto check = [&](const Snapshot& s, TrainingModel::Kind kind, std::string_view part) {
    const TrainingModel m = prepare_training(s, std::nullopt);
    EXPECT_EQ(m.kind, kind);
    for (const Language language : {Language::english, Language::vietnamese}) {
      const std::string sentence = training_sentence(strings, language, m);
      EXPECT_TRUE(seen.insert(sentence).second) << sentence;
      EXPECT_NE(sentence.find(part), std::string::npos) << sentence;
    }
  };
  Snapshot s = trained();
  using enum TrainingModel::Kind;
  s.training.status = TrainingStatus::paused;
  check(s, paused, "12");
  s.training.status = TrainingStatus::running;
  s.training.tokens_per_second = 64 * 10;  // 10 steps a second
  check(s, running, "3 min");
  s.training.tokens_per_second = 0;
  check(s, running, "2,000");
  s.training.config.steps = 10;
  check(s, running_on, "10");
  s.training.status = TrainingStatus::finished;
  check(s, finished, "12");
  s.training.status = TrainingStatus::failed;
  s.training.failure = "the loss is NaN";
  check(s, failed, "the loss is NaN");
  s.training.status = TrainingStatus::idle;
  check(s, from_file, "12");
  s.model.trained = false;
  check(s, fresh, "ln V");
  s.corpus = {};
  check(s, no_text, "");
}

TEST(TrainingModel, DurationsForPeople) {
  EXPECT_EQ(duration_text(11.2), "12 s");
  EXPECT_EQ(duration_text(200), "3 min");
  EXPECT_EQ(duration_text(9000), "2.5 h");
}

class TrainingWindow : public testing::Test {
 protected:
  TrainingWindow() {
    window.run("view.training");
    window.run("train.set batch 4");
    window.run("train.set context 16");
  }
  LiveWindow window;
};

TEST_F(TrainingWindow, TrainsByItsButtons) {
  window.click("training_view.one");
  EXPECT_EQ(window.snapshot().training.step, 1);
  window.click("training_view.fifty");
  EXPECT_EQ(window.snapshot().training.step, 51);
  EXPECT_EQ(window.snapshot().training.status, TrainingStatus::paused);
  window.click("training_view.toggle");
  EXPECT_EQ(window.snapshot().training.status, TrainingStatus::running);
  window.click("training_view.toggle");
  EXPECT_EQ(window.snapshot().training.status, TrainingStatus::paused);
  const uint64_t seed = window.snapshot().model.seed;
  window.click("training_view.reset");
  EXPECT_EQ(window.snapshot().training.step, 0);
  EXPECT_EQ(window.snapshot().model.seed, seed + 1);
  EXPECT_TRUE(window.snapshot().training.history->empty());
}

TEST_F(TrainingWindow, SettingsAreTypedIn) {
  window.click("training_view.set.learning_rate");
  window.type("0.0025");
  window.key(GLFW_KEY_ENTER);
  EXPECT_EQ(window.snapshot().training.config.learning_rate, 0.0025);
  // Tab goes on to the next field.
  window.click("training_view.set.steps");
  window.type("700");
  window.key(GLFW_KEY_TAB);
  EXPECT_EQ(window.snapshot().training.config.steps, 700);
  window.type("6");
  window.key(GLFW_KEY_ENTER);
  EXPECT_EQ(window.snapshot().training.config.B, 6);
  // Escape keeps the value.
  window.click("training_view.set.beta1");
  window.type("0.5");
  window.key(GLFW_KEY_ESCAPE);
  EXPECT_EQ(window.snapshot().training.config.beta1, 0.9);
  window.click("training_view.precision.bf16");
  EXPECT_EQ(window.snapshot().training.config.precision, ElementType::bf16);
  window.click("training_view.precision.fp32");
  EXPECT_EQ(window.snapshot().training.config.precision, ElementType::f32);
  window.click("training_view.checkpoint.true");
  EXPECT_TRUE(window.snapshot().training.config.checkpoint);
  window.click("training_view.checkpoint.false");
  EXPECT_FALSE(window.snapshot().training.config.checkpoint);
  window.click("training_view.schedule.constant");
  EXPECT_EQ(window.snapshot().training.config.schedule, Schedule::constant);
  window.run("undo");
  EXPECT_EQ(window.snapshot().training.config.schedule, Schedule::cosine);
}

TEST_F(TrainingWindow, AWrongValueIsToldAndTheOldOneStays) {
  const TrainConfig before = window.snapshot().training.config;
  window.click("training_view.set.beta2");
  window.type("1.5");
  window.key(GLFW_KEY_ENTER);
  EXPECT_EQ(window.snapshot().training.config, before);
  EXPECT_NE(window.app().toasts().newest().find("beta2"), std::string::npos)
      << window.app().toasts().newest();
}

TEST_F(TrainingWindow, AContextThatDoesNotFitIsRefusedAtOnce) {
  EXPECT_THROW(window.app().execute("train.set context 65"), std::exception);
  window.run("train.set context 64");
  EXPECT_EQ(window.snapshot().training.config.T, 64);
}

TEST_F(TrainingWindow, ADivergedTrainingSaysSo) {
  window.run("train.set warmup_steps 0");
  window.run("train.set grad_clip 0");
  window.run("train.set learning_rate 900");
  window.run("train.steps 50");
  ASSERT_EQ(window.snapshot().training.status, TrainingStatus::failed);
  const TrainingModel m = prepare_training(window.snapshot(), std::nullopt);
  EXPECT_EQ(m.kind, TrainingModel::Kind::failed);
  EXPECT_NE(training_sentence(Strings(), Language::english, m).find("learning_rate"), std::string::npos);
}

TEST_F(TrainingWindow, AxesAndScrubber) {
  window.run("train.steps 8");
  window.click("training_view.axes.log_x");
  window.click("training_view.axes.log_y");
  EXPECT_EQ(window.app().session().state.option("training.log_x", ""), "on");
  EXPECT_EQ(window.app().session().state.option("training.log_y", ""), "on");
  EXPECT_EQ(window.control("training_view.latest"), nullptr);
  for (const char* chart :
       {"training_view.loss", "training_view.gradient", "training_view.rate", "training_view.speed"}) {
    window.click(chart);
    ASSERT_TRUE(window.app().session().training_step.has_value()) << chart;
    EXPECT_GE(*window.app().session().training_step, 1);
    EXPECT_LE(*window.app().session().training_step, 8);
    window.move_to("training_view.latest");
    window.click("training_view.latest");
    EXPECT_FALSE(window.app().session().training_step.has_value());
  }
}

TEST_F(TrainingWindow, TextsAreOpenedByPath) {
  window.resize({1920, 1600});  // tall enough for the whole side column
  window.frames(2);
  window.click("training_view.open_text");
  window.type("/no/such/file.txt");
  window.key(GLFW_KEY_ENTER);
  EXPECT_NE(window.app().toasts().newest().find("/no/such/file.txt"), std::string::npos)
      << window.app().toasts().newest();
  const std::string name = window.snapshot().corpus.name;
  window.click("training_view.stories");
  EXPECT_EQ(window.snapshot().corpus.name, name);
  EXPECT_TRUE(window.snapshot().corpus.entropy_floor.has_value());
}

TEST_F(TrainingWindow, FitsWindowsOfEverySizeAndLanguage) {
  window.run("train.steps 6");
  expect_fits_every_window(window, "training_view.", "training_view.toggle");
}

}  // namespace
}  // namespace headlight::app
