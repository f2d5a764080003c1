// How many bytes a model takes on a device, known from the memory plan before anything is allocated, and what
// would fit where it does not. Shown by the Training view and the command line; said by the trainer when
// memory is short.
#pragma once

#include <cstddef>
#include <string>

#include "core/model/builder.h"
#include "core/model/config.h"
#include "core/tape/program.h"
#include "core/train/schedule.h"
#include "kernels/backend.h"

namespace headlight {

/// Bytes by what they are for.
struct MemoryUse {
  size_t parameters = 0;  ///< fp32 weights
  size_t moments = 0;     ///< AdamW's m and v
  size_t gradients = 0;   ///< of the parameters, all held until the update
  size_t activations =
      0;  ///< activations, their gradients and 16-bit copies of weights, at the fullest moment
  [[nodiscard]] size_t total() const { return parameters + moments + gradients + activations; }
  bool operator==(const MemoryUse&) const = default;
};

/// Of running `program` once on a model of `config`.
[[nodiscard]] MemoryUse memory_of_run(const ModelConfig& config, const Program& program);
/// Of training: the step and the evaluation are both planned when training starts. `joint`: on a backend
/// with joint steps.
[[nodiscard]] MemoryUse memory_of_training(const ModelConfig& config, const TrainConfig& train, bool joint);

/// What of a training that needs more than `available` bytes would fit: "batch=8, precision=bf16 or
/// checkpoint=true would fit". `cpu_available`: bytes that the CPU has where the training is to run on
/// another device, else 0; `joint`: as above.
[[nodiscard]] std::string what_would_fit(const ModelConfig& config, const TrainConfig& train, bool joint,
                                         size_t available, size_t cpu_available);

/// Throws OutOfMemory with what would fit unless a training fits into the backend's available memory and the
/// `held` bytes that it already has or gives up.
void check_training_fits(const ModelConfig& config, const TrainConfig& train, const kernels::Backend& backend,
                         size_t held);

/// The longest prompt, halving from T, whose run fits into `available` bytes beside the weights, and whether
/// all of it does with checkpointing: "checkpoint=true or a prompt of 128 tokens would fit".
[[nodiscard]] std::string what_prompt_would_fit(const ModelConfig& config, int64_t T,
                                                const ProgramOptions& options, size_t available);

/// "weights 0.9 MB + moments 1.8 MB + gradients 0.9 MB + activations 12 MB = 16 MB"
[[nodiscard]] std::string memory_text(const MemoryUse& use);

}  // namespace headlight
