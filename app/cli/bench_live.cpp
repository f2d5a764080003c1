// `headlight bench live`: the window while a model trains, on any device: milliseconds of a drawn frame, and
// what looking 30 times a second takes from the training.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "app/cli/app_options.h"
#include "app/cli/bench.h"
#include "app/frame/gui_context.h"
#include "app/render/ui_renderer.h"
#include "app/window/offscreen.h"
#include "core/base/error.h"
#include "core/base/random.h"

namespace headlight::cli {
namespace {

using Clock = std::chrono::steady_clock;

struct LiveOptions {
  std::string setting = "nano", device = "auto", precision = "fp32";
  int64_t batch = 8, context = 64, prompt = 64;
  double seconds = 5;
  int rounds = 3;
  bool json = false;
};

/// Looks a second of the run that is compared with: too few to be felt, enough to tell its speed by.
constexpr double kRarely = 2;
constexpr double kOften = 30;
constexpr std::chrono::duration<double> kFrame{1.0 / 60};
/// Steps before anything is timed: the first ones take memory and record themselves.
constexpr int64_t kWarmSteps = 5;

/// One training of a few seconds beside a window.
struct Beside {
  double tokens_per_second = 0;
  double probes_per_second = 0;
  std::vector<double> frame_seconds;
};

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

class Bench {
 public:
  explicit Bench(const LiveOptions& options) : options_(options) {}

  Beside run(double probes_per_second) {
    app::LiveEngine engine(
        {.device = options_.device, .snapshots_per_second = probes_per_second, .wake = {}});
    app::App app(engine, strings_, {});
    app.start();
    app::UiRenderer renderer;
    app.set_shares_device([&renderer] { return renderer.shares_device(); });
    begin_training(engine, app);
    const auto frame = [&] {
      const auto start = Clock::now();
      app.frame(now_ += kFrame.count(),
                {static_cast<float>(target_.width()), static_cast<float>(target_.height())});
      if (app.take_fonts_changed()) renderer.upload_fonts();
      renderer.render(*ImGui::GetDrawData(), app.background());
      glFinish();
      const double seconds = since(start);
      std::this_thread::sleep_until(start + std::chrono::duration_cast<Clock::duration>(kFrame));
      return seconds;
    };
    while (engine.snapshot()->training.step < kWarmSteps) {
      fail_on_error(engine);
      (void)frame();
    }
    device_ = engine.snapshot()->device;
    Beside result;
    // The speed is that between the first and the last picture of these seconds.
    int64_t first_step = -1, last_step = -1, pictures = 0;
    Clock::time_point first_seen, last_seen;
    uint64_t version = engine.snapshot()->version, shown = 0;
    for (const auto start = Clock::now(); since(start) < options_.seconds;) {
      result.frame_seconds.push_back(frame());
      const auto snapshot = engine.snapshot();
      if (snapshot->run && snapshot->run->id != std::exchange(shown, snapshot->run->id)) ++pictures;
      if (snapshot->version == std::exchange(version, snapshot->version)) continue;
      last_step = snapshot->training.step;
      last_seen = Clock::now();
      if (first_step >= 0) continue;
      first_step = last_step;
      first_seen = last_seen;
    }
    fail_on_error(engine);
    const double seconds = std::chrono::duration<double>(last_seen - first_seen).count();
    if (first_step < 0 || last_step == first_step)
      fail("{} did no step in {} s; give --seconds more", options_.setting, options_.seconds);
    result.tokens_per_second =
        static_cast<double>((last_step - first_step) * options_.batch * options_.context) / seconds;
    result.probes_per_second = static_cast<double>(pictures) / options_.seconds;
    return result;
  }

  [[nodiscard]] const std::string& device() const { return device_; }
  [[nodiscard]] std::string renderer() const { return target_.renderer(); }

 private:
  static void fail_on_error(const app::LiveEngine& engine) {
    for (const Notice& notice : engine.snapshot()->notices) {
      if (notice.level == Notice::Level::error) fail("{}", notice.text);
    }
  }

