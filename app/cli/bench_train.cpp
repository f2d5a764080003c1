// `headlight bench train`: tokens/s of whole training steps, beside the FMA peak measured in the same run.
#include <fmt/format.h>

#include <chrono>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cli/bench.h"
#include "app/cli/model_options.h"
#include "core/base/error.h"
#include "core/base/random.h"
#include "core/engine/devices.h"
#include "core/run/executor.h"
#include "core/tape/op.h"
#include "core/train/training_program.h"
#include "kernels/bench.h"

namespace headlight::cli {
namespace {

/// What is trained: sizes that others publish figures for.
struct Setting {
  const char* name;
  ModelConfig config;
  int64_t B, T;
  int steps;
};

std::vector<Setting> settings() {
  ModelConfig tiny;
  tiny.n_layer = 4, tiny.n_head = 8, tiny.n_embd = 256, tiny.vocab_size = 65, tiny.n_positions = 128;
  ModelConfig gpt2;
  gpt2.n_layer = 12, gpt2.n_head = 12, gpt2.n_embd = 768, gpt2.vocab_size = 50257, gpt2.n_positions = 1024;
  return {{"tiny", tiny, 32, 128, 9}, {"gpt2-124m", gpt2, 4, 64, 5}};
}

struct Options {
  std::string setting = "tiny";
  int steps = 0;
  int64_t batch = 0, context = 0;  ///< 0: the setting's own
  int threads = 0;
  std::string device = "cpu";
  std::string precision = "fp32";
  bool checkpoint = false, by_op = false, json = false;
};

void bench_train(const Options& options) {
  const std::vector<Setting> all = settings();
  const auto found =
      std::find_if(all.begin(), all.end(), [&](const Setting& s) { return s.name == options.setting; });
  if (found == all.end()) fail("there is no setting \"{}\"; choose tiny or gpt2-124m", options.setting);
  Setting setting = *found;
  if (options.batch > 0) setting.B = options.batch;
  if (options.context > 0) setting.T = options.context;
  if (setting.T > setting.config.n_positions)
    fail("{} has {} positions, too few for --context {}", setting.name, setting.config.n_positions,
         setting.T);
  const auto backend = open_device(options.device, options.threads);
  Parameters parameters(*backend, setting.config, 1);
  TrainConfig train;
  set_train_value(train, "precision", options.precision);
  train.B = setting.B;
  train.T = setting.T;
  train.checkpoint = options.checkpoint;
  const auto executor_of = [&] {
    return std::make_unique<Executor>(training_program(setting.config, train, has_joint_steps(*backend)),
                                      *backend, parameters, Executor::Options{{{}, 0}, {}, true});
  };
  const auto tested = executor_of();
  Executor& executor = *tested;
  const Program& program = executor.program();
  // Beside it in the same run, the program that holds its activations.
  train.checkpoint = false;
  const auto holding = options.checkpoint ? executor_of() : nullptr;

  Random random(1);
  RunInputs inputs;
  for (int64_t i = 0; i < setting.B * setting.T; ++i) {
    inputs.tokens.push_back(
        static_cast<int32_t>(random.below(static_cast<uint64_t>(setting.config.vocab_size))));
  }
  inputs.targets = inputs.tokens;
  inputs.learning_rate = 1e-4;
  // The calibration stands between the steps, so that both see the same moments of a shared machine.
  // A GPU is measured once: nobody shares it.
  const bool calibrates = backend->kind() == "cpu";
  const double device_peak = calibrates ? 0 : kernels::calibrate_device(*backend).product_flops;
  // A training waits for its device only now and then: steps of a GPU are timed in a row.
  const int in_a_row = calibrates ? 1 : 10;
  const auto once = [&](Executor& timed) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < in_a_row; ++i) timed.run_whole();
    backend->synchronize();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / in_a_row;
  };
  for (Executor* each : {&executor, holding.get()}) {
    if (each == nullptr) continue;
    each->set_inputs(inputs);
    // First touch of the memory and first call of every kernel, the recording of a step, and its first
    // replay.
    for (int i = 0; i < (calibrates ? 1 : 3); ++i) each->run_whole();
    backend->synchronize();
  }
  std::vector<double> seconds, peaks, time_ratios;
  const int steps = options.steps > 0 ? options.steps : setting.steps;
  for (int i = 0; i < steps; ++i) {
    if (calibrates) peaks.push_back(kernels::calibrate_cpu(*backend).fma_flops);
    seconds.push_back(once(executor));
    if (holding) time_ratios.push_back(seconds.back() / once(*holding));
  }
  const double tokens_per_second = static_cast<double>(setting.B * setting.T) / median(seconds);
  const double flops = tokens_per_second * training_flops_per_token(setting.config, setting.T);
  std::vector<double> ratios;
  for (size_t i = 0; i < peaks.size(); ++i) {
    ratios.push_back(static_cast<double>(setting.B * setting.T) *
                     training_flops_per_token(setting.config, setting.T) / seconds[i] / peaks[i]);
  }
  std::map<std::string, double> by_op;
  if (options.by_op) {
    for (int s = 0; s < static_cast<int>(program.steps().size()); ++s) {
      const auto start = std::chrono::steady_clock::now();
      executor.run_steps(s, s + 1);
      backend->synchronize();
      by_op[std::string(program.step(s).op->kind())] +=
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
  }
  if (options.json) {
    nlohmann::json result = {{"setting", setting.name},
                             {"device", backend->description()},
                             {"B", setting.B},
                             {"T", setting.T},
                             {"precision", options.precision},
                             {"threads", backend->threads()},
                             {"steps", steps},
                             {"tokens_per_second", tokens_per_second},
                             {"flops", flops},
                             {"arena_bytes", executor.arena_bytes()}};
    if (calibrates) {
      result["fma_peak"] = median(peaks);
      result["fraction_of_peak"] = median(ratios);
    } else {
      result["product_flops"] = device_peak;
      result["fraction_of_product"] = flops / device_peak;
    }
    if (holding) {
      result["checkpoint"] = {{"time_ratio", median(time_ratios)},
                              {"arena_bytes_without", holding->arena_bytes()}};
    }
    if (options.by_op) result["seconds_by_op"] = by_op;
    fmt::print("{}\n", result.dump(2));
    return;
  }
  const std::string of_peak = calibrates ? fmt::format(" = {:.2f} of the FMA peak ({:.0f} GFLOP/s)",
                                                       median(ratios), median(peaks) / 1e9)
                                         : fmt::format(" = {:.2f} of a large bf16 product ({:.0f} TFLOP/s)",
                                                       flops / device_peak, device_peak / 1e12);
  fmt::print(
      "{} (B {}, T {}) on {} in {}: {:.0f} tokens/s, {:.1f} GFLOP/s{}; median of {} steps, {:.0f} MB of "
      "activations\n",
      setting.name, setting.B, setting.T, backend->description(), options.precision, tokens_per_second,
      flops / 1e9, of_peak, steps * in_a_row, static_cast<double>(executor.arena_bytes()) / 1e6);
  if (holding) {
    fmt::print("  with checkpointing {:.2f} times as long as without, in {:.0f} instead of {:.0f} MB\n",
               median(time_ratios), static_cast<double>(executor.arena_bytes()) / 1e6,
               static_cast<double>(holding->arena_bytes()) / 1e6);
  }
  std::vector<std::pair<double, std::string>> rows;
  for (const auto& [kind, time] : by_op) rows.emplace_back(time, kind);
  std::sort(rows.rbegin(), rows.rend());
  for (const auto& [time, kind] : rows) fmt::print("  {:28} {:8.2f} ms\n", kind, time * 1e3);
}

}  // namespace

void add_bench_train(CLI::App& bench) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand("train", "training speed: tokens/s and fraction of the FMA peak");
  command->add_option("--setting", options->setting, "tiny (L4 H8 C256 V65 T128 B32) or gpt2-124m (B4 T64)");
  command->add_option("--steps", options->steps, "steps to time (the median counts)")
      ->check(CLI::PositiveNumber);
  command->add_option("--batch", options->batch, "sequences of a step, in place of the setting's")
      ->check(CLI::PositiveNumber);
  command->add_option("--context", options->context, "tokens of a sequence, in place of the setting's")
      ->check(CLI::PositiveNumber);
  command->add_option("--device", options->device, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  command->add_option("--threads", options->threads, "CPU threads (0: one for each core)")
      ->check(CLI::Range(0, 1024));
  command->add_option("--precision", options->precision, "fp32 or bf16")
      ->check(CLI::IsMember({"fp32", "bf16"}));
  command->add_flag("--checkpoint", options->checkpoint,
                    "compute activations again for the backward pass, and compare with holding them");
  command->add_flag("--by-op", options->by_op, "also the time of each kind of op");
  command->add_flag("--json", options->json, "print one JSON value");
  command->callback([options] { bench_train(*options); });
}

}  // namespace headlight::cli
