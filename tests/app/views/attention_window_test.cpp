// The Attention view in the window: heads, stages, comparison, hover, zoom, and its place at every size.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "app/views/attention_model.h"
#include "tests/app/views/fits.h"
#include "tests/app/views/live_window.h"

namespace headlight::app {
namespace {

class AttentionWindow : public testing::Test {
 protected:
  AttentionWindow() { window.run("view.attention"); }
  [[nodiscard]] const SessionState& state() { return window.app().session().state; }
  [[nodiscard]] const std::optional<CellPick>& hover() { return window.app().session().hover; }
  /// Puts the pointer at a share of a control's width and height.
  void point(const std::string& id, float u, float v) {
    const Control* c = window.control(id);
    ASSERT_NE(c, nullptr) << id;
    window.app().input().push(MouseMove{c->rect.x0 + u * c->rect.width(), c->rect.y0 + v * c->rect.height()});
    window.frames(3);
  }
  LiveWindow window;
};

TEST_F(AttentionWindow, AThumbnailSelectsItsHead) {
  window.click("attention.head.0.3");
  EXPECT_EQ(state().selection, (Selection{0, 3}));
  EXPECT_EQ(state().playhead.step, "blocks.0.attn.hook_pattern") << "tree and inspector go along";
  window.click("attention.stage.raw");
  EXPECT_EQ(state().option("attention.stage", ""), "raw");
  EXPECT_EQ(state().playhead.step, "blocks.0.attn.hook_scores_raw");
  window.run("undo");
  EXPECT_EQ(state().option("attention.stage", "softmax"), "softmax");
  EXPECT_THROW(window.app().execute("attention.stage sideways"), std::exception);
  EXPECT_THROW(window.app().execute("attention.select 0 99"), std::exception);
}

TEST_F(AttentionWindow, HoverNamesTheCellAndAClickPinsIt) {
  window.click("attention.head.1.2");
  const auto T = window.snapshot().run->program().T();
  const float cell = 1.f / static_cast<float>(T);
  point("attention.matrix", 2.5f * cell, 5.5f * cell);
  ASSERT_TRUE(hover());
  EXPECT_EQ(*hover(), (CellPick{"blocks.1.attn.hook_pattern", (2 * T + 5) * T + 2}));
  window.app().input().push(MouseButton{0, true});
  window.app().input().push(MouseButton{0, false});
  window.settle();
  EXPECT_EQ(state().pins.cell, hover());
}

TEST_F(AttentionWindow, TheWheelZoomsADragPansADoubleClickResets) {
  point("attention.matrix", 0.02f, 0.02f);
  ASSERT_TRUE(hover());
  const CellPick before = *hover();
  for (int i = 0; i < 6; ++i) window.app().input().push(MouseWheel{0, 1});
  window.settle();
  EXPECT_EQ(*hover(), before) << "the cell under the pointer stays";
  point("attention.matrix", 0.98f, 0.98f);
  const auto T = window.snapshot().run->program().T();
  const int64_t zoomed = hover()->offset % T;
  EXPECT_LT(zoomed, T - 1) << "a part fills the picture";
  // Drag to the upper left: later cells come into view, and nothing is pinned.
  window.app().input().push(MouseButton{0, true});
  window.frames(2);
  point("attention.matrix", 0.3f, 0.3f);
  window.app().input().push(MouseButton{0, false});
  window.settle();
  EXPECT_FALSE(state().pins.cell);
  point("attention.matrix", 0.98f, 0.98f);
  EXPECT_GT(hover()->offset % T, zoomed);
  for (const bool down : {true, false, true, false}) {
    window.app().input().push(MouseButton{0, down});
    window.frames(1);
  }
  window.settle();
  EXPECT_EQ(hover()->offset % T, T - 1) << "the whole matrix again";
}

TEST_F(AttentionWindow, ComparisonNeedsAPinnedRun) {
  window.click("attention.compare.difference");
  EXPECT_EQ(state().pins.compare, Compare::a);
  window.click("attention.compare.pin");
  ASSERT_TRUE(state().pins.run);
  window.run("switch.temperature 0.3");
  window.click("attention.compare.difference");
  EXPECT_EQ(state().pins.compare, Compare::difference);
  window.run("switch.heads 2");
  EXPECT_NE(window.control("attention.matrix"), nullptr) << "A is shown where A − B is impossible";
  window.click("attention.compare.b");
  EXPECT_NE(window.control("attention.head.1.3"), nullptr) << "B has its own four heads";
  window.click("attention.compare.pin");
  EXPECT_FALSE(state().pins.run);
  EXPECT_EQ(window.control("attention.head.1.3"), nullptr);
}

TEST_F(AttentionWindow, TheLeakMeterComesWithAMaskThatLeaks) {
  EXPECT_EQ(window.control("attention.leak"), nullptr);
  for (const char* mask : {"zero", "finite", "none"}) {
    window.run(std::string("switch.mask ") + mask);
    EXPECT_NE(window.control("attention.leak"), nullptr) << mask;
  }
  window.run("switch.mask causal");
  EXPECT_EQ(window.control("attention.leak"), nullptr);
}

TEST_F(AttentionWindow, ArcsAndEntropyLightUpTheirQuery) {
  window.click("attention.arcs.query.3");
  ASSERT_TRUE(state().pins.cell);
  const auto T = window.snapshot().run->program().T();
  EXPECT_EQ(state().pins.cell->offset / T % T, 3);
  point("attention.entropy", 0.5f, 0.5f);
  EXPECT_NE(window.control("attention.detector.induction"), nullptr);
}

TEST_F(AttentionWindow, TwelveByTwelveHeadsAreAllThereAndMoreScroll) {
  window.run("switch.set n_embd 96");
  window.run("switch.layers 12");
  window.run("switch.heads 12");
  for (int l = 0; l < 12; ++l)
    for (int h = 0; h < 12; ++h)
      EXPECT_NE(window.control(fmt::format("attention.head.{}.{}", l, h)), nullptr) << l << h;
  window.run("switch.layers 40");
  EXPECT_EQ(window.control("attention.head.39.0"), nullptr);
  window.move_to("attention.head.3.3");
  for (int i = 0; i < 40; ++i) window.app().input().push(MouseWheel{0, -1});
  window.settle();
  window.frames(60);
  EXPECT_NE(window.control("attention.head.39.11"), nullptr);
  EXPECT_EQ(window.control("attention.head.0.0"), nullptr);
}

TEST_F(AttentionWindow, NarrowWindowsShowOnePictureAfterTheOther) {
  window.resize({1280, 720});
  window.frames(2);
  EXPECT_NE(window.control("attention.head.0.0"), nullptr);
  window.click("attention.pane.arcs");
  EXPECT_EQ(window.control("attention.head.0.0"), nullptr);
  EXPECT_NE(window.control("attention.arcs.query.0"), nullptr);
}

TEST_F(AttentionWindow, OneTokenAndManyTokensAreDrawn) {
  window.run("prompt.set The");
  EXPECT_NE(window.control("attention.matrix"), nullptr);
  window.run("generate.more 80");
  EXPECT_EQ(window.snapshot().run->program().T(), 64);
  EXPECT_NE(window.control("attention.arcs.query.63"), nullptr);
}

TEST_F(AttentionWindow, EverythingStaysInsideItsRoomAndApart) {
  window.run("switch.mask zero");
  for (const ImVec2 size : {ImVec2{1280, 720}, ImVec2{1920, 1080}}) {
    for (const char* zoom : {"0.75", "1", "1.5", "2", "3"}) {
      for (const char* language : {"en", "vi"}) {
        window.resize(size);
        window.app().execute(std::string("zoom.set ") + zoom);
        window.app().execute(std::string("language.set ") + language);
        window.frames(4);
        const std::string where = fmt::format("{}x{} at {} in {}", size.x, size.y, zoom, language);
        expect_inside_and_apart(window, "attention.", 8, where);
      }
    }
  }
}

}  // namespace
}  // namespace headlight::app