  void begin_training(app::LiveEngine& engine, app::App& app) const {
    engine.post(OpenPreset{"nano"});
    engine.drain();
    ModelConfig config = engine.snapshot()->model.config;
    if (options_.setting == "gpt2-124m")
      config = {.n_layer = 12, .n_head = 12, .n_embd = 768, .n_positions = 1024, .vocab_size = 50257};
    config.n_positions = std::max({config.n_positions, options_.context, options_.prompt});
    engine.post(ChangeConfig{config});
    TrainConfig train = engine.snapshot()->training.config;
    train.B = options_.batch;
    train.T = options_.context;
    train.eval_every = train.sample_every = 0;
    set_train_value(train, "precision", options_.precision);
    engine.post(SetTrainConfig{train});
    // Tokens that any vocabulary of ours has.
    Random random(1);
    std::vector<int32_t> prompt;
    for (int64_t i = 0; i < options_.prompt; ++i) prompt.push_back(static_cast<int32_t>(random.below(16)));
    engine.post(SetPromptTokens{prompt});
    engine.drain();
    fail_on_error(engine);
    app.execute("view.attention");
    engine.post(Train{-1});
  }

  const LiveOptions& options_;
  app::Offscreen target_{1920, 1080};
  app::GuiContext gui_;
  app::Strings strings_;
  std::string device_;
  double now_ = 0;
};

double quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

void bench_live(const LiveOptions& options) {
  Bench bench(options);
  std::vector<double> frames, often, rarely, losses, probes;
  for (int round = 0; round < options.rounds; ++round) {
    const Beside looking = bench.run(kOften);
    const Beside alone = bench.run(kRarely);
    frames.insert(frames.end(), looking.frame_seconds.begin(), looking.frame_seconds.end());
    often.push_back(looking.tokens_per_second);
    rarely.push_back(alone.tokens_per_second);
    losses.push_back(1 - looking.tokens_per_second / alone.tokens_per_second);
    probes.push_back(looking.probes_per_second);
  }
  const double middle = 1e3 * median(frames), slowest = 1e3 * quantile(frames, 0.99);
  if (options.json) {
    const nlohmann::json result = {{"setting", options.setting},
                                   {"device", bench.device()},
                                   {"drawn_by", bench.renderer()},
                                   {"B", options.batch},
                                   {"T", options.context},
                                   {"precision", options.precision},
                                   {"frame_median_ms", middle},
                                   {"frame_p99_ms", slowest},
                                   {"tokens_per_second", median(often)},
                                   {"tokens_per_second_rarely_looked_at", median(rarely)},
                                   {"probes_per_second", median(probes)},
                                   {"training_lost", median(losses)}};
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{} (B {}, T {}, {}) trains on {}, the window is drawn by {}\n", options.setting, options.batch,
             options.context, options.precision, bench.device(), bench.renderer());
  fmt::print("  a frame of 1920×1080: median {:.2f} ms, p99 {:.2f} ms\n", middle, slowest);
  fmt::print("  {:.0f} tokens/s with {:.1f} looks a second, {:.0f} with {:.0f}: looking takes {:.1f} %\n",
             median(often), median(probes), median(rarely), kRarely, 100 * median(losses));
}

}  // namespace

void add_bench_live(CLI::App& bench) {
  auto options = std::make_shared<LiveOptions>();
  CLI::App* command =
      bench.add_subcommand("live", "the drawn window beside a training, and what looking takes from it");
  command->add_option("--setting", options->setting, "nano or gpt2-124m")
      ->check(CLI::IsMember({"nano", "gpt2-124m"}));
  command->add_option("--batch", options->batch, "sequences of a step")->check(CLI::PositiveNumber);
  command->add_option("--context", options->context, "tokens of a sequence")->check(CLI::Range(2, 1 << 20));
  command->add_option("--prompt", options->prompt, "tokens of the prompt that is looked at")
      ->check(CLI::Range(1, 1 << 20));
  command->add_option("--precision", options->precision, "fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}));
  command->add_option("--device", options->device, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  command->add_option("--seconds", options->seconds, "of each training")->check(CLI::Range(1.0, 600.0));
  command->add_option("--rounds", options->rounds, "of both ways; the median counts")
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", options->json, "print one JSON value");
  command->callback([options] { bench_live(*options); });
}

}  // namespace headlight::cli
