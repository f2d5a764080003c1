// `headlight bench decode`: tokens/s of prefill and decoding, the choice of each token included, with weights
// of 32, 16 and 8 bits, beside the bandwidth and the peak of the same device measured in the same run.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>

#include "app/cli/bench.h"
#include "app/cli/model_options.h"
#include "core/base/error.h"
#include "core/infer/decoder.h"
#include "kernels/bench.h"

namespace headlight::cli {
namespace {

struct Options {
  ModelOptions model;
  std::vector<std::string> weights = {"fp32", "bf16", "int8"};
  int64_t prompt = 512, tokens = 32, batch = 1;
  int rounds = 3;
  bool json = false;
};

/// One storage of the weights.
struct Result {
  std::string weights;
  double prefill = 0;              ///< tokens/s, a median like the following
  double decode = 0, sampled = 0;  ///< tokens/s with the likeliest token chosen each time, and with one drawn
  double of_peak = 0, of_bytes = 0;  ///< prefill of the machine's operations, decode of its bytes
  double logit_error = 0;            ///< √(Σ(Δlogit)²/Σ logit²) against fp32 behind the same prompt
  double worst_tensor = 0;           ///< largest relative error of a matrix
  size_t read_bytes = 0;             ///< weights that one token reads
  Decoder::MemoryNeed memory;
};

/// What the device reaches at best in this run: on the CPU fp32 FMA and reads, on a GPU a product of bf16
/// matrices and a copy.
struct Machine {
  double operations = 0, bytes = 0;
};
Machine calibrate(kernels::Backend& backend) {
  if (backend.kind() == "cpu") {
    const kernels::Calibration machine = kernels::calibrate_cpu(backend);
    return {machine.fma_flops, machine.read_bytes};
  }
  const kernels::DeviceCalibration machine = kernels::calibrate_device(backend);
  return {machine.product_flops, machine.copy_bytes};
}

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// GPT-2's small shape with random weights.
ModelConfig gpt2_config() {
  ModelConfig config;
  config.n_layer = 12, config.n_head = 12, config.n_embd = 768, config.vocab_size = 50257,
  config.n_positions = 1024;
  return config;
}

/// Multiply-adds of one token's matrices without the unembedding, and of its attention over half of T keys.
double prefill_flops_per_token(const Model& model, int64_t T) {
  double flops = 0;
  for (const ParameterSpec& spec : parameter_specs(model.config)) {
    if (spec.shape.rank() == 2 && spec.name.starts_with("h."))
      flops += 2.0 * static_cast<double>(spec.shape.count());
  }
  return flops + 2.0 * static_cast<double>(model.config.n_layer * model.config.n_embd * T);
}

/// Bytes of weights that each new token reads: every matrix of the blocks and the unembedding.
size_t weight_bytes_read(const Model& model, const Decoder& decoder) {
  const bool tied = model.config.tie_word_embeddings;
  const auto is_read = [&](const std::string& name) { return tied || !name.starts_with("wte."); };
  size_t bytes = 0;
  for (const ParameterSpec& spec : parameter_specs(model.config)) {
    if (spec.name.starts_with("wpe.") || !is_read(spec.name)) continue;
    if (decoder.packed() == nullptr || spec.shape.rank() != 2)
      bytes += static_cast<size_t>(spec.shape.count()) * 4;
  }
  if (decoder.packed() == nullptr) return bytes;
  for (const PackedWeights::Tensor& tensor : decoder.packed()->tensors()) {
    if (is_read(tensor.name)) bytes += tensor.bytes;
  }
  return bytes;
}

Result measure(const Model& model, const Options& options, const std::string& weights,
               const std::vector<std::vector<int32_t>>& prompts, std::vector<float>& exact) {
  Decoder::Options how;
  how.batch = options.batch;
  how.capacity = std::min(model.config.n_positions, options.prompt + options.tokens);
  how.chunk = options.prompt;
  how.weights = parse_weight_storage(weights);
  how.ahead = 3;
  Decoder decoder(model, how);
  kernels::Backend& backend = model.parameters->backend();
  Result result;
  result.weights = weights;
  result.read_bytes = weight_bytes_read(model, decoder);
  const auto rewind = [&](int64_t length) {
    for (int64_t b = 0; b < options.batch; ++b) decoder.truncate(b, length);
  };
  const auto tokens = static_cast<double>(options.batch * options.prompt);
  // Tokens/s of drawing and feeding behind the prompts, all tokens in a row: a device works on while the host
  // looks at what it has chosen.
  const auto decoded = [&](const SamplerConfig& sampler) {
    Random random(sampler.seed);
    std::vector<std::vector<int32_t>> next(prompts.size(), std::vector<int32_t>(1));
    const double seconds = seconds_of([&] {
      for (int64_t i = 0; i < options.tokens; ++i) {
        for (size_t b = 0; b < next.size(); ++b)
          next[b][0] = decoder.draw(static_cast<int64_t>(b), sampler, random, {}).token;
        if (i + 1 < options.tokens) decoder.feed(next);
      }
    });
    // The first choice has nothing to wait for but the prompt.
    return static_cast<double>(options.batch * (options.tokens - 1)) / seconds;
  };
  std::vector<double> prefill, decode, sampled, of_peak, of_bytes;
  for (int round = 0; round <= options.rounds; ++round) {
    // The calibration stands between the passes, so that both see the same moments of a shared machine.
    const Machine machine = calibrate(backend);
    const auto read_prompts = [&] {
      rewind(0);
      return seconds_of([&] {
        decoder.feed(prompts);
        backend.synchronize();
      });
    };
    const double prefill_seconds = read_prompts();
    const double greedy = decoded({.greedy = true});
    (void)read_prompts();
    const double drawn = decoded({});
    if (round == 0) continue;  // first touch of the memory, recordings
    prefill.push_back(tokens / prefill_seconds);
    of_peak.push_back(prefill.back() * prefill_flops_per_token(model, options.prompt) / machine.operations);
    decode.push_back(greedy);
    sampled.push_back(drawn);
    const double passes = greedy / static_cast<double>(options.batch);
    of_bytes.push_back(static_cast<double>(result.read_bytes) * passes / machine.bytes);
  }
  rewind(0);
  decoder.feed(prompts);
  const std::span<const float> logits = decoder.logits(0);
  if (exact.empty()) exact.assign(logits.begin(), logits.end());
  double error = 0, size = 0;
  for (size_t i = 0; i < exact.size(); ++i) {
    const double reference = static_cast<double>(exact[i]),
                 difference = static_cast<double>(logits[i]) - reference;
    error += difference * difference;
    size += reference * reference;
  }
  result.logit_error = std::sqrt(error / size);
  if (decoder.packed() != nullptr) {
    for (const PackedWeights::Tensor& tensor : decoder.packed()->tensors()) {
      result.worst_tensor = std::max(result.worst_tensor, tensor.relative_error);
    }
  }
  result.prefill = median(prefill), result.decode = median(decode), result.sampled = median(sampled);
  result.of_peak = median(of_peak), result.of_bytes = median(of_bytes);
  result.memory = decoder.memory();
  return result;
}

void bench_decode(Options& options) {
  for (const std::string& weights : options.weights) (void)parse_weight_storage(weights);
  const auto backend = open_backend(options.model);
  const bool named = !options.model.model.empty() || !options.model.preset.empty();
  OpenedSource source;
  if (named) {
    source = open_source(options.model, "", *backend);
  } else {
    source.model = make_model("gpt2-124m", gpt2_config(), nullptr, *backend, 1);
  }
  const Model& model = source.model;
  if (options.prompt + options.tokens > model.config.n_positions) {
    fail("{} + {} tokens do not fit into n_positions = {}; choose a smaller --prompt-tokens or --tokens",
         options.prompt, options.tokens, model.config.n_positions);
  }
  Random random(1);
  std::vector<std::vector<int32_t>> prompts(static_cast<size_t>(options.batch));
  for (auto& prompt : prompts) {
    for (int64_t i = 0; i < options.prompt; ++i) {
      prompt.push_back(static_cast<int32_t>(random.below(static_cast<uint64_t>(model.config.vocab_size))));
    }
  }
  // The logits' errors are taken against fp32, so that it is measured first; left out of the table if not
  // asked for.
  std::vector<float> exact;
  std::vector<Result> results;
  if (std::find(options.weights.begin(), options.weights.end(), "fp32") == options.weights.end()) {
    Decoder reference(model, {.batch = options.batch, .capacity = options.prompt, .chunk = options.prompt});
    reference.feed(prompts);
    exact.assign(reference.logits(0).begin(), reference.logits(0).end());
  } else {
    std::stable_partition(options.weights.begin(), options.weights.end(),
                          [](const auto& w) { return w == "fp32"; });
  }
  for (const std::string& weights : options.weights)
    results.push_back(measure(model, options, weights, prompts, exact));

  if (options.json) {
    nlohmann::json rows = nlohmann::json::array();
    for (const Result& r : results) {
      rows.push_back({{"weights", r.weights},
                      {"prefill_tokens_per_second", r.prefill},
                      {"prefill_fraction_of_peak", r.of_peak},
                      {"decode_tokens_per_second", r.decode},
                      {"sampled_tokens_per_second", r.sampled},
                      {"decode_fraction_of_bandwidth", r.of_bytes},
                      {"weight_bytes_per_token", r.read_bytes},
                      {"logits_relative_error", r.logit_error},
                      {"worst_tensor_relative_error", r.worst_tensor},
                      {"memory_bytes",
                       {{"packed_weights", r.memory.weights},
                        {"cache", r.memory.cache},
                        {"activations", r.memory.activations}}}});
    }
    const nlohmann::json result = {
        {"model", model.name},    {"device", backend->description()}, {"threads", backend->threads()},
        {"batch", options.batch}, {"prompt_tokens", options.prompt},  {"decoded_tokens", options.tokens},
        {"results", rows}};
    fmt::print("{}\n", result.dump(2));
    return;
  }
  const bool cpu = backend->kind() == "cpu";
  fmt::print("{} on {}: batch {}, prompt of {} tokens, then {} more; medians of {} rounds\n", model.name,
             backend->description(), options.batch, options.prompt, options.tokens, options.rounds);
  fmt::print(
      "decode: the likeliest token is chosen and fed; drawn: one is drawn. Peak and bandwidth are those of "
      "{}\n",
      cpu ? "fp32 FMA and of reads" : "a product of bf16 matrices and of a copy");
  fmt::print("{:8} {:>12} {:>8} {:>12} {:>12} {:>12} {:>10} {:>13} {:>13}\n", "weights", "prefill t/s",
             "of peak", "decode t/s", "of bandwidth", "drawn t/s", "MB/token", "logits error", "memory MB");
  for (const Result& r : results) {
    fmt::print("{:8} {:12.0f} {:8.2f} {:12.1f} {:12.2f} {:12.1f} {:10.1f} {:12.2f}% {:13.0f}\n", r.weights,
               r.prefill, r.of_peak, r.decode, r.of_bytes, r.sampled, static_cast<double>(r.read_bytes) / 1e6,
               100 * r.logit_error, static_cast<double>(r.memory.total()) / 1e6);
  }
}

}  // namespace

void add_bench_decode(CLI::App& bench) {
  auto options = std::make_shared<Options>();
  CLI::App* command = bench.add_subcommand(
      "decode", "prefill and decoding with a cache: tokens/s, and what part of the machine's bandwidth");
  options->model.add_to(*command);
  command
      ->add_option("--weights", options->weights, "fp32, bf16, int8, int8:32, int8:64, int8:128 (repeat it)")
      ->allow_extra_args(false);
  command->add_option("--prompt-tokens", options->prompt, "tokens of the prompt")->check(CLI::PositiveNumber);
  command->add_option("--tokens", options->tokens, "tokens to decode behind it")
      ->check(CLI::Range(2, 1 << 20));
  command->add_option("--batch", options->batch, "sequences at once")->check(CLI::PositiveNumber);
  command->add_option("--rounds", options->rounds, "repetitions (the median counts)")
      ->check(CLI::PositiveNumber);
  command->add_flag("--json", options->json, "print one JSON value");
  command->callback([options] { bench_decode(*options); });
}

}  // namespace headlight::cli
