// The Generate view: its distribution against the sampler's candidates, the marks of tokens, its controls by
// click and key.
#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

#include <cmath>

#include "app/views/generate_model.h"
#include "tests/app/views/fits.h"
#include "tests/app/views/live_window.h"

namespace headlight::app {
namespace {

/// nano after a few steps, its prompt and candidates under this sampler.
std::shared_ptr<const Snapshot> snapshot_with(const SamplerConfig& sampler) {
  Engine engine({});
  engine.post(OpenPreset{"nano"});
  TrainConfig config;
  config.B = 4;
  config.T = 16;
  engine.post(SetTrainConfig{config});
  engine.post(Train{30});
  engine.post(SetSampler{sampler});
  engine.drain();
  return engine.snapshot();
}

TEST(Distribution, AgreesWithTheCandidates) {
  const auto s = snapshot_with({.temperature = 0.5, .top_k = 12, .top_p = 0.8});
  const auto& all = s->generation.candidates;
  const Distribution d = prepare_distribution(*s, 10);
  ASSERT_EQ(d.rows.size(), 10u);
  EXPECT_EQ(d.vocabulary, s->model.config.vocab_size);
  EXPECT_EQ(d.rest, d.vocabulary - 10);
  double probability = d.rest_probability, sampled = d.rest_sampled;
  for (size_t i = 0; i < d.rows.size(); ++i) {
    const TokenRow& row = d.rows[i];
    EXPECT_EQ(row.token, all[i].token);
    EXPECT_EQ(row.sampled, all[i].sampled);
    EXPECT_EQ(row.fate == TokenRow::Fate::kept, all[i].kept);
    probability += row.probability;
    sampled += row.sampled;
  }
  EXPECT_NEAR(probability, 1, 1e-9);
  EXPECT_NEAR(sampled, 1, 1e-9);
  EXPECT_LT(d.kept, 13);
  double kept = 0;
  for (const Candidate& c : all) kept += c.kept ? c.probability : 0;
  EXPECT_NEAR(d.kept_mass, kept, 1e-12);
  EXPECT_LT(d.sampled_entropy, d.entropy);
  // τ = 1 straight from the logits.
  double sum = 0;
  for (const Candidate& c : all) sum += std::exp(static_cast<double>(c.logit));
  EXPECT_NEAR(d.rows[3].plain, std::exp(static_cast<double>(all[3].logit)) / sum, 1e-9);
}

TEST(Distribution, TellsWhichCutTookAToken) {
  const auto s = snapshot_with({.temperature = 1, .top_k = 6, .top_p = 0.5});
  const Distribution d = prepare_distribution(*s, 48);
  int by_k = 0, by_p = 0;
  for (size_t i = 0; i < d.rows.size(); ++i) {
    by_k += d.rows[i].fate == TokenRow::Fate::cut_by_k;
    by_p += d.rows[i].fate == TokenRow::Fate::cut_by_p;
    EXPECT_EQ(d.rows[i].fate == TokenRow::Fate::cut_by_k, i >= 6);
  }
  EXPECT_EQ(by_k, static_cast<int>(d.rows.size()) - 6);
  EXPECT_EQ(by_p, 6 - static_cast<int>(d.kept));
}

TEST(Distribution, AtTemperatureOneNothingMoves) {
  const auto s = snapshot_with({.temperature = 1, .top_k = 0, .top_p = 1});
  const Distribution d = prepare_distribution(*s, 48);
  for (const TokenRow& row : d.rows) {
    EXPECT_NEAR(row.plain, row.probability, 1e-12);
    EXPECT_NEAR(row.sampled, row.probability, 1e-9);
  }
  EXPECT_NEAR(d.kept_mass, 1, 1e-9);
}

TEST(Distribution, AnAxisHoldsItsBars) {
  TokenRow row;
  row.probability = 0.31;
  EXPECT_EQ(axis_end({row}), 0.5);
  row.sampled = 0.7;
  EXPECT_EQ(axis_end({row}), 1);
  row.probability = row.sampled = 0.00002;
  EXPECT_EQ(axis_end({row}), 0.001);
}

TEST(TokenTrail, MarksWhatWasDrawnAndWhatWasChosen) {
  Engine engine({});
  engine.post(OpenPreset{"nano"});
  engine.drain();
  TokenTrail trail;
  trail.update(*engine.snapshot(), false);
  const size_t before = engine.snapshot()->prompt_tokens.size();
  ASSERT_EQ(trail.marks().size(), before);
  for (const TokenMark& mark : trail.marks()) EXPECT_EQ(mark.origin, TokenMark::Origin::prompt);

  engine.post(Generate{2, {}});
  engine.drain();
  auto s = engine.snapshot();
  trail.update(*s, false);
  ASSERT_EQ(trail.marks().size(), before + 2);
  EXPECT_EQ(trail.marks()[before - 1].origin, TokenMark::Origin::prompt);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(trail.marks()[before + i].origin, TokenMark::Origin::drawn);
    EXPECT_EQ(trail.marks()[before + i].probability, s->generation.tokens[i].probability);
  }
  // One more by hand: the engine forgets, the trail does not.
  const Candidate picked = s->generation.candidates[5];
  std::vector<int32_t> tokens = s->prompt_tokens;
  tokens.push_back(picked.token);
  engine.post(SetPromptTokens{tokens});
  engine.drain();
  s = engine.snapshot();
  EXPECT_TRUE(s->generation.tokens.empty());
  trail.update(*s, false);
  EXPECT_EQ(trail.marks()[before].origin, TokenMark::Origin::drawn);
  EXPECT_EQ(trail.marks().back().origin, TokenMark::Origin::chosen);
  EXPECT_DOUBLE_EQ(trail.marks().back().probability, picked.probability);
  EXPECT_GT(trail.marks().back().entropy, 0);
  // Taken back, and the one before it with it.
  tokens.resize(before + 1);
  engine.post(SetPromptTokens{tokens});
  engine.drain();
  trail.update(*engine.snapshot(), false);
  ASSERT_EQ(trail.marks().size(), before + 1);
  EXPECT_EQ(trail.marks().back().origin, TokenMark::Origin::drawn);
  // Typed text is prompt.
  tokens.push_back(picked.token);
  engine.post(SetPromptTokens{tokens});
  engine.drain();
  trail.update(*engine.snapshot(), true);
  EXPECT_EQ(trail.marks().back().origin, TokenMark::Origin::prompt);
}

class GenerateWindow : public testing::Test {
 protected:
  GenerateWindow() { window.run("view.generate"); }
  [[nodiscard]] size_t length() const { return window.snapshot().prompt_tokens.size(); }
  LiveWindow window;
};

TEST_F(GenerateWindow, AppendsAndDropsTokens) {
  const size_t before = length();
  window.click("generate_view.one");
  EXPECT_EQ(length(), before + 1);
  window.click("generate_view.ten");
  EXPECT_EQ(length(), before + 11);
  EXPECT_NE(window.control("generate_view.strip." + std::to_string(before + 10)), nullptr);
  window.click("generate_view.drop");
  EXPECT_EQ(length(), before + 10);
  window.key(GLFW_KEY_BACKSPACE);
  EXPECT_EQ(length(), before + 9);
  EXPECT_NE(window.control("generate_view.strip." + std::to_string(before + 8)), nullptr);
  EXPECT_EQ(window.control("generate_view.strip." + std::to_string(before - 1)), nullptr);
}

TEST_F(GenerateWindow, AClickOnABarAppendsItsToken) {
  const size_t before = length();
  const int32_t token = window.snapshot().generation.candidates[2].token;
  window.click("generate_view.token." + std::to_string(token));
  ASSERT_EQ(length(), before + 1);
  EXPECT_EQ(window.snapshot().prompt_tokens.back(), token);
  window.run("undo");
  EXPECT_EQ(length(), before);
}

TEST_F(GenerateWindow, TokensWithoutATextCanBeAppendedToo) {
  // The one-head preset has more ids than the stories have words.
  LiveWindow large("one-head");
  large.run("view.generate");
  large.run("prompt.append 50000");
  EXPECT_EQ(large.snapshot().prompt_tokens.back(), 50000);
  large.run("prompt.drop");
  EXPECT_NE(large.snapshot().prompt_tokens.back(), 50000);
  large.run("prompt.tokens 3,50000,7");
  EXPECT_EQ(large.snapshot().prompt_tokens, (std::vector<int32_t>{3, 50000, 7}));
  EXPECT_THROW(large.run("prompt.tokens 3,,7"), Error);
  EXPECT_THROW(large.run("prompt.tokens "), Error);
}

TEST_F(GenerateWindow, TheSamplerFollowsItsControls) {
  const auto sampler = [&]() -> const SamplerConfig& { return window.app().session().state.probe.sampler; };
  window.click("generate_view.greedy");
  EXPECT_TRUE(sampler().greedy);
  EXPECT_EQ(prepare_distribution(window.snapshot(), 48).kept, 1);
  window.click("generate_view.greedy");
  EXPECT_FALSE(sampler().greedy);
  for (const char* slider : {"temperature", "top_k", "top_p", "min_p", "penalty"}) {
    const SamplerConfig before = sampler();
    window.click(std::string("generate_view.") + slider);
    EXPECT_NE(sampler(), before) << slider;
  }
  window.click("generate_view.seed");
  window.type("77");
  window.key(GLFW_KEY_ENTER);
  EXPECT_EQ(sampler().seed, 77u);
  // The far right of top-k keeps all.
  const Control* k = window.control("generate_view.top_k");
  window.app().input().push(MouseMove{k->rect.x1 - 60, k->rect.centre().y});
  window.app().input().push(MouseButton{0, true});
  window.frames(3);
  window.app().input().push(MouseMove{k->rect.x1 + 40, k->rect.centre().y});
  window.frames(2);
  window.app().input().push(MouseButton{0, false});
  window.settle();
  EXPECT_EQ(sampler().top_k, 0);
}

TEST_F(GenerateWindow, ManyTokensCanBeStopped) {
  window.app().execute("generate.more 100000");
  window.frames(3);
  for (int i = 0; i < 500 && !window.snapshot().generation.running; ++i) window.frames(1);
  ASSERT_TRUE(window.snapshot().generation.running);
  window.click("generate_view.stop");
  EXPECT_FALSE(window.snapshot().generation.running);
  EXPECT_LE(static_cast<int64_t>(length()), window.snapshot().model.config.n_positions);
}

TEST_F(GenerateWindow, FitsWindowsOfEverySizeAndLanguage) {
  window.run("generate.more 30");
  expect_fits_every_window(window, "generate_view.", "generate_view.one");
}

}  // namespace
}  // namespace headlight::app
