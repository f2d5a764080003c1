// What tests of whole models share: the backends they run on, models with every switch, inputs, runs in one
// call, and comparison of arrays.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/random.h"
#include "core/model/builder.h"
#include "core/model/parameters.h"
#include "core/run/executor.h"
#include "core/run/run.h"
#include "kernels/backend.h"

namespace headlight::test {

/// A backend that a test is repeated on, and how much looser than the CPU its tolerances are.
struct BackendCase {
  std::string name;
  double tolerance = 1.0;
};
inline void PrintTo(const BackendCase& backend, std::ostream* out) { *out << backend.name; }
inline const std::vector<BackendCase>& backend_cases() {
  static const std::vector<BackendCase> cases = {{"cpu", 1.0}, {"cuda", 4.0}};
  return cases;
}

/// The backend, or null with the reason in `why_not`.
inline std::unique_ptr<kernels::Backend> make_backend(const std::string& name, std::string& why_not) {
  return name == "cuda" ? kernels::make_cuda_backend(why_not) : kernels::make_cpu_backend(2);
}

/// One CPU backend for all tests of a program; two threads, so that work is divided.
inline kernels::Backend& cpu() {
  static const std::unique_ptr<kernels::Backend> backend = kernels::make_cpu_backend(2);
  return *backend;
}

struct NamedConfig {
  std::string name;
  ModelConfig config;
};
inline void PrintTo(const NamedConfig& named, std::ostream* out) { *out << named.name; }

/// A small model with every part; sizes are odd and differ from each other.
inline ModelConfig small_config() {
  ModelConfig c;
  c.n_layer = 2;
  c.n_head = 3;
  c.n_embd = 12;
  c.n_positions = 9;
  c.vocab_size = 13;
  c.n_inner = 20;
  return c;
}

/// Every switch by itself, and some combinations.
inline std::vector<NamedConfig> many_configs() {
  std::vector<NamedConfig> all;
  const auto add = [&](std::string name, auto change) {
    all.push_back({std::move(name), small_config()});
    change(all.back().config);
  };
  add("pre_ln", [](ModelConfig&) {});
  add("post_ln", [](ModelConfig& c) { c.norm_position = NormPosition::post; });
  add("no_norm", [](ModelConfig& c) { c.norm = NormKind::none; });
  add("no_final_norm", [](ModelConfig& c) { c.final_norm = false; });
  add("no_mlp", [](ModelConfig& c) { c.mlp = MlpKind::none; });
  add("no_bias", [](ModelConfig& c) { c.bias = false; });
  add("untied", [](ModelConfig& c) { c.tie_word_embeddings = false; });
  add("no_position", [](ModelConfig& c) { c.position = PositionKind::none; });
  add("no_residual", [](ModelConfig& c) { c.residual = false; });
  add("no_scale", [](ModelConfig& c) { c.scale_attn_weights = false; });
  add("gelu_erf", [](ModelConfig& c) { c.activation = Activation::gelu_erf; });
  add("relu", [](ModelConfig& c) { c.activation = Activation::relu; });
  add("rmsnorm", [](ModelConfig& c) { c.norm = NormKind::rmsnorm; });
  add("gated", [](ModelConfig& c) { c.mlp = MlpKind::gated; });
  add("silu", [](ModelConfig& c) { c.activation = Activation::silu; });
  add("rope", [](ModelConfig& c) { c.position = PositionKind::rope; });
  add("grouped_heads", [](ModelConfig& c) {
    c.n_head = 6;
    c.n_kv_head = 2;
  });
  add("llama", [](ModelConfig& c) {
    c.n_head = 6;
    c.n_kv_head = 3;
    c.norm = NormKind::rmsnorm;
    c.mlp = MlpKind::gated;
    c.activation = Activation::silu;
    c.position = PositionKind::rope;
    c.rope_theta = 100;
    c.bias = c.tie_word_embeddings = false;
  });
  add("mask_none", [](ModelConfig& c) { c.mask = AttentionMask::none; });
  add("mask_zero", [](ModelConfig& c) { c.mask = AttentionMask::zero; });
  add("mask_finite", [](ModelConfig& c) { c.mask = AttentionMask::finite; });
  add("temperature", [](ModelConfig& c) { c.temperature = 0.4; });
  add("one_head", [](ModelConfig& c) {
    c.n_layer = c.n_head = 1;
    c.mlp = MlpKind::none;
    c.bias = c.final_norm = false;
  });
  add("dropout", [](ModelConfig& c) { c.dropout = 0.3; });
  add("post_ln_untied_dropout", [](ModelConfig& c) {
    c.norm_position = NormPosition::post;
    c.tie_word_embeddings = false;
    c.dropout = 0.2;
  });
  add("bare", [](ModelConfig& c) {
    c.norm = NormKind::none;
    c.mlp = MlpKind::none;
    c.position = PositionKind::none;
    c.residual = c.bias = c.scale_attn_weights = false;
  });
  return all;
}

/// Bits, not numbers: NaN equals itself.
inline bool same_bits(std::span<const float> a, std::span<const float> b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size_bytes()) == 0);
}

