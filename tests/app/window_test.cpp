// Clicks and keys through the event queue: every control and every shortcut of the window.
#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "tests/app/support/harness.h"

namespace headlight::app {
namespace {

TEST(TopBar, SwitchesAskTheEngineForAConfig) {
  test::Harness h;
  h.click("heads.2");
  h.click("norm.post");
  h.click("mask.zero");
  h.click("parts.residual");
  h.click("parts.mlp");
  h.click("parts.scale");
  const auto posted = h.engine.posted_of<ChangeConfig>();
  ASSERT_EQ(posted.size(), 6u);
  const ModelConfig& c = posted.back().config;
  EXPECT_EQ(c.n_head, 2);
  EXPECT_EQ(c.norm_position, NormPosition::post);
  EXPECT_EQ(c.mask, AttentionMask::zero);
  EXPECT_FALSE(c.residual);
  EXPECT_EQ(c.mlp, MlpKind::none);
  EXPECT_FALSE(c.scale_attn_weights);
}

TEST(TopBar, DraggingTauIsOneUndo) {
  test::Harness h;
  const Control* tau = h.app.controls().find("temperature");
  ASSERT_NE(tau, nullptr);
  const Rect r = tau->rect;
  h.app.input().push(MouseMove{r.x0 + 20, r.centre().y});
  h.app.input().push(MouseButton{0, true});
  for (int i = 0; i < 20; ++i)
    h.app.input().push(MouseMove{r.x0 + 20 + static_cast<float>(i) * 2, r.centre().y});
  h.settle();
  for (int i = 0; i < 10; ++i) {
    h.app.input().push(MouseMove{r.x0 + 30 + static_cast<float>(i) * 3, r.centre().y});
    h.settle();
  }
  h.app.input().push(MouseButton{0, false});
  h.settle();
  EXPECT_GT(h.engine.posted_of<ChangeConfig>().size(), 1u);
  EXPECT_TRUE(h.state().probe.config.has_value());
  h.app.execute("undo");
  EXPECT_FALSE(h.state().probe.config.has_value());
}

TEST(Transport, ButtonsMoveThePlayhead) {
  test::Harness h;
  const Program& program = h.app.snapshot().run->program();
  h.click("step.first");
  EXPECT_EQ(h.state().playhead.step, program.step(0).name);
  h.click("step.next");
  EXPECT_EQ(h.state().playhead.step, program.step(1).name);
  h.click("step.previous");
  EXPECT_EQ(h.state().playhead.step, program.step(0).name);
  h.click("step.last");
  EXPECT_EQ(h.state().playhead.step, program.steps().back().name);
}

TEST(Transport, PlayingWalksTheSteps) {
  test::Harness h;
  h.click("step.first");
  h.key(GLFW_KEY_SPACE);
  EXPECT_TRUE(h.app.session().playing);
  h.frames(150);
  EXPECT_NE(h.state().playhead.step, h.app.snapshot().run->program().step(0).name);
  h.key(GLFW_KEY_SPACE);
  EXPECT_FALSE(h.app.session().playing);
}

TEST(Keys, WalkStepsBlocksHeadsAndViews) {
  test::Harness h;
  const Program& program = h.app.snapshot().run->program();
  h.key(GLFW_KEY_HOME);
  h.key(GLFW_KEY_RIGHT);
  h.key(GLFW_KEY_RIGHT);
  EXPECT_EQ(h.state().playhead.step, program.step(2).name);
  h.key(GLFW_KEY_LEFT);
  EXPECT_EQ(h.state().playhead.step, program.step(1).name);
  h.key(GLFW_KEY_DOWN);
  EXPECT_EQ(program.step(playhead_step(h.state().playhead, program)).block, 0);
  h.key(GLFW_KEY_DOWN);
  EXPECT_EQ(program.step(playhead_step(h.state().playhead, program)).block, 1);
  h.key(GLFW_KEY_UP);
  EXPECT_EQ(program.step(playhead_step(h.state().playhead, program)).block, 0);
  h.key(GLFW_KEY_3);
  EXPECT_EQ(h.state().selection.head, 3);
  h.key(GLFW_KEY_F3);
  EXPECT_EQ(h.state().layout.view, ViewId::attention);
  h.key(GLFW_KEY_Z, true);
  EXPECT_EQ(h.state().layout.view, ViewId::pass);
  h.key(GLFW_KEY_Z, true, true);
  EXPECT_EQ(h.state().layout.view, ViewId::attention);
}

TEST(Keys, TrainZoomThemeLanguageFullScreen) {
  test::Harness h;
  h.key(GLFW_KEY_T);
  EXPECT_EQ(h.engine.posted_of<Train>().size(), 1u);
  h.key(GLFW_KEY_T, false, true);
  ASSERT_EQ(h.engine.posted_of<Train>().size(), 2u);
  EXPECT_EQ(h.engine.posted_of<Train>()[1].steps, 1);
  h.key(GLFW_KEY_EQUAL, true);
  EXPECT_DOUBLE_EQ(h.state().layout.zoom, 1.1);
  h.key(GLFW_KEY_0, true);
  EXPECT_DOUBLE_EQ(h.state().layout.zoom, 1);
  h.key(GLFW_KEY_T, true);
  EXPECT_EQ(h.state().layout.theme, ThemeKind::light);
  h.key(GLFW_KEY_L, true);
  EXPECT_EQ(h.state().layout.language, Language::vietnamese);
  h.key(GLFW_KEY_F11);
  EXPECT_TRUE(h.app.session().fullscreen);
}

TEST(Keys, EveryShortcutRunsItsCommand) {
  // Each on a fresh window; the command's own can_run decides whether something may happen at all.
  const CommandRegistry registry;
  for (const Command& command : registry.all()) {
    for (const KeyChord& chord : command.keys) {
      test::Harness h({1280, 720});
      h.key(chord.key, chord.ctrl, chord.shift);
      EXPECT_EQ(h.app.toasts().newest(), "") << command.id << " " << chord_text(chord);
    }
  }
}

TEST(Prompt, ClickTypeAndEnter) {
  test::Harness h;
  h.click("chip.add");
  EXPECT_TRUE(h.app.session().editing_prompt);
  h.type(" on");
  const std::string expected = h.app.snapshot().prompt + " on";
  ASSERT_FALSE(h.engine.posted_of<SetPrompt>().empty());
  EXPECT_EQ(h.engine.posted_of<SetPrompt>().back().text, expected);
  // While typing, letters are no shortcuts.
  const auto trained = h.engine.posted_of<Train>().size();
  h.key(GLFW_KEY_T);
  EXPECT_EQ(h.engine.posted_of<Train>().size(), trained);
  h.key(GLFW_KEY_ENTER);
  EXPECT_FALSE(h.app.session().editing_prompt);
}

TEST(Keys, AChordWithinOneFrameKeepsItsModifier) {
  // The modifier goes up before the key does, and all of it before a frame is drawn.
  test::Harness h;
  InputQueue& input = h.app.input();
  const auto strike = [&](int key) {
    input.push(KeyPress{key, true, GLFW_MOD_CONTROL});
    input.push(KeyPress{GLFW_KEY_LEFT_CONTROL, false, GLFW_MOD_CONTROL});
    input.push(KeyPress{key, false});
    h.settle();
  };
  input.push(KeyPress{GLFW_KEY_LEFT_CONTROL, true});
  strike(GLFW_KEY_P);
  EXPECT_EQ(h.app.session().overlay, Overlay::palette);
  EXPECT_EQ(h.state().pins.run, nullptr);
  h.key(GLFW_KEY_ESCAPE);
  // The same with the modifier's press in a frame of its own.
  input.push(KeyPress{GLFW_KEY_LEFT_CONTROL, true});
  h.frames(1);
  strike(GLFW_KEY_T);
  EXPECT_EQ(h.state().layout.theme, ThemeKind::light);
  EXPECT_TRUE(h.engine.posted_of<Train>().empty());
  EXPECT_FALSE(ImGui::GetIO().KeyCtrl);
}

TEST(Prompt, EnterWaitsForKnownWordsAndEscapeRestores) {
  test::Harness h;
  const std::string before = h.app.snapshot().prompt;
  h.key(GLFW_KEY_E, true);
  h.type(" on@");
  const size_t posted = h.engine.posted_of<SetPrompt>().size();
  h.key(GLFW_KEY_ENTER);
  EXPECT_TRUE(h.app.session().editing_prompt);
  EXPECT_TRUE(ImGui::GetIO().WantTextInput);
  EXPECT_EQ(h.engine.posted_of<SetPrompt>().size(), posted);
  EXPECT_EQ(h.app.toasts().newest(), "");
  // The caret is still behind what was typed: take it away and the rest is accepted.
  h.key(GLFW_KEY_BACKSPACE);
  h.key(GLFW_KEY_ENTER);
  EXPECT_FALSE(h.app.session().editing_prompt);
  EXPECT_EQ(h.state().probe.prompt, before + " on");

  h.key(GLFW_KEY_E, true);
  h.type(" the");
  EXPECT_EQ(h.state().probe.prompt, before + " on the");
  h.key(GLFW_KEY_ESCAPE);
  EXPECT_FALSE(h.app.session().editing_prompt);
  EXPECT_EQ(h.state().probe.prompt, before + " on");

  h.key(GLFW_KEY_E, true);
  h.type(" the@");
  h.click("norm.post");
  EXPECT_FALSE(h.app.session().editing_prompt);
  EXPECT_EQ(h.state().probe.prompt, before + " on");
}

TEST(NextToken, ShowsTheModelsOwnDistribution) {
  const auto snapshot = test::recorded_snapshot();
  const std::span<const float> probs = snapshot->run->values("probs");
  const auto V = static_cast<size_t>(snapshot->run->config.vocab_size);
  ASSERT_GE(probs.size(), V);
  const auto last = probs.last(V);
  const auto shown = model_distribution(snapshot->generation.candidates, V);
  ASSERT_EQ(shown.size(), V);
  double cooler = 0;
  for (size_t i = 0; i < V; ++i) {
    EXPECT_NEAR(shown[i].probability, last[static_cast<size_t>(shown[i].token)], 1e-5);
    if (i > 0) {
      EXPECT_LE(shown[i].probability, shown[i - 1].probability);
    }
    cooler =
        std::max(cooler, std::abs(shown[i].probability - snapshot->generation.candidates[i].probability));
  }
  EXPECT_GT(cooler, 1e-3);  // the sampler's temperature is another one
}

TEST(Toasts, LeaveTheBottomPanelsFree) {
  test::Harness h;
  for (const char* text : {"one", "two", "three", "four"}) h.app.tell(Notice::Level::error, text);
  h.frames(3);
  const Control* last = h.app.controls().find("toast.3");
  const Control* train = h.app.controls().find("train.toggle");
  const Control* first = h.app.controls().find("next.0");
  ASSERT_TRUE(last != nullptr && train != nullptr && first != nullptr);
  EXPECT_LT(last->rect.y1, std::min(train->rect.y0, first->rect.y0));
  h.click("train.toggle");
  EXPECT_EQ(h.engine.posted_of<Train>().size(), 1u);
}

TEST(NextToken, AClickAppendsIt) {
  test::Harness h;
  h.click("next.0");
  const auto posted = h.engine.posted_of<SetPrompt>();
  ASSERT_EQ(posted.size(), 1u);
  EXPECT_GT(posted[0].text.size(), h.app.snapshot().prompt.size());
}

TEST(Training, Buttons) {
  test::Harness h;
  h.click("train.toggle");
  h.click("train.step");
  h.click("train.reset");
  EXPECT_EQ(h.engine.posted_of<Train>().size(), 2u);
  EXPECT_EQ(h.engine.posted_of<ResetModel>().size(), 1u);
}

TEST(Tree, AClickMovesThePlayheadAndGroupsClose) {
  test::Harness h;
  h.key(GLFW_KEY_HOME);
  h.click("step.blocks.0.attn.hook_pattern");
  EXPECT_EQ(h.state().playhead.step, "blocks.0.attn.hook_pattern");
  ASSERT_NE(h.app.controls().find("tree.embed"), nullptr);
  ASSERT_NE(h.app.controls().find("step.hook_embed"), nullptr);
  h.click("tree.embed");
  EXPECT_EQ(h.app.controls().find("step.hook_embed"), nullptr);
  EXPECT_TRUE(h.state().layout.toggled_groups.contains("embed"));
}

TEST(Tree, EveryStepOfTheProgramHasARow) {
  const auto& run = test::recorded_snapshot()->run;
  const auto rows = tree_rows(run->program());
  std::set<int> steps;
  std::set<std::string> groups;
  for (const TreeRow& row : rows) {
    if (row.kind == TreeRow::Kind::step) steps.insert(row.step);
    if (row.kind == TreeRow::Kind::group) groups.insert(row.group);
  }
  EXPECT_EQ(steps.size(), run->program().steps().size());
  for (const char* group : {"embed", "block.0", "block.1", "out", "loss", "backward", "update"})
    EXPECT_TRUE(groups.contains(group)) << group;
}

TEST(Palette, FindsAndRuns) {
  test::Harness h;
  h.key(GLFW_KEY_P, true);
  EXPECT_EQ(h.app.session().overlay, Overlay::palette);
  h.type("switch.heads 2");
  h.key(GLFW_KEY_ENTER);
  EXPECT_EQ(h.app.session().overlay, Overlay::none);
  ASSERT_EQ(h.engine.posted_of<ChangeConfig>().size(), 1u);
  EXPECT_EQ(h.engine.posted_of<ChangeConfig>()[0].config.n_head, 2);
  h.key(GLFW_KEY_P, true);
  h.type("presenter");
  h.key(GLFW_KEY_ENTER);
  EXPECT_TRUE(h.state().layout.presenter);
}

TEST(Palette, FuzzyScoresPreferWordStarts) {
  EXPECT_LT(fuzzy_score("xyz", "Next step"), 0);
  EXPECT_GT(fuzzy_score("ns", "Next step"), fuzzy_score("ns", "Pin this run as B: no s"));
  EXPECT_GE(fuzzy_score("", "anything"), 0);
}

TEST(Models, TheMenuOpensAPreset) {
  test::Harness h;
  h.click("model");
  EXPECT_EQ(h.app.session().overlay, Overlay::models);
  h.click("model.block");
  EXPECT_EQ(h.app.session().overlay, Overlay::none);
  ASSERT_EQ(h.engine.posted_of<OpenPreset>().size(), 1u);
  EXPECT_EQ(h.engine.posted_of<OpenPreset>()[0].name, "block");
}

TEST(Overlays, EscapeClosesThem) {
  test::Harness h;
  for (const int key : {GLFW_KEY_F1, GLFW_KEY_M}) {
    h.key(key);
    EXPECT_NE(h.app.session().overlay, Overlay::none);
    h.key(GLFW_KEY_ESCAPE);
    EXPECT_EQ(h.app.session().overlay, Overlay::none);
  }
}

TEST(Inspector, ExplainsAPinnedCellAndCopiesItsSum) {
  test::Harness h;
  h.app.execute("cell.pin blocks.0.attn.hook_pattern 40");
  h.frames(2);
  ASSERT_NE(h.app.controls().find("terms.0"), nullptr);
  h.app.execute("cell.copy");
  const std::string text = ImGui::GetClipboardText();
  EXPECT_NE(text.find("blocks.0.attn.hook_pattern[0, 0,"), std::string::npos) << text;
  EXPECT_NE(text.find("hook_attn_scores"), std::string::npos) << text;
  h.click("terms.0");
  EXPECT_NE(h.state().pins.cell->buffer, "blocks.0.attn.hook_pattern");
}

TEST(Commands, RefuseBadArgumentsWithASentence) {
  test::Harness h;
  const std::vector<std::string> bad = {"switch.heads 3",       "switch.heads x",   "switch.norm left",
                                        "zoom.set 9",           "theme.set purple", "no.such.command",
                                        "step.go nothing",      "cell.pin",         "sampler.top_p 2",
                                        "switch.temperature 0", "head.select 99",   "language.set fr"};
  const SessionState before = h.state();
  for (const std::string& text : bad) {
    try {
      h.app.execute(text);
      ADD_FAILURE() << text << " was accepted";
    } catch (const std::exception& error) {
      EXPECT_GT(std::string(error.what()).size(), 15u) << text;
    }
    EXPECT_TRUE(h.state() == before) << text;
  }
}

TEST(Controls, EveryOneTakesAClickInEveryView) {
  for (int v = 0; v < view_count; ++v) {
    const std::string view = "view." + std::string(view_name(static_cast<ViewId>(v)));
    std::vector<std::string> ids;
    {
      test::Harness h;
      h.app.execute(view);
      h.frames(3);
      for (const Control& c : h.app.controls().all())
        if (c.enabled && c.clip.contains(c.rect.centre())) ids.push_back(c.id);
    }
    EXPECT_GT(ids.size(), 30u) << view;
    // Many on one window: what one click changes must not break the next.
    test::Harness h;
    for (const std::string& id : ids) {
      h.app.execute(view);
      h.app.session().overlay = Overlay::none;
      h.app.session().editing_prompt = false;
      h.frames(2);
      if (h.app.controls().find(id) == nullptr) continue;  // an earlier click took it away
      h.click(id);
    }
    for (const Control& c : h.app.controls().all()) EXPECT_FALSE(c.id.empty());
  }
}

TEST(Frames, AnAppWithoutARunDrawsItsChrome) {
  test::Harness h;
  auto empty = std::make_shared<Snapshot>();
  empty->training.history = std::make_shared<History>();
  h.engine.show(empty);
  for (int v = 0; v < view_count; ++v) {
    h.state().layout.view = static_cast<ViewId>(v);
    h.frames(3);
  }
  EXPECT_NE(h.app.controls().find("train.toggle"), nullptr);
}

TEST(Frames, IdleWindowsWaitAndBusyOnesDoNot) {
  test::Harness h;
  h.frames(5);
  EXPECT_GE(h.app.next_frame_in(), 0.2);
  h.app.input().push(KeyPress{GLFW_KEY_RIGHT, true});
  EXPECT_EQ(h.app.next_frame_in(), 0);
}

}  // namespace
}  // namespace headlight::app
