// `headlight bench frame`: milliseconds of CPU to build a frame, without OpenGL.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/cli/app_options.h"
#include "app/cli/bench.h"
#include "app/frame/gui_context.h"
#include "core/base/random.h"

namespace headlight::cli {
namespace {

struct FrameOptions {
  int frames = 300;
  bool large = false;
  bool json = false;
};

struct Timing {
  double median_ms = 0, p99_ms = 0;
};

/// `paced`: a frame every 16.7 ms, as on a 60 Hz screen, so that what runs beside the window has its turn.
/// `before` is called ahead of each frame with its number and not timed.
Timing measure(app::App& app, int frames, double& now, bool paced,
               const std::function<void(int)>& before = {}) {
  std::vector<double> seconds;
  for (int i = 0; i < frames + 20; ++i) {
    now += 1.0 / 60;
    if (before) before(i);
    if (paced) std::this_thread::sleep_for(std::chrono::microseconds(16'667));
    const auto start = std::chrono::steady_clock::now();
    app.frame(now, {1920, 1080});
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (i >= 20) seconds.push_back(took.count());  // the first ones build fonts and caches
  }
  const double middle = median(seconds);
  std::sort(seconds.begin(), seconds.end());
  return {1e3 * middle, 1e3 * seconds[seconds.size() * 99 / 100]};
}

nlohmann::json to_json(const Timing& timing) {
  return {{"median_ms", timing.median_ms}, {"p99_ms", timing.p99_ms}};
}

std::vector<int32_t> random_tokens(int64_t count, int64_t V) {
  Random random(1);
  std::vector<int32_t> tokens;
  for (int64_t i = 0; i < count; ++i)
    tokens.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(V))));
  return tokens;
}

/// GPT-2's shape with random weights: how long a prompt of 64 tokens takes to the stage, and frames of the
/// Attention view over 12 × 12 heads at T 1024: at rest, paging through the heads of a block, which are all
/// held, and through all blocks, which the engine records beside the window.
nlohmann::json bench_large(app::App& app, app::LiveEngine& engine, const FrameOptions& options, double& now) {
  const ModelConfig gpt2{
      .n_layer = 12, .n_head = 12, .n_embd = 768, .n_positions = 1024, .vocab_size = 50257};
  const auto settle = [&] {
    // A second round for what the first frames asked to be recorded.
    for (int round = 0; round < 2; ++round) {
      engine.drain();
      for (int i = 0; i < 3; ++i) app.frame(now += 1.0 / 60, {1920, 1080});
    }
  };
  engine.post(ChangeConfig{gpt2});
  app.execute("view.pass");
  settle();
  nlohmann::json result;
  std::vector<double> seconds;
  for (int64_t repeat = 0; repeat < 3; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    // Prompts of different lengths, so that each plans its program afresh, as a newly opened model does.
    engine.post(SetPromptTokens{random_tokens(64 + repeat, gpt2.vocab_size)});
    engine.drain();
    app.frame(now += 1.0 / 60, {1920, 1080});
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    seconds.push_back(took.count());
  }
  result["first step of 64 tokens"] = {{"median_ms", 1e3 * median(seconds)}};
  engine.post(SetPromptTokens{random_tokens(1024, gpt2.vocab_size)});
  app.execute("view.attention");
  settle();
  result["attention, T 1024"] = to_json(measure(app, options.frames, now, false));
  result["attention, T 1024, paging through a block"] =
      to_json(measure(app, options.frames, now, false, [&](int i) {
        app.execute(fmt::format("attention.select 6 {}", i % gpt2.n_head));
        if (i == 0) settle();
      }));
  result["attention, T 1024, paging through all heads"] =
      to_json(measure(app, options.frames, now, true, [&](int i) {
        app.execute(fmt::format("attention.select {} {}", i / gpt2.n_head % gpt2.n_layer, i % gpt2.n_head));
      }));
  return result;
}

void bench(const FrameOptions& options) {
  const app::GuiContext gui;
  const app::Strings strings;
  // One thread fewer than the machine has, so that the frames measured beside a training have a core.
  app::LiveEngine engine(
      {.threads = std::max(1, static_cast<int>(std::thread::hardware_concurrency()) - 1), .wake = nullptr});
  app::App app(engine, strings, {});
  app.session().state.probe.preset = "nano";
  app.start();
  engine.drain();
  // The setting that the goal names: T 64, 4 blocks of 4 heads.
  app.execute("switch.layers 4");
  app.execute("switch.heads 4");
  engine.drain();
  app.execute("generate.more 64");
  engine.drain();
  app.execute("view.pass");  // takes the newest snapshot
  double now = 0;
  const Run& run = *app.snapshot().run;
  const std::string setting = fmt::format("T {}, {} blocks of {} heads, 1920×1080", run.program().T(),
                                          run.config.n_layer, run.config.n_head);
  nlohmann::json result;
  for (const app::ViewId view : {app::ViewId::pass, app::ViewId::attention, app::ViewId::residual,
                                 app::ViewId::training, app::ViewId::generate, app::ViewId::tokens}) {
    app.execute(fmt::format("view.{}", app::view_name(view)));
    const Timing timing = measure(app, options.frames, now, false);
    result[std::string(app::view_name(view))] = to_json(timing);
  }
  // The default layout at 60 frames a second, alone and beside a training that uses the engine's threads.
  app.execute("view.attention");
  const Timing idle = measure(app, options.frames, now, true);
  app.execute("train.toggle");
  const Timing training = measure(app, options.frames, now, true);
  app.execute("train.toggle");
  result["attention at 60 Hz, idle"] = to_json(idle);
  result["attention at 60 Hz, training"] = {{"median_ms", training.median_ms},
                                            {"p99_ms", training.p99_ms},
                                            {"ratio_to_idle", training.median_ms / idle.median_ms}};
  if (options.large) result.update(bench_large(app, engine, options, now));
  if (options.json) {
    fmt::print("{}\n", nlohmann::json{{"setting", setting}, {"views", result}}.dump(2));
    return;
  }
  fmt::print("{}\n", setting);
  for (const auto& [name, timing] : result.items())
    fmt::print(
        "{:<44} median {:.3f} ms{}\n", name, timing["median_ms"].get<double>(),
        timing.contains("p99_ms") ? fmt::format(", p99 {:.3f} ms", timing["p99_ms"].get<double>()) : "");
}

}  // namespace

void add_bench_frame(CLI::App& bench_command) {
  auto options = std::make_shared<FrameOptions>();
  CLI::App* frame = bench_command.add_subcommand("frame", "CPU time to build a frame of each view");
  frame->add_option("--frames", options->frames, "frames of each view")->check(CLI::Range(10, 100000));
  frame->add_flag("--large", options->large, "also a model of GPT-2's shape: 124M parameters, T 1024");
  frame->add_flag("--json", options->json, "print one JSON value");
  frame->callback([options] { bench(*options); });
}

}  // namespace headlight::cli
