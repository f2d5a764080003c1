// Undo, the session file, and the requests that follow from changes.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>

#include "app/session/store.h"
#include "core/base/error.h"
#include "tests/app/support/harness.h"

namespace headlight::app {
namespace {

std::filesystem::path temporary(const std::string& name) {
  const auto folder =
      std::filesystem::path(testing::TempDir()) / ("headlight_session_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  return folder / name;
}

TEST(Undo, ARandomSequenceOfCommandsIsUndoneToTheStart) {
  test::Harness h;
  std::mt19937 random(7);
  const std::vector<std::string> pool = {"view.attention",
                                         "view.training",
                                         "step.next",
                                         "step.previous",
                                         "step.last",
                                         "block.previous",
                                         "switch.heads 2",
                                         "switch.heads 8",
                                         "switch.norm post",
                                         "switch.norm none",
                                         "switch.norm rmsnorm",
                                         "switch.position rope",
                                         "switch.mlp gated",
                                         "switch.kv_heads 1",
                                         "switch.mask zero",
                                         "switch.mask none",
                                         "switch.residual",
                                         "switch.mlp",
                                         "switch.scale off",
                                         "switch.temperature 0.5",
                                         "switch.temperature 2",
                                         "prompt.set The dog",
                                         "prompt.set The cat",
                                         "theme.next",
                                         "language.next",
                                         "zoom.in",
                                         "zoom.out",
                                         "head.select 1",
                                         "block.select 0",
                                         "run.pin",
                                         "compare.difference",
                                         "cell.pin blocks.0.attn.hook_pattern 3",
                                         "sampler.top_k 5",
                                         "sampler.greedy on",
                                         "edit.add blocks.0.attn.hook_z:zero",
                                         "tree.toggle backward",
                                         "presenter",
                                         "option.set attention.stage raw",
                                         "train.set learning_rate 0.002",
                                         "model.open block",
                                         "undo",
                                         "redo"};
  const SessionState start = h.state();
  for (int i = 0; i < 400; ++i) {
    try {
      h.app.execute(pool[random() % pool.size()]);
    } catch (const Error&) {
      // compare.difference without a pinned run, undo at the start: refused, nothing changed
    }
  }
  EXPECT_FALSE(h.state() == start);
  while (h.app.session().history.can_undo()) h.app.execute("undo");
  EXPECT_TRUE(h.state() == start);
  while (h.app.session().history.can_redo()) h.app.execute("redo");
  EXPECT_FALSE(h.state() == start);
}

TEST(Undo, StepsInARowAreOneEntry) {
  test::Harness h;
  h.app.execute("step.first");
  h.app.session().history.seal();
  const auto start = h.state().playhead.step;
  for (int i = 0; i < 5; ++i) h.app.execute("step.next");
  EXPECT_NE(h.state().playhead.step, start);
  h.app.execute("undo");
  EXPECT_EQ(h.state().playhead.step, start);
}

TEST(Undo, TheEngineFollows) {
  test::Harness h;
  h.app.execute("switch.heads 2");
  h.app.execute("undo");
  const auto posted = h.engine.posted_of<ChangeConfig>();
  ASSERT_EQ(posted.size(), 2u);
  EXPECT_EQ(posted[0].config.n_head, 2);
  EXPECT_EQ(posted[1].config, h.app.snapshot().model.config);
}

TEST(Switches, LeadToTheBlockOfLlamaAndBack) {
  test::Harness h;
  const auto config = [&] { return h.state().probe.config.value_or(h.app.snapshot().model.config); };
  const ModelConfig before = config();
  for (const char* command :
       {"switch.heads 8", "switch.kv_heads 4", "switch.norm rmsnorm", "switch.mlp gated",
        "switch.position rope", "switch.set activation_function silu"}) {
    h.app.execute(command);
  }
  EXPECT_EQ(config().n_kv_head, 4);
  EXPECT_EQ(config().norm, NormKind::rmsnorm);
  EXPECT_EQ(config().mlp, MlpKind::gated);
  EXPECT_EQ(config().position, PositionKind::rope);
  // Before or after the sublayer is another question than which norm.
  h.app.execute("switch.norm post");
  EXPECT_EQ(config().norm, NormKind::rmsnorm);
  EXPECT_EQ(config().norm_position, NormPosition::post);
  h.app.execute("switch.norm layernorm");
  EXPECT_EQ(config().norm, NormKind::layernorm);
  // Fewer heads share as many keys as divide them.
  h.app.execute("switch.heads 2");
  EXPECT_EQ(config().n_kv_head, 2);
  EXPECT_EQ(config().kv_heads(), 2);
  h.app.execute("switch.mlp off");
  EXPECT_EQ(config().mlp, MlpKind::none);
  h.app.execute("switch.mlp on");
  EXPECT_EQ(config().mlp, MlpKind::gated);
  EXPECT_THROW(h.app.execute("switch.kv_heads 3"), Error);
  EXPECT_THROW(h.app.execute("switch.position alibi"), Error);
  EXPECT_THROW(h.app.execute("switch.mlp wide"), Error);
  h.app.execute("switch.reset");
  EXPECT_EQ(config(), before);
}

TEST(SessionFile, RoundTrip) {
  Session session;
  session.state.playhead.step = "blocks.0.attn.hook_z";
  session.state.selection = {1, 3};
  session.state.probe.preset = "nano";
  session.state.probe.prompt = "Con mèo ngồi";
  session.state.probe.config = ModelConfig{};
  session.state.probe.edits = {parse_edit("blocks.0.attn.hook_z:head=1:zero")};
  session.state.probe.sampler.top_k = 7;
  session.state.layout.view = ViewId::residual;
  session.state.layout.theme = ThemeKind::light;
  session.state.layout.language = Language::vietnamese;
  session.state.layout.zoom = 1.5;
  session.state.layout.options["attention.stage"] = "raw";
  session.state.pins.cell = CellPick{"blocks.0.attn.hook_pattern", 12};
  session.remember("/a");
  session.remember("/b");
  const auto file = temporary("round.json");
  save_session(file, session);
  Session restored;
  EXPECT_EQ(restore_session(file, restored), "");
  EXPECT_TRUE(restored.state == session.state);
  EXPECT_EQ(restored.recent, (std::vector<std::string>{"/b", "/a"}));
}

TEST(SessionFile, AMissingFileLeavesTheDefaults) {
  Session session;
  EXPECT_EQ(restore_session(temporary("none.json"), session), "");
  EXPECT_TRUE(session.state == SessionState{});
}

TEST(SessionFile, ABrokenFileIsSetAsideWithASentence) {
  const std::vector<std::string> broken = {"",
                                           "{",
                                           "[]",
                                           "{\"layout\": {\"zoom\": 99}}",
                                           "{\"layout\": {\"theme\": \"purple\"}}",
                                           "{\"layout\": {\"view\": 3}}",
                                           "{\"probe\": {\"edits\": [\"nonsense\"]}}",
                                           "{\"probe\": {\"config\": {\"n_layer\": -4}}}",
                                           "{\"step\": {}}",
                                           "{\"block\": -1}",
                                           "{\"probe\": {\"sampler\": {\"top_p\": 9}}}",
                                           std::string("{\"recent\": [\"\xff\xfe\"]}"),
                                           std::string(100000, '[')};
  for (const std::string& text : broken) {
    const auto file = temporary("broken.json");
    std::ofstream(file, std::ios::binary) << text;
    Session session;
    const std::string sentence = restore_session(file, session);
    EXPECT_NE(sentence.find("broken.json"), std::string::npos) << text.substr(0, 60);
    EXPECT_TRUE(session.state == SessionState{}) << text.substr(0, 60);
    EXPECT_FALSE(std::filesystem::exists(file));
    EXPECT_TRUE(std::filesystem::exists(file.string() + ".broken"));
  }
}

TEST(SessionFile, TheWindowTellsAndGoesOnWithDefaults) {
  const auto file = temporary("window.json");
  std::ofstream(file) << "not json";
  test::Harness h({1280, 720}, {.session_file = file});
  EXPECT_NE(h.app.toasts().newest().find("set aside"), std::string::npos);
  h.app.execute("theme.set light");
  h.app.save();
  Session restored;
  EXPECT_EQ(restore_session(file, restored), "");
  EXPECT_EQ(restored.state.layout.theme, ThemeKind::light);
}

TEST(Requests, OnlyWhatChangedIsAsked) {
  Probe before, after;
  before.preset = after.preset = "nano";
  EXPECT_TRUE(requests_between(before, after, {}).empty());
  after.prompt = "hello";
  auto requests = requests_between(before, after, {});
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(std::get<SetPrompt>(requests[0]).text, "hello");
  after.preset = "block";
  requests = requests_between(before, after, {});
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_EQ(std::get<OpenPreset>(requests[0]).name, "block");
}

}  // namespace
}  // namespace headlight::app
