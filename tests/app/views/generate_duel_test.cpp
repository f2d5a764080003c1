// The KV-cache duel: its sums, its controls, and that it fits.
#include <gtest/gtest.h>

#include "app/views/generate_duel_model.h"
#include "tests/app/views/live_window.h"

namespace headlight::app {
namespace {

DuelToken token(double cached_ms, double plain_ms, int64_t length, bool same = true) {
  DuelToken t;
  t.same = same;
  t.cached = {cached_ms / 1e3, 1, static_cast<size_t>(length) * 1000, 500};
  t.plain = {plain_ms / 1e3, length, 0, static_cast<size_t>(length) * 400};
  return t;
}

TEST(DuelPicture, AddsUpBothWays) {
  DuelState duel;
  duel.asked = 10;
  duel.prompt = 4;
  EXPECT_EQ(prepare_duel(duel).times_faster, 0);
  duel.tokens = {token(2, 2, 4), token(1, 3, 5), token(1, 7, 6)};
  const DuelPicture d = prepare_duel(duel);
  EXPECT_EQ(d.done, 3);
  EXPECT_EQ(d.differs_at, 0);
  EXPECT_NEAR(d.times_faster, 3, 1e-12);
  EXPECT_NEAR(d.cached.last_ms, 1, 1e-12);
  EXPECT_NEAR(d.plain.total_ms, 12, 1e-12);
  EXPECT_EQ(d.plain.computed, 6);
  EXPECT_EQ(d.plain.all_computed, 15);
  EXPECT_EQ(d.cached.all_computed, 3);
  EXPECT_NEAR(d.cached.kept_mb, 0.006, 1e-12);
  ASSERT_EQ(d.plain.megabytes.size(), 3u);
  EXPECT_EQ(d.plain.megabytes[2].first, 3);
  EXPECT_NEAR(d.plain.megabytes[2].second, 0.0024, 1e-12);
  duel.tokens.push_back(token(1, 1, 7, false));
  EXPECT_EQ(prepare_duel(duel).differs_at, 4);
}

TEST(DuelWindow, RunsClosesAndFits) {
  LiveWindow window;
  window.run("view.generate");
  const auto prompt = window.snapshot().prompt_tokens;
  EXPECT_EQ(window.control("generate_view.duel_close"), nullptr);
  window.run("generate.duel 16");
  EXPECT_EQ(window.snapshot().duel.tokens.size(), 16u);
  EXPECT_EQ(window.snapshot().prompt_tokens, prompt);
  for (const char* language : {"en", "vi"}) {
    window.run(std::string("language.set ") + language);
    for (const char* zoom : {"0.75", "1", "1.5"}) {
      window.run(std::string("zoom.set ") + zoom);
      for (const ImVec2 size : {ImVec2{1280, 720}, ImVec2{1920, 1080}}) {
        window.resize(size);
        window.frames(2);
        const Control* close = window.control("generate_view.duel_close");
        ASSERT_NE(close, nullptr);
        EXPECT_TRUE(close->clip.contains(close->rect)) << language << " " << zoom;
        if (std::string_view(zoom) != "1") continue;
        for (const CutText& cut : window.app().controls().cut())
          EXPECT_FALSE(close->clip.contains(cut.rect))
              << "cut: " << cut.text << " " << language << " " << size.x;
      }
    }
  }
  window.click("generate_view.duel_close");
  EXPECT_EQ(window.snapshot().duel.asked, 0);
  EXPECT_EQ(window.control("generate_view.duel_close"), nullptr);
  window.click("generate_view.duel");
  EXPECT_GT(window.snapshot().duel.tokens.size(), 0u);
}

}  // namespace
}  // namespace headlight::app
