// See schedule.h.
#include "core/train/schedule.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numbers>
#include <string>
#include <variant>
#include <vector>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/parse_number.h"
#include "core/base/utf8.h"

namespace headlight {

using nlohmann::json;

namespace {

/// A key, the field it sets, and what values it takes. Reading, writing, checking and `--set` all walk this
/// table.
struct Key {
  const char* name;
  std::variant<int64_t TrainConfig::*, uint64_t TrainConfig::*, double TrainConfig::*,
               Schedule TrainConfig::*, ElementType TrainConfig::*, bool TrainConfig::*>
      field;
  double least = 0;     ///< for numbers
  double most = 0;      ///< for numbers
  const char* example;  ///< a value that works
};

constexpr double any = 1e15;
constexpr std::array precisions{ElementType::f32, ElementType::bf16, ElementType::f16};
const std::array<Key, 18> keys{{
    {"batch", &TrainConfig::B, 1, 65536, "32"},
    {"context", &TrainConfig::T, 1, 1 << 20, "64"},
    {"steps", &TrainConfig::steps, 0, any, "2000"},
    {"learning_rate", &TrainConfig::learning_rate, 0, 1000, "1e-3"},
    {"min_learning_rate", &TrainConfig::min_learning_rate, 0, 1000, "1e-4"},
    {"warmup_steps", &TrainConfig::warmup_steps, 0, any, "100"},
    {"schedule", &TrainConfig::schedule, 0, 0, "cosine"},
    {"weight_decay", &TrainConfig::weight_decay, 0, 1000, "0.01"},
    {"beta1", &TrainConfig::beta1, 0, 0.999999999, "0.9"},
    {"beta2", &TrainConfig::beta2, 0, 0.999999999, "0.99"},
    {"epsilon", &TrainConfig::epsilon, 1e-30, 1, "1e-8"},
    {"grad_clip", &TrainConfig::grad_clip, 0, any, "1"},
    {"eval_every", &TrainConfig::eval_every, 0, any, "100"},
    {"eval_batches", &TrainConfig::eval_batches, 1, any, "8"},
    {"sample_every", &TrainConfig::sample_every, 0, any, "100"},
    {"precision", &TrainConfig::precision, 0, 0, "bf16"},
    {"checkpoint", &TrainConfig::checkpoint, 0, 0, "true"},
    {"seed", &TrainConfig::seed, 0, 0, "1"},
}};

const Key* find_key(std::string_view name) {
  for (const Key& key : keys) {
    if (name == key.name) return &key;
  }
  return nullptr;
}

[[noreturn]] void fail_unknown(std::string_view name, std::string_view where) {
  std::vector<std::string> names;
  for (const Key& key : keys) names.emplace_back(key.name);
  fail("{} is not a training setting{}; did you mean {}?", quote(name),
       where.empty() ? "" : fmt::format(" (in {})", where), nearest_name(name, names));
}

[[noreturn]] void fail_value(const Key& key, std::string_view value, std::string_view what) {
  fail("{} = {} cannot be used: {}, such as {}", key.name, value, what, key.example);
}

const char* name_of(Schedule schedule) { return schedule == Schedule::cosine ? "cosine" : "constant"; }

/// Sets a field from its JSON value; `shown` is how the value stands in a sentence.
void set_field(TrainConfig& config, const Key& key, const json& value, std::string_view shown) {
  if (const auto* whole = std::get_if<int64_t TrainConfig::*>(&key.field)) {
    if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<uint64_t>() > any)) {
      fail_value(key, shown, "it takes a whole number");
    }
    config.*(*whole) = value.get<int64_t>();
  } else if (const auto* seed = std::get_if<uint64_t TrainConfig::*>(&key.field)) {
    if (!value.is_number_unsigned()) fail_value(key, shown, "it takes a whole number from 0");
    config.*(*seed) = value.get<uint64_t>();
  } else if (const auto* real = std::get_if<double TrainConfig::*>(&key.field)) {
    if (!value.is_number()) fail_value(key, shown, "it takes a number");
    config.*(*real) = value.get<double>();
  } else if (const auto* precision = std::get_if<ElementType TrainConfig::*>(&key.field)) {
    const auto found = std::find_if(precisions.begin(), precisions.end(),
                                    [&](ElementType type) { return value == element_name(type); });
    if (found == precisions.end()) fail_value(key, shown, "it is fp32, bf16 or fp16");
    config.*(*precision) = *found;
  } else if (const auto* on = std::get_if<bool TrainConfig::*>(&key.field)) {
    if (!value.is_boolean()) fail_value(key, shown, "it is true or false");
    config.*(*on) = value.get<bool>();
  } else {
    if (value != "cosine" && value != "constant") fail_value(key, shown, "it is constant or cosine");
    config.schedule = value == "cosine" ? Schedule::cosine : Schedule::constant;
  }
}

