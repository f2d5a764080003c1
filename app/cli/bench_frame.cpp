// `headlight bench frame`: milliseconds of CPU to build a frame, without OpenGL.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/cli/app_options.h"
#include "app/cli/bench.h"
#include "app/frame/gui_context.h"

namespace headlight::cli {
namespace {

struct FrameOptions {
  int frames = 300;
  bool json = false;
};

struct Timing {
  double median_ms = 0, p99_ms = 0;
};

/// `paced`: a frame every 16.7 ms, as on a 60 Hz screen, so that what runs beside the window has its turn.
Timing measure(app::App& app, int frames, double& now, bool paced) {
  std::vector<double> seconds;
  for (int i = 0; i < frames + 20; ++i) {
    now += 1.0 / 60;
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
    result[std::string(app::view_name(view))] = {{"median_ms", timing.median_ms}, {"p99_ms", timing.p99_ms}};
  }
  // The default layout at 60 frames a second, alone and beside a training that uses the engine's threads.
  app.execute("view.attention");
  const Timing idle = measure(app, options.frames, now, true);
  app.execute("train.toggle");
  const Timing training = measure(app, options.frames, now, true);
  app.execute("train.toggle");
  result["attention at 60 Hz, idle"] = {{"median_ms", idle.median_ms}, {"p99_ms", idle.p99_ms}};
  result["attention at 60 Hz, training"] = {{"median_ms", training.median_ms},
                                            {"p99_ms", training.p99_ms},
                                            {"ratio_to_idle", training.median_ms / idle.median_ms}};
  if (options.json) {
    fmt::print("{}\n", nlohmann::json{{"setting", setting}, {"views", result}}.dump(2));
    return;
  }
  fmt::print("{}\n", setting);
  for (const auto& [name, timing] : result.items())
    fmt::print("{:<28} median {:.3f} ms, p99 {:.3f} ms\n", name, timing["median_ms"].get<double>(),
               timing["p99_ms"].get<double>());
}

}  // namespace

void add_bench_frame(CLI::App& bench_command) {
  auto options = std::make_shared<FrameOptions>();
  CLI::App* frame = bench_command.add_subcommand("frame", "CPU time to build a frame of each view");
  frame->add_option("--frames", options->frames, "frames of each view")->check(CLI::Range(10, 100000));
  frame->add_flag("--json", options->json, "print one JSON value");
  frame->callback([options] { bench(*options); });
}

}  // namespace headlight::cli
