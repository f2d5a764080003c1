// What the window asks the engine to record: only what is looked at and not held, and once.
#include "app/session/watch.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "core/run/executor.h"
#include "tests/app/support/harness.h"
#include "tests/app/views/recorded_runs.h"

namespace headlight::app {
namespace {

/// The recorded snapshot with a run that holds only what `holds_buffer` says, and runs only `steps`.
template <class Keep>
std::shared_ptr<const Snapshot> with_less(Keep holds_buffer, int steps = -1) {
  const auto whole = test::recorded_snapshot();
  auto run = std::make_shared<headlight::Run>(*whole->run);
  run->id = next_run_id();
  run->capture = {};
  if (steps >= 0) run->steps_run = steps;
  for (size_t i = 0; i < run->recorded.size(); ++i) {
    const Buffer& buffer = run->program().buffers()[i];
    if (holds_buffer(buffer) && (steps < 0 || buffer.writer < steps)) continue;
    run->recorded[i] = nullptr;
    run->left_out.push_back(buffer.name);
  }
  auto snapshot = std::make_shared<Snapshot>(*whole);
  snapshot->run = run;
  return snapshot;
}

bool is_scores(const Buffer& buffer) { return buffer.shape.rank() == 4 && buffer.shape[1].letter == "H"; }

/// The same with what was asked for recorded by the real engine's rules.
std::shared_ptr<const Snapshot> answered(const SetCapture& asked) {
  const auto whole = test::recorded_snapshot();
  auto snapshot = std::make_shared<Snapshot>(*whole);
  auto run = std::make_shared<headlight::Run>(*whole->run);
  run->id = next_run_id();
  run->capture = asked.capture;
  snapshot->run = run;
  return snapshot;
}

TEST(Watch, AsksForTheStepsBuffersAndTheSelectedHead) {
  ModelConfig config = headlight::test::small_config();
  const auto run = recorded_run(config, 6);
  SessionState state;
  const Program& program = run->program();
  const int step = program.buffer(program.require("blocks.0.attn.hook_z")).writer;
  state.playhead.step = program.step(step).name;
  const auto watches = [](const SetCapture& wanted, std::string_view name, int64_t head) {
    return std::any_of(wanted.capture.watched.begin(), wanted.capture.watched.end(),
                       [&](const WatchedPart& part) { return part.glob == name && part.head == head; });
  };
  SetCapture wanted = wanted_capture(state, *run, step, 1, 2);
  EXPECT_TRUE(watches(wanted, "blocks.0.attn.hook_pattern", 2));
  EXPECT_TRUE(watches(wanted, "blocks.0.attn.hook_v", -1));
  EXPECT_TRUE(watches(wanted, "blocks.0.attn.hook_z", -1));
  EXPECT_FALSE(watches(wanted, "blocks.1.attn.hook_pattern", 2));
  EXPECT_FALSE(wanted.last.has_value());

  state.layout.view = ViewId::attention;
  state.layout.options["attention.stage"] = "mask";
  wanted = wanted_capture(state, *run, step, 1, 2);
  EXPECT_TRUE(watches(wanted, "blocks.1.attn.hook_pattern", 2));
  EXPECT_TRUE(watches(wanted, "blocks.1.attn.hook_attn_scores", 2));
  EXPECT_EQ(wanted.capture.digests, std::vector<std::string>{"blocks.*.attn.hook_attn_scores"});

  state.layout.view = ViewId::residual;
  wanted = wanted_capture(state, *run, step, 1, 2);
  EXPECT_TRUE(watches(wanted, "blocks.1.hook_mlp_out", -1));
  EXPECT_FALSE(watches(wanted, "wte.weight", -1)) << "the engine reads the lens with the weights it has";
  EXPECT_TRUE(wanted_lens(state).on);
  EXPECT_EQ(wanted_lens(state).column, -1);
  state.layout.options["residual.token"] = "3";
  EXPECT_EQ(wanted_lens(state).column, 3);

  state.pins.cell = CellPick{"blocks.1.attn.hook_attn_scores", 1 * 36 + 7};
  wanted = wanted_capture(state, *run, step, 0, 2);
  EXPECT_TRUE(watches(wanted, "blocks.1.attn.hook_attn_scores", 1)) << "the cell's own head";
  EXPECT_TRUE(holds(*run, wanted));
}

TEST(Watch, AsksForRowsOfWhatIsTooLarge) {
  ModelConfig config = headlight::test::small_config();
  config.n_positions = 300;
  config.vocab_size = 40'000;
  Capture little;
  little.globs = {"loss"};
  const auto run = recorded_run(config, 300, 1, little);
  const int step = run->program().buffer(run->program().require("unembed.hook_out")).writer;
  SessionState state;
  const auto rows_of = [&] {
    const SetCapture wanted = wanted_capture(state, *run, step, 0, 0);
    for (const WatchedPart& part : wanted.capture.watched)
      if (part.glob == "unembed.hook_out") return part;
    return WatchedPart{};
  };
  const WatchedPart last = rows_of();
  EXPECT_TRUE(last.only);
  EXPECT_EQ(last.rows, (int64_t{4} << 20) / 40'000);
  EXPECT_EQ(last.last, -1) << "the end of the prompt, where nothing is chosen";
  for (const int64_t token : {0, 7, 99, 130, 250, 299}) {
    state.pins.cell = CellPick{"unembed.hook_out", token * 40'000 + 11};
    const WatchedPart part = rows_of();
    EXPECT_LE(part.last - part.rows, token);
    EXPECT_GT(part.last, token);
    EXPECT_LE(part.last, 300);
  }
  const Shape& shape = run->program().buffer(run->program().require("unembed.hook_out")).shape;
  const CapturePlan plan = plan_capture(run->program(), {{"*"}, size_t{1} << 30, {last}}, step + 1);
  const auto at = static_cast<size_t>(run->program().require("unembed.hook_out"));
  EXPECT_EQ(plan.ranges[at], part_range(last, shape)) << "no more, although there is room";
}

TEST(Watch, KnowsWhatARunHolds) {
  const ModelConfig config = headlight::test::small_config();
  const std::string pattern = "blocks.1.attn.hook_pattern";
  const Capture capture{{"loss"}, 4 + 4 * 36, {{.glob = pattern, .head = 2}}};
  const auto run = recorded_run(config, 6, 1, capture);
  SetCapture wanted;
  wanted.capture.watched = {{.glob = pattern, .head = 2}};
  EXPECT_TRUE(holds(*run, wanted));
  EXPECT_TRUE(made_for(*run, wanted));
  EXPECT_TRUE(holds_step(*run, run->program().buffer(run->program().require(pattern)).writer));
  wanted.capture.watched = {{.glob = pattern, .head = 1}};
  EXPECT_FALSE(holds(*run, wanted));
  EXPECT_FALSE(made_for(*run, wanted));
  EXPECT_FALSE(holds_step(*run, 0));
  wanted.capture.watched.clear();
  wanted.capture.digests = {pattern};
  EXPECT_FALSE(holds(*run, wanted));
  wanted.capture.digests.clear();
  wanted.last = Phase::loss;
  EXPECT_TRUE(holds(*run, wanted));

  const auto plane = [&](int64_t head) { return buffer_plane(*run, pattern, head)->plane; };
  const auto whole = recorded_run(config, 6);
  ASSERT_FALSE(plane(2).empty());
  EXPECT_TRUE(plane(1).empty());
  for (int64_t i = 0; i < 6; ++i)
    for (int64_t j = 0; j < 6; ++j)
      EXPECT_EQ(plane(2).at(i, j), buffer_plane(*whole, pattern, 2)->plane.at(i, j));
}

TEST(Watch, NothingIsAskedForWhereEverythingIsHeld) {
  test::Harness h;
  for (const char* view :
       {"view.pass", "view.attention", "view.residual", "view.training", "view.generate"}) {
    h.app.execute(view);
    h.frames(2);
  }
  for (int i = 0; i < 60; ++i) {
    h.app.execute("step.next");
    h.frames(1);
  }
  EXPECT_TRUE(h.engine.posted_of<SetCapture>().empty());
  EXPECT_EQ(h.app.controls().find("inspector.held"), nullptr);
}

TEST(Watch, AHeadThatIsNotHeldIsAskedForOnce) {
  test::Harness h;
  h.app.execute("view.attention");
  h.app.execute("attention.select 0 1");
  h.frames(2);
  h.engine.show(with_less([](const Buffer& buffer) { return !is_scores(buffer); }));
  h.frames(5);
  auto asked = h.engine.posted_of<SetCapture>();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_NE(h.app.controls().find("attention.head.0.3"), nullptr) << "the pictures of all heads are there";
  EXPECT_NE(h.app.controls().find("inspector.held"), nullptr);
  // Paging fast asks for each head; the engine works on the newest.
  for (int head : {2, 3}) h.app.execute("attention.select 0 " + std::to_string(head)), h.frames(3);
  asked = h.engine.posted_of<SetCapture>();
  ASSERT_EQ(asked.size(), 3u);
  EXPECT_TRUE(std::any_of(asked.back().capture.watched.begin(), asked.back().capture.watched.end(),
                          [](const WatchedPart& part) {
                            return part == WatchedPart{.glob = "blocks.0.attn.hook_pattern", .head = 3};
                          }));
  // What went over the budget all the same is not asked for again and again.
  auto short_of_memory =
      std::make_shared<Snapshot>(*with_less([](const Buffer& buffer) { return !is_scores(buffer); }));
  auto run = std::make_shared<headlight::Run>(*short_of_memory->run);
  run->capture = asked.back().capture;
  short_of_memory->run = run;
  h.engine.show(short_of_memory);
  h.frames(5);
  EXPECT_EQ(h.engine.posted_of<SetCapture>().size(), 3u);
  h.engine.show(answered(asked.back()));
  h.frames(5);
  EXPECT_EQ(h.engine.posted_of<SetCapture>().size(), 3u);
  EXPECT_EQ(h.app.controls().find("inspector.held"), nullptr);
}

TEST(Watch, ARecordingThatFailedIsNotOnItsWay) {
  test::Harness h;
  h.app.execute("step.go blocks.0.attn.hook_pattern");
  h.frames(2);
  auto less = std::make_shared<Snapshot>(*with_less([](const Buffer& buffer) { return !is_scores(buffer); }));
  h.engine.show(less);
  h.frames(3);
  const auto asked = h.engine.posted_of<SetCapture>();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_NE(h.app.controls().find("inspector.recording"), nullptr);
  auto failed = std::make_shared<Snapshot>(*less);
  failed->recording_failure =
      std::make_shared<const RecordingFailure>(RecordingFailure{asked[0], "There is no memory for it."});
  h.engine.show(failed);
  h.frames(3);
  EXPECT_EQ(h.app.controls().find("inspector.recording"), nullptr);
  EXPECT_NE(h.app.controls().find("inspector.failed"), nullptr);
  EXPECT_EQ(h.engine.posted_of<SetCapture>().size(), 1u) << "it is not asked for again and again";
  // Another wish is another recording.
  h.app.execute("step.go blocks.1.attn.hook_pattern");
  h.frames(3);
  EXPECT_EQ(h.engine.posted_of<SetCapture>().size(), 2u);
  EXPECT_NE(h.app.controls().find("inspector.recording"), nullptr);
}

TEST(Watch, GradientsOfALargeModelAreRunWhenSomebodyStepsThere) {
  test::Harness h;
  const Program& program = h.app.snapshot().run->program();
  const int forward = program.range(Phase::backward).first;
  const auto all = [](const Buffer&) { return true; };
  h.engine.show(with_less(all, forward));
  h.frames(3);
  EXPECT_TRUE(h.engine.posted_of<SetCapture>().empty());
  h.app.execute("step.go " + program.step(forward + 2).name);
  h.frames(3);
  auto asked = h.engine.posted_of<SetCapture>();
  ASSERT_EQ(asked.size(), 1u);
  EXPECT_EQ(asked[0].last, Phase::backward);
  h.engine.show(answered(asked[0]));
  h.frames(3);
  h.app.execute("step.go " + program.step(3).name);
  h.frames(3);
  EXPECT_EQ(h.engine.posted_of<SetCapture>().size(), 1u) << "what is there may stay";
  h.engine.show(answered(asked[0]));
  h.frames(3);
  asked = h.engine.posted_of<SetCapture>();
  ASSERT_EQ(asked.size(), 2u) << "a new prompt needs no gradients that nobody looks at";
  EXPECT_FALSE(asked[1].last.has_value());
}

TEST(Watch, WhatAGpuMadeIsKeptThereWhereTheRendererShares) {
  test::Harness h;
  auto run = std::make_shared<headlight::Run>(*test::recorded_snapshot()->run);
  run->id = next_run_id();
  run->backend = "cuda";
  auto snapshot = std::make_shared<Snapshot>(*test::recorded_snapshot());
  snapshot->run = run;
  const auto kept = [&] {
    const auto asked = h.engine.posted_of<SetCapture>();
    return std::any_of(asked.begin(), asked.end(),
                       [](const SetCapture& wanted) { return wanted.capture.keep_on_device; });
  };
  h.engine.show(snapshot);
  h.frames(2);
  EXPECT_FALSE(kept()) << "nobody said that the renderer shares the device";
  h.app.set_shares_device([] { return true; });
  h.app.execute("step.next");
  h.frames(2);
  EXPECT_TRUE(kept());
}

}  // namespace
}  // namespace headlight::app