void check_range(const Key& key, double value) {
  if (value >= key.least && value <= key.most) return;  // NaN fails too
  const std::string range = key.most == any
                                ? fmt::format("it must be at least {}", key.least)
                                : fmt::format("it must lie between {} and {}", key.least, key.most);
  fail_value(key, fmt::format("{}", value), range);
}

}  // namespace

void validate(const TrainConfig& config) {
  for (const Key& key : keys) {
    if (const auto* whole = std::get_if<int64_t TrainConfig::*>(&key.field)) {
      check_range(key, static_cast<double>(config.*(*whole)));
    } else if (const auto* real = std::get_if<double TrainConfig::*>(&key.field)) {
      check_range(key, config.*(*real));
    }
  }
  if (config.schedule == Schedule::cosine && config.min_learning_rate > config.learning_rate) {
    fail("min_learning_rate = {} is above learning_rate = {}; use at most {}", config.min_learning_rate,
         config.learning_rate, config.learning_rate);
  }
}

void validate_for_training(const TrainConfig& config) {
  validate(config);
  if (config.precision == ElementType::f16) {
    fail(
        "precision = fp16 is for runs alone, as small gradients vanish in it; train with precision = bf16 or "
        "fp32");
  }
}

double learning_rate_at(const TrainConfig& config, int64_t step) {
  const double peak = config.learning_rate;
  if (step < config.warmup_steps) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(config.warmup_steps);
  }
  if (config.schedule == Schedule::constant) return peak;
  if (step >= config.steps) return config.min_learning_rate;
  const double done = static_cast<double>(step - config.warmup_steps) /
                      static_cast<double>(config.steps - config.warmup_steps);
  return config.min_learning_rate +
         0.5 * (peak - config.min_learning_rate) * (1.0 + std::cos(std::numbers::pi * done));
}

bool is_train_key(std::string_view key) { return find_key(key) != nullptr; }

void set_train_value(TrainConfig& config, std::string_view name, std::string_view value) {
  const Key* key = find_key(name);
  if (key == nullptr) fail_unknown(name, "");
  json parsed(value);
  if (!std::holds_alternative<Schedule TrainConfig::*>(key->field) &&
      !std::holds_alternative<ElementType TrainConfig::*>(key->field)) {
    if (std::holds_alternative<bool TrainConfig::*>(key->field)) {
      if (value == "true" || value == "false") parsed = value == "true";
    } else if (const auto whole = parse_uint(value)) {
      parsed = *whole;
    } else if (const auto below_zero = parse_int(value)) {
      parsed = *below_zero;
    } else if (const auto real = parse_double(value)) {
      parsed = *real;
    }
  }
  set_field(config, *key, parsed, quote(value));
}

json train_config_to_json(const TrainConfig& config) {
  json out = json::object();
  for (const Key& key : keys) {
    if (const auto* whole = std::get_if<int64_t TrainConfig::*>(&key.field)) {
      out[key.name] = config.*(*whole);
    } else if (const auto* seed = std::get_if<uint64_t TrainConfig::*>(&key.field)) {
      out[key.name] = config.*(*seed);
    } else if (const auto* real = std::get_if<double TrainConfig::*>(&key.field)) {
      out[key.name] = config.*(*real);
    } else if (const auto* precision = std::get_if<ElementType TrainConfig::*>(&key.field)) {
      out[key.name] = element_name(config.*(*precision));
    } else if (const auto* on = std::get_if<bool TrainConfig::*>(&key.field)) {
      out[key.name] = config.*(*on);
    } else {
      out[key.name] = name_of(config.schedule);
    }
  }
  return out;
}

TrainConfig train_config_from_json(const json& root, std::string_view where) {
  if (!root.is_object())
    fail("{} holds {} instead of an object of training settings", where, root.type_name());
  TrainConfig config;
  for (const auto& [name, value] : root.items()) {
    const Key* key = find_key(name);
    if (key == nullptr) fail_unknown(name, where);
    set_field(config, *key, value, fmt::format("{} in {}", quote(value.dump(), 60), where));
  }
  validate(config);
  return config;
}

}  // namespace headlight
