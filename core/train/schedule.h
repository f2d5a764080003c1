// How a model is trained: every number that the trainer takes, and the learning rate of each step. Presets
// hold one; the trainer, the Training view and `--set` change it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "core/tape/element.h"

namespace headlight {

enum class Schedule { constant, cosine };

/// Keys of set_train_value and of JSON are the names in quotes.
struct TrainConfig {
  int64_t B = 32;                        ///< "batch": windows a step
  int64_t T = 64;                        ///< "context": tokens a window; ≤ n_positions
  int64_t steps = 2000;                  ///< "steps": where the cosine ends and training stops
  double learning_rate = 1e-3;           ///< "learning_rate": the peak
  double min_learning_rate = 1e-4;       ///< "min_learning_rate": where the cosine ends; ≤ learning_rate
  int64_t warmup_steps = 100;            ///< "warmup_steps": straight from 0 to the peak
  Schedule schedule = Schedule::cosine;  ///< "schedule": constant | cosine
  double weight_decay = 0.01;            ///< "weight_decay": AdamW, on matrices
  double beta1 = 0.9;                    ///< "beta1"
  double beta2 = 0.99;                   ///< "beta2"
  double epsilon = 1e-8;                 ///< "epsilon"
  double grad_clip = 1.0;                ///< "grad_clip": largest gradient norm; 0: no clipping
  int64_t eval_every = 100;              ///< "eval_every": steps between evaluations; 0: never
  int64_t eval_batches = 8;              ///< "eval_batches": held-out batches an evaluation
  int64_t sample_every = 100;            ///< "sample_every": steps between sample texts; 0: never
  ElementType precision = ElementType::f32;  ///< "precision": fp32 | bf16 (mixed) | fp16 (runs only)
  bool checkpoint = false;  ///< "checkpoint": activations are computed again for the backward pass
  uint64_t seed = 1;        ///< "seed": initial weights, batches, dropout
  bool operator==(const TrainConfig&) const = default;
};

/// Throws Error naming the key, its value and a range that works.
void validate(const TrainConfig& config);
/// The same, and that training can use it: fp16 is for runs alone.
void validate_for_training(const TrainConfig& config);

/// Rate of step 0, 1, 2, …: peak·(step + 1)/warmup during warm-up, then the peak, or half a cosine from the
/// peak to the minimum at `steps`, and the minimum from there on.
[[nodiscard]] double learning_rate_at(const TrainConfig& config, int64_t step);

/// True when `key` is a key of TrainConfig; `--set` asks here before it asks the model's keys.
[[nodiscard]] bool is_train_key(std::string_view key);

/// Sets one key from text, as in `--set learning_rate=3e-4`. Throws Error on an unknown key (with the nearest
/// one) or a value that cannot be read.
void set_train_value(TrainConfig& config, std::string_view key, std::string_view value);

[[nodiscard]] nlohmann::json train_config_to_json(const TrainConfig& config);
/// Missing keys keep their defaults; unknown keys and unfit values throw Error. `where` names the file.
[[nodiscard]] TrainConfig train_config_from_json(const nlohmann::json& json, std::string_view where);

}  // namespace headlight
