// The Pass view in a window: pointing explains, a click pins, controls act, nothing is cut, motion rests.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "app/views/pass.h"
#include "tests/app/support/harness.h"
#include "tests/app/views/live_window.h"

namespace headlight::app {
namespace {

TEST(PassWindow, HoverExplainsAndAClickPins) {
  test::Harness window;
  window.app.execute("view.pass");
  window.app.execute("step.go blocks.1.attn.hook_pattern");
  window.settle();
  const std::string id = "pass.blocks.1.attn.hook_pattern";
  window.hover(id);
  ASSERT_TRUE(window.app.session().hover);
  EXPECT_EQ(window.app.session().hover->buffer, "blocks.1.attn.hook_pattern");
  window.click(id);
  ASSERT_TRUE(window.state().pins.cell);
  EXPECT_EQ(window.state().pins.cell->buffer, "blocks.1.attn.hook_pattern");
  EXPECT_EQ(*window.state().pins.cell, *window.app.session().hover);
}

TEST(PassWindow, HeadsAndComparisonAreControls) {
  test::Harness window;
  window.app.execute("step.go blocks.0.attn.hook_pattern");
  window.settle();
  window.click("pass.head.2");
  EXPECT_EQ(window.state().selection.head, 2);
  EXPECT_EQ(window.app.controls().find("pass.compare.b"), nullptr);
  window.app.execute("run.pin");
  window.settle();
  window.click("pass.compare.difference");
  EXPECT_EQ(window.state().pins.compare, Compare::difference);
}

TEST(PassWindow, EveryStepIsDrawnInEverySizeWithoutCuttingText) {
  for (const ImVec2 size : {ImVec2{1920, 1080}, ImVec2{1280, 720}})
    for (const Language language : {Language::english, Language::vietnamese}) {
      test::Harness window(size);
      window.state().layout.language = language;
      const auto& steps = window.app.snapshot().run->program().steps();
      for (const Step& step : steps) {
        window.app.execute("step.go " + step.name);
        window.frames(1);
        Rect stage;
        for (const Control& control : window.app.controls().all())
          if (control.id.starts_with("pass.")) stage = control.clip;
        ASSERT_FALSE(stage.empty()) << step.name;
        for (const CutText& cut : window.app.controls().cut())
          EXPECT_FALSE(stage.overlaps(cut.rect)) << step.name << ": “" << cut.text << "” is cut";
      }
    }
}

TEST(PassWindow, MotionIsShortAndCanBeTurnedOff) {
  PassView view;
  EXPECT_FALSE(view.animating());
  test::Harness window;
  window.frames(30);
  window.app.execute("step.go blocks.0.hook_resid_mid");
  window.frames(2);
  EXPECT_EQ(window.app.next_frame_in(), 0);
  window.frames(20);
  EXPECT_GT(window.app.next_frame_in(), 0);
  window.state().layout.motion = false;
  window.app.execute("step.go blocks.0.hook_resid_post");
  window.frames(3);
  EXPECT_GT(window.app.next_frame_in(), 0);
}

TEST(PassWindow, ACheckpointedProgramIsWalkedLikeAnyOther) {
  LiveWindow window;
  window.run("view.pass");
  window.run("train.set checkpoint true");
  window.run("step.last");
  std::vector<std::string> again;
  for (const Step& step : window.snapshot().run->program().steps())
    if (step.name.ends_with("@again")) again.push_back(step.name);
  ASSERT_GT(again.size(), 10U);
  for (const std::string& name : again) {
    window.run("step.go " + name);
    EXPECT_EQ(window.app().session().state.playhead.step, name);
    ASSERT_NE(window.control("step." + name), nullptr) << "the tree does not show " << name;
    const auto& run = *window.snapshot().run;
    EXPECT_FALSE(run.values(name).empty()) << name;
    Rect stage;
    for (const Control& control : window.app().controls().all())
      if (control.id.starts_with("pass.")) stage = control.clip;
    ASSERT_FALSE(stage.empty()) << name;
    for (const CutText& cut : window.app().controls().cut())
      EXPECT_FALSE(stage.overlaps(cut.rect)) << name << ": “" << cut.text << "” is cut";
  }
  window.run("train.set checkpoint false");
  EXPECT_FALSE(window.snapshot().run->program().find(again[0]));
  EXPECT_GE(window.app().next_frame_in(), 0);
}

}  // namespace
}  // namespace headlight::app
