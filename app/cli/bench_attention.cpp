// `headlight bench attention`: attention step by step and fused, beside what the course claims about manual,
// library and Flash attention; and the memory of a training step by context, as the memory plan predicts it.
#include <fmt/format.h>

#include <memory>
#include <new>
#include <nlohmann/json.hpp>
#include <optional>

#include "app/cli/bench.h"
#include "app/cli/model_options.h"
#include "core/model/builder.h"
#include "core/run/memory_plan.h"
#include "kernels/bench_attention.h"

namespace headlight::cli {
namespace {

using kernels::AttentionShape;
using kernels::AttentionWay;

struct AttentionOptions {
  ModelOptions model;
  bool quick = false, json = false;
};

/// What the course says of one setting, in milliseconds a call.
struct Claim {
  const char* about = "";  ///< which of its tables
  std::optional<double> steps, fused, flash;
};

struct Case {
  AttentionShape shape;
  Claim claim;
};

/// Two ways to one result, on one device.
struct Row {
  AttentionShape shape;
  std::string precision;
  Claim claim;
  std::optional<kernels::AttentionTiming> steps, fused;  ///< absent: not enough memory
  double difference = 0;
  double peak = 0;  ///< FMA peak around the timings; 0 on a GPU
};

// The course names neither batch nor width for its tables by heads and context: d 512, and a batch that keeps
// the device busy. It gives the times of a GPU in FP16, those of S3 for a CPU.
std::vector<Case> cases(bool gpu, bool quick) {
  std::vector<Case> all = {{{4, 8, 1, 10}, {"S3, a CPU call of 50,000", 7e3 / 50'000, 6.5e3 / 50'000, {}}}};
  const int64_t B = gpu ? 8 : 1;
  const char* heads = "S4 by heads, GPU";
  all.push_back({{B, 512, 4, 128}, {heads, 2.3, 0.9, {}}});
  all.push_back({{B, 512, 8, 64}, {heads, 4.1, 1.5, {}}});
  all.push_back({{B, 512, 16, 32}, {heads, 7.8, 2.7, {}}});
  if (quick) return all;
  const char* contexts = "S4 by context, GPU";
  all.push_back({{B, 128, 8, 64}, {contexts, {}, 0.4, {}}});
  all.push_back({{B, 1024, 8, 64}, {contexts, {}, 5.9, {}}});
  all.push_back({{1, 2048, 8, 64, true}, {"S8 forward and backward, GPU", 9.8, 4.1, 1.6}});
  if (gpu) {
    for (const int64_t T : {512, 1024, 2048, 4096, 8192}) {
      for (const int64_t D : {64, 128}) {
        all.push_back({{16384 / T, T, 1024 / D, D}, {}});
        all.push_back({{16384 / T, T, 1024 / D, D, true}, {}});
      }
    }
  }
  return all;
}

template <class E>
Row measure(kernels::Backend& backend, const Case& what, const char* precision, double budget) {
  Row row{what.shape, precision, what.claim, {}, {}, 0};
  const auto time = [&](AttentionWay way) -> std::optional<kernels::AttentionTiming> {
    try {
      return kernels::time_attention<E>(backend, what.shape, way, budget);
    } catch (const std::bad_alloc&) {
      return std::nullopt;
    }
  };
  row.steps = time(AttentionWay::steps);
  row.fused = time(AttentionWay::fused);
  AttentionShape forward = what.shape;
  forward.backward = false;
  if (row.steps && row.fused) row.difference = kernels::attention_difference<E>(backend, forward);
  return row;
}

/// Bytes of activations and gradients of a training step of GPT-2's shape (12 blocks, width 768) at B 1.
struct Memory {
  int64_t T;
  size_t steps, fused;
  const char* claim;
};

size_t planned_bytes(int64_t T, bool fused) {
  ModelConfig config;
  config.n_layer = 12, config.n_head = 12, config.n_embd = 768, config.vocab_size = 50257;
  config.n_positions = T;
  ProgramOptions options;
  options.backward = options.update = options.training = true;
  options.fused = fused;
  const auto program = build_program(config, 1, T, options);
  const std::vector<bool> none(program->buffers().size(), false);
  return plan_memory(*program, none, none, true).bytes;
}

std::vector<Memory> memory_by_context() {
  std::vector<Memory> rows;
  const auto row = [&](int64_t T, const char* claim) {
    rows.push_back({T, planned_bytes(T, false), planned_bytes(T, true), claim});
  };
  row(1024, "1.2 GB, Flash 0.4 GB");
  row(2048, "");
  row(4096, "8.5 GB, Flash 1.9 GB");
  row(8192, "out of memory, Flash 3.6 GB");
  row(16384, "");
  row(32768, "");
  return rows;
}

nlohmann::json json_of(const Row& row) {
  const auto& [B, T, H, D, backward] = row.shape;
  nlohmann::json result = {{"B", B},
                           {"T", T},
                           {"H", H},
                           {"D", D},
                           {"backward", backward},
                           {"precision", row.precision},
                           {"claim", row.claim.about},
                           {"largest_difference", row.difference}};
  const auto add = [&](const char* way, const std::optional<kernels::AttentionTiming>& timing, size_t bytes) {
    if (!timing) {
      result[way] = {{"out_of_memory", true}, {"bytes", bytes}};
      return;
    }
    result[way] = {{"seconds", timing->seconds},
                   {"first_calls_seconds", timing->first_calls},
                   {"bytes", bytes},
                   {"flops", row.shape.flops() / timing->seconds}};
    if (row.peak > 0) result[way]["fraction_of_peak"] = row.shape.flops() / timing->seconds / row.peak;
  };
  const size_t element = row.precision == "fp32" ? 4 : 2;
  add("steps", row.steps, row.shape.bytes(AttentionWay::steps, element));
  add("fused", row.fused, row.shape.bytes(AttentionWay::fused, element));
  const auto claim = [&](const char* key, const std::optional<double>& ms) {
    if (ms) result[key] = *ms / 1e3;
  };
  claim("claim_manual_seconds", row.claim.steps);
  claim("claim_library_seconds", row.claim.fused);
  claim("claim_flash_seconds", row.claim.flash);
  return result;
}

std::string milliseconds(const std::optional<kernels::AttentionTiming>& timing) {
  return timing ? fmt::format("{:.4g}", timing->seconds * 1e3) : "no memory";
}

std::string claim_text(const Claim& claim) {
  std::string text;
  const auto add = [&](const char* who, const std::optional<double>& ms) {
    if (ms) text += fmt::format("{}{} {:.3g}", text.empty() ? "" : ", ", who, *ms);
  };
  add("manual", claim.steps);
  add("library", claim.fused);
  add("Flash", claim.flash);
  return text.empty() ? text : fmt::format("{} ms ({})", text, claim.about);
}

void print(const Row& row) {
  const auto& [B, T, H, D, backward] = row.shape;
  const std::string shape = fmt::format("{}×{} H {} D {}{}", B, T, H, D, backward ? ", with gradients" : "");
  const double rate = row.fused ? row.shape.flops() / row.fused->seconds : 0;
  const std::string speed = row.peak > 0 ? fmt::format("{:.2f} of peak", rate / row.peak)
                                         : fmt::format("{:.1f} TFLOP/s", rate / 1e12);
  fmt::print("{:32} {:5} {:>10} {:>10} {:>14} {:>10.2g}  {}\n", shape, row.precision, milliseconds(row.steps),
             milliseconds(row.fused), speed, row.difference, claim_text(row.claim));
}

void bench_attention(const AttentionOptions& options) {
  const auto backend = open_backend(options.model);
  const bool gpu = backend->kind() == "cuda";
  const double budget = options.quick ? 0.05 : 0.5;
  std::vector<Row> rows;
  for (const Case& what : cases(gpu, options.quick)) {
    if (!gpu) {
      // Sixteen bits are storage to a CPU: they would time conversions. The machine's own speed is taken
      // before and behind, as others may use it.
      const double before = kernels::calibrate_cpu(*backend).fma_flops;
      rows.push_back(measure<float>(*backend, what, "fp32", budget));
      rows.back().peak = (before + kernels::calibrate_cpu(*backend).fma_flops) / 2;
      continue;
    }
    rows.push_back(measure<float>(*backend, what, "fp32", budget));
    rows.push_back(measure<kernels::float16>(*backend, what, "fp16", budget));
    rows.push_back(measure<kernels::bfloat16>(*backend, what, "bf16", budget));
  }
  const std::vector<Memory> memory = memory_by_context();
  if (options.json) {
    nlohmann::json timings = nlohmann::json::array(), bytes = nlohmann::json::array();
    for (const Row& row : rows) timings.push_back(json_of(row));
    for (const Memory& row : memory)
      bytes.push_back(
          {{"T", row.T}, {"steps_bytes", row.steps}, {"fused_bytes", row.fused}, {"claim", row.claim}});
    nlohmann::json result = {{"device", backend->description()},
                             {"threads", backend->threads()},
                             {"attention", timings},
                             {"training_memory", bytes}};
    fmt::print("{}\n", result.dump(2));
    return;
  }
  fmt::print("{}: causal attention, milliseconds a call\n", backend->description());
  fmt::print("{:32} {:5} {:>10} {:>10} {:>14} {:>10}  {}\n", "batch × context", "", "steps", "fused",
             "fused speed", "differ by", "the course's claim");
  for (const Row& row : rows) print(row);
  fmt::print(
      "\nActivations and gradients of a training step, 12 blocks of width 768, as planned (claims: another, "
      "unnamed model)\n");
  fmt::print("{:>8} {:>12} {:>12}  {}\n", "context", "steps", "fused", "the course's claim");
  for (const Memory& row : memory)
    fmt::print("{:>8} {:>9.2f} GB {:>9.2f} GB  {}\n", row.T, static_cast<double>(row.steps) / 1e9,
               static_cast<double>(row.fused) / 1e9, row.claim);
}

}  // namespace

void add_bench_attention(CLI::App& bench) {
  auto options = std::make_shared<AttentionOptions>();
  CLI::App* command =
      bench.add_subcommand("attention", "attention step by step and fused, beside the course's claims");
  command->add_option("--device", options->model.device, "cpu, cuda or auto")
      ->check(CLI::IsMember({"cpu", "cuda", "auto"}));
  command->add_option("--threads", options->model.threads, "CPU threads (0: one for each core)")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--quick", options->quick, "few shapes, few calls");
  command->add_flag("--json", options->json, "print one JSON value");
  command->callback([options] { bench_attention(*options); });
}

}  // namespace headlight::cli
