// See config.h.
#include "core/model/config.h"

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/parse_number.h"
#include "core/io/json.h"
#include "core/model/config_json.h"

namespace headlight {

namespace {

void check_size(const char* key, int64_t value, int64_t least, int64_t most, int64_t example) {
  if (value >= least && value <= most) return;
  fail("{} = {} cannot be used: it must lie between {} and {}, such as {}", key, value, least, most, example);
}

/// `fits` is the test itself, so that a NaN fails it.
void check_number(const char* key, double value, bool fits, const char* range, const char* example) {
  if (!fits) fail("{} = {} cannot be used: it must be {}, such as {}", key, value, range, example);
}

/// The divisor of `width` that is nearest to `heads`, smaller first.
int64_t nearest_divisor(int64_t width, int64_t heads) {
  for (int64_t distance = 0;; ++distance) {
    const int64_t below = heads - distance;
    if (below >= 1 && width % below == 0) return below;
    if (heads + distance <= width && width % (heads + distance) == 0) return heads + distance;
  }
}

}  // namespace

void validate(const ModelConfig& config) {
  check_size("n_layer", config.n_layer, 1, 1000, 2);
  check_size("n_embd", config.n_embd, 1, 65536, 64);
  check_size("n_head", config.n_head, 1, 65536, 4);
  check_size("n_positions", config.n_positions, 1, 1 << 20, 64);
  check_size("vocab_size", config.vocab_size, 1, 10'000'000, 50257);
  check_size("n_inner", config.n_inner, 0, 1 << 20, 4 * config.n_embd);
  if (config.n_embd % config.n_head != 0) {
    const int64_t wider = (config.n_embd + config.n_head - 1) / config.n_head * config.n_head;
    fail(
        "n_embd = {} is not divisible by n_head = {}, so the heads cannot share it; use n_head = {} or "
        "n_embd = {}",
        config.n_embd, config.n_head, nearest_divisor(config.n_embd, config.n_head), wider);
  }
  check_size("n_kv_head", config.n_kv_head, 0, config.n_head, config.n_head);
  if (config.n_head % config.kv_heads() != 0) {
    fail("n_head = {} is not divisible by n_kv_head = {}, so the heads cannot share keys; use n_kv_head = {}",
         config.n_head, config.n_kv_head, nearest_divisor(config.n_head, config.n_kv_head));
  }
  if (config.position == PositionKind::rope) {
    if (config.head_size() % 2 != 0) {
      fail(
          "position = rope turns pairs of a head's elements, but n_embd / n_head = {} is odd; use n_embd = "
          "{} or "
          "another n_head",
          config.head_size(), config.n_embd + config.n_head);
    }
    const double theta = config.rope_theta;
    check_number("rope_theta", theta, theta >= 1 && theta <= 1e12, "between 1 and 1e12", "10000");
    const RopeScalingConfig& scaling = config.rope_scaling;
    check_number("rope_scaling.factor", scaling.factor, scaling.factor >= 1 && scaling.factor <= 1e6,
                 "between 1 and 1e6", "8");
    check_number("rope_scaling.low_freq_factor", scaling.low_freq_factor,
                 scaling.low_freq_factor > 0 && scaling.low_freq_factor < scaling.high_freq_factor,
                 "above 0 and below high_freq_factor", "1");
    check_number("rope_scaling.high_freq_factor", scaling.high_freq_factor, scaling.high_freq_factor <= 1e6,
                 "at most 1e6", "4");
    check_size("rope_scaling.original_max_position_embeddings", scaling.original_positions, 1, 1 << 20, 8192);
  }
  const double epsilon = config.layer_norm_epsilon;
  check_number("layer_norm_epsilon", epsilon, epsilon > 0 && epsilon <= 1, "above 0 and at most 1", "1e-5");
  const double tau = config.temperature;
  check_number("attention_temperature", tau, tau > 0 && tau <= 1e6, "above 0 and at most 1e6", "1");
  check_number("dropout", config.dropout, config.dropout >= 0 && config.dropout < 1, "at least 0 and below 1",
               "0.1");
  const double sigma = config.initializer_range;
  check_number("initializer_range", sigma, sigma >= 0 && sigma <= 100, "at least 0 and at most 100", "0.02");
  constexpr int64_t most_parameters = 100'000'000'000;
  if (const int64_t total = count_parameters(config).total(); total > most_parameters) {
    fail(
        "n_layer = {}, n_embd = {} and vocab_size = {} make {} parameters, more than the {} that are "
        "allowed; use "
        "smaller ones, such as n_embd = 768",
        config.n_layer, config.n_embd, config.vocab_size, total, most_parameters);
  }
}

void set_config_value(ModelConfig& config, std::string_view key, std::string_view value) {
  nlohmann::json parsed(value);
  if (const auto whole = parse_int(value)) {
    parsed = *whole;
  } else if (const auto real = parse_double(value)) {
    parsed = *real;
  } else if (value == "true" || value == "on") {
    parsed = true;
  } else if (value == "false" || value == "off") {
    parsed = false;
  } else if (value == "null") {
    parsed = nullptr;
  } else if (value.starts_with('{')) {
    parsed = parse_json(value, key);
  }
  set_config_json(config, key, parsed, "");
}

ParameterCount count_parameters(const ModelConfig& config) {
  const int64_t C = config.n_embd;
  const int64_t F = config.mlp_width();
  const int64_t L = config.n_layer;
  const bool mlp = config.mlp != MlpKind::none;
  const int64_t bias = config.bias ? 1 : 0;
  ParameterCount count;
  count.embedding = config.vocab_size * C;
  count.position = config.position == PositionKind::learned ? config.n_positions * C : 0;
  const int64_t W = config.qkv_width();
  count.attention = L * (C * W + C * C + bias * (W + C));
  const int64_t inner = config.mlp == MlpKind::gated ? 2 * F : F;  // columns of what goes into the MLP
  count.mlp = mlp ? L * (C * inner + F * C + bias * (inner + C)) : 0;
  if (config.norm != NormKind::none) {
    const int64_t norms = L * (mlp ? 2 : 1) + (config.has_final_norm() ? 1 : 0);
    count.norm = norms * (config.norm == NormKind::layernorm ? C + bias * C : C);
  }
  count.unembedding = config.tie_word_embeddings ? 0 : config.vocab_size * C;
  return count;
}

double training_flops_per_token(const ModelConfig& config, int64_t T) {
  const auto C = static_cast<double>(config.n_embd);
  const auto L = static_cast<double>(config.n_layer);
  const double sides = config.mlp == MlpKind::none ? 0.0 : config.mlp == MlpKind::gated ? 3.0 : 2.0;
  const double mlp = sides * C * static_cast<double>(config.mlp_width());
  const double matrices = L * (C * static_cast<double>(config.qkv_width()) + C * C + mlp) +
                          static_cast<double>(config.vocab_size) * C;
  return 6.0 * matrices + 6.0 * L * C * static_cast<double>(T);
}

}  // namespace headlight
