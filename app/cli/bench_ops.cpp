// `headlight bench ops`: each kernel at Transformer shapes, as a fraction of the FMA peak or of the read
// bandwidth that the same run measures; on a GPU the kernels that wait for memory, beyond its caches, as a
// fraction of a copy's bandwidth.
#include <fmt/format.h>

#include <memory>
#include <nlohmann/json.hpp>

#include "app/cli/bench.h"
#include "core/engine/devices.h"
#include "kernels/backend.h"
#include "kernels/bench.h"

namespace headlight::cli {
namespace {

struct OpsOptions {
  std::string device = "cpu";
  int threads = 0;
  bool quick = false, json = false;
};

void bench_device(kernels::Backend& backend, bool json) {
  const kernels::DeviceCalibration machine = kernels::calibrate_device(backend);
  const std::vector<kernels::OpTiming> timings = kernels::time_memory_bound(backend);
  const auto of_copy = [&](const kernels::OpTiming& t) { return t.bytes / t.seconds / machine.copy_bytes; };
  if (json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const kernels::OpTiming& t : timings) {
      rows.push_back(
          {{"name", t.name}, {"shape", t.shape}, {"seconds", t.seconds}, {"fraction_of_copy", of_copy(t)}});
    }
    const nlohmann::json result = {{"device", backend.description()},
                                   {"copy_bytes_per_second", machine.copy_bytes},
                                   {"product_flops", machine.product_flops},
                                   {"ops", rows}};
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{}: a copy moves {:.0f} GB/s, a product of bf16 matrices {:.0f} TFLOP/s\n",
             backend.description(), machine.copy_bytes / 1e9, machine.product_flops / 1e12);
  fmt::print("{:36} {:16} {:>10} {:>10} {:>10}\n", "op", "shape", "ms", "GB/s", "of copy");
  for (const kernels::OpTiming& t : timings) {
    fmt::print("{:36} {:16} {:10.3f} {:10.0f} {:10.2f}\n", t.name, t.shape, t.seconds * 1e3,
               t.bytes / t.seconds / 1e9, of_copy(t));
  }
}

void bench(const OpsOptions& options) {
  const auto backend = open_device(options.device, options.threads);
  if (backend->kind() != "cpu") {
    bench_device(*backend, options.json);
    return;
  }
  // Before and behind the timings: the machine may slow down in between.
  const kernels::Calibration before = kernels::calibrate_cpu(*backend);
  const std::vector<kernels::OpTiming> timings = kernels::time_ops(*backend, options.quick);
  const kernels::Calibration after = kernels::calibrate_cpu(*backend);
  const double peak = (before.fma_flops + after.fma_flops) / 2,
               bandwidth = (before.read_bytes + after.read_bytes) / 2;
  if (options.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const kernels::OpTiming& t : timings) {
      rows.push_back({{"name", t.name},
                      {"shape", t.shape},
                      {"seconds", t.seconds},
                      {"fraction_of_peak", t.flops / t.seconds / peak},
                      {"fraction_of_bandwidth", t.bytes / t.seconds / bandwidth}});
    }
    const nlohmann::json result = {{"device", backend->description()},
                                   {"threads", backend->threads()},
                                   {"fma_flops", peak},
                                   {"read_bytes_per_second", bandwidth},
                                   {"ops", rows}};
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{}: FMA peak {:.0f} GFLOP/s, reads {:.1f} GB/s\n", backend->description(), peak / 1e9,
             bandwidth / 1e9);
  fmt::print("{:32} {:28} {:>10} {:>8} {:>10}\n", "op", "shape", "ms", "of peak", "of reads");
  for (const kernels::OpTiming& t : timings) {
    const auto ratio = [](double value) {
      return value > 0 ? fmt::format("{:.2f}", value) : std::string("–");
    };
    fmt::print("{:32} {:28} {:10.3f} {:>8} {:>10}\n", t.name, t.shape, t.seconds * 1e3,
               ratio(t.flops / t.seconds / peak), ratio(t.bytes / t.seconds / bandwidth));
  }
}

}  // namespace

void add_bench_ops(CLI::App& bench_command) {
  auto options = std::make_shared<OpsOptions>();
  CLI::App* command =
      bench_command.add_subcommand("ops", "kernels at Transformer shapes, beside peak and bandwidth");
  command->add_option("--device", options->device, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  command->add_option("--threads", options->threads, "CPU threads (0: one for each core)")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--quick", options->quick, "fewer shapes and runs, on the CPU");
  command->add_flag("--json", options->json, "print one JSON value");
  command->callback([options] { bench(*options); });
}

}  // namespace headlight::cli