/// Random tokens and targets; about every fifth target is not counted.
inline RunInputs random_inputs(const ModelConfig& config, int64_t B, int64_t T, uint64_t seed) {
  Random random(seed);
  RunInputs inputs;
  const auto V = static_cast<uint64_t>(config.vocab_size);
  for (int64_t i = 0; i < B * T; ++i) {
    inputs.tokens.push_back(static_cast<int32_t>(random.below(V)));
    inputs.targets.push_back(random.below(5) == 0 ? -1 : static_cast<int32_t>(random.below(V)));
  }
  inputs.dropout_seed = seed;
  inputs.learning_rate = 0.01;
  return inputs;
}

/// Weights far from their usual start, so that every term matters: σ = 0.3, gains around 1, biases not 0.
inline void randomize(Parameters& parameters, uint64_t seed) {
  Random random(seed);
  for (const Parameters::Entry& entry : parameters.entries()) {
    std::vector<float> values(static_cast<size_t>(entry.spec.shape.count()));
    const bool gain = entry.spec.init == ParameterSpec::Init::ones;
    for (float& v : values) v = static_cast<float>((gain ? 1.0 : 0.0) + 0.3 * random.normal());
    parameters.upload(entry.value, entry, values);
  }
}

/// Moments as after some training: m around 0, v positive.
inline void randomize_moments(Parameters& parameters, uint64_t seed) {
  parameters.ensure_moments();
  Random random(seed);
  for (const Parameters::Entry& entry : parameters.entries()) {
    std::vector<float> values(static_cast<size_t>(entry.spec.shape.count()));
    for (float& v : values) v = static_cast<float>(0.1 * random.normal());
    parameters.upload(entry.first, entry, values);
    for (float& v : values) v = static_cast<float>(0.01 + 0.02 * random.uniform());
    parameters.upload(entry.second, entry, values);
  }
}

/// Builds, executes and records in one call.
inline std::shared_ptr<const Run> run_model(const ModelConfig& config, Parameters& parameters,
                                            const RunInputs& inputs, int64_t B, int64_t T,
                                            const ProgramOptions& options = {}, Capture capture = {}) {
  Executor executor(build_program(config, B, T, options), parameters.backend(), parameters,
                    {std::move(capture), options.edits, false});
  return executor.run(inputs);
}

/// Options for a program with everything behind the loss.
inline ProgramOptions whole_program(const ModelConfig& config, bool fused = false) {
  ProgramOptions options;
  options.backward = options.update = true;
  options.training = config.dropout > 0;
  options.fused = fused;
  options.train.grad_clip = 0.5;
  options.train.weight_decay = 0.1;
  return options;
}

/// Largest |a − b| over largest |b| (at least `floor`): the error a reader of the picture would see. Equal
/// infinities agree; anything else that is not finite gives infinity.
inline double relative_error(std::span<const float> a, std::span<const double> b, double floor = 1e-3) {
  if (a.size() != b.size()) return INFINITY;
  double error = 0, size = floor;
  for (size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = b[i];
    if (std::isinf(x) && x == y) continue;
    if (!std::isfinite(x) || !std::isfinite(y)) return INFINITY;
    error = std::max(error, std::abs(x - y));
    size = std::max(size, std::abs(y));
  }
  return error / size;
}
inline double relative_error(std::span<const float> a, std::span<const float> b, double floor = 1e-3) {
  return relative_error(a, std::vector<double>(b.begin(), b.end()), floor);
}

}  // namespace headlight::test
