// The playhead's slider, and the marks of the tree against a pinned run.
#include <gtest/gtest.h>

#include "app/views/chrome/chrome.h"
#include "tests/app/support/harness.h"

namespace headlight::app {
namespace {

TEST(Playhead, TheSlidersEndsAreTheFirstAndTheLastStep) {
  const Rect track{100, 0, 300, 4};
  EXPECT_EQ(step_at(100, track, 41), 0);
  EXPECT_EQ(step_at(300, track, 41), 40);
  EXPECT_EQ(step_at(200, track, 41), 20);
  EXPECT_EQ(step_at(-5000, track, 41), 0);
  EXPECT_EQ(step_at(5000, track, 41), 40);
}

TEST(Playhead, PressingAndDraggingTheSliderMovesIt) {
  test::Harness h;
  const Program& program = h.app.snapshot().run->program();
  const Control* slider = h.app.controls().find("playhead");
  ASSERT_NE(slider, nullptr);
  const Rect r = slider->rect;
  h.app.input().push(MouseMove{r.x1 - 1, r.centre().y});
  h.settle();
  h.app.input().push(MouseButton{0, true});
  h.settle();
  EXPECT_EQ(h.state().playhead.step, program.steps().back().name);
  h.app.input().push(MouseMove{r.x0 + 1, r.centre().y});
  h.settle();
  EXPECT_EQ(h.state().playhead.step, program.step(0).name);
  h.app.input().push(MouseMove{r.centre().x, r.y0 - 200});
  h.settle();
  const int middle = playhead_step(h.state().playhead, program);
  EXPECT_NEAR(middle, static_cast<int>(program.steps().size()) / 2, 1) << "held, it follows outside too";
  h.app.input().push(MouseButton{0, false});
  h.settle();
  h.app.input().push(MouseMove{r.x0 + 1, r.centre().y});
  h.settle();
  EXPECT_EQ(playhead_step(h.state().playhead, program), middle) << "let go, it stays";
}

TEST(StepChanges, TellWhatAPinnedRunHasOtherwise) {
  const auto run = test::recorded_snapshot()->run;
  const Program& program = run->program();
  for (const StepChange change : step_changes(*run, *run)) EXPECT_EQ(change, StepChange::same);

  headlight::Run other = *run;
  const BufferId id = program.require("blocks.1.attn.hook_pattern");
  auto changed = std::make_shared<Recorded>(*run->recorded[static_cast<size_t>(id)]);
  changed->values.back() += 1;
  other.recorded[static_cast<size_t>(id)] = changed;
  const auto changes = step_changes(*run, other);
  ASSERT_EQ(changes.size(), program.steps().size());
  for (size_t s = 0; s < changes.size(); ++s) {
    const bool here = static_cast<int>(s) == program.buffer(id).writer;
    EXPECT_EQ(changes[s], here ? StepChange::changed : StepChange::same) << program.steps()[s].name;
  }

  ProgramBuilder shorter(program.B(), program.T());
  other.recorded_program = shorter.finish();
  for (const StepChange change : step_changes(*run, other)) EXPECT_EQ(change, StepChange::absent);
}

TEST(Training, AFreshModelIsTrainedWithOneClick) {
  test::Harness h;
  h.click("train.fresh");
  const auto reset = h.engine.posted_of<ResetModel>();
  ASSERT_EQ(reset.size(), 1u);
  EXPECT_NE(reset[0].seed, h.app.snapshot().model.seed) << "other weights than before";
  ASSERT_EQ(h.engine.posted_of<Train>().size(), 1u);
  EXPECT_EQ(h.engine.posted_of<Train>()[0].steps, 0);
}

}  // namespace
}  // namespace headlight::app
