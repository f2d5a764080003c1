// The programs that a training consists of, the same for whoever runs them and for whoever says beforehand
// how much memory they take.
#pragma once

#include <memory>

#include "core/model/config.h"
#include "core/tape/program.h"
#include "core/train/schedule.h"
#include "kernels/backend.h"

namespace headlight {

/// Whether training on this backend runs joint steps (core/tape/rewrite_training.h).
[[nodiscard]] inline bool has_joint_steps(const kernels::Backend& backend) {
  return backend.training() != nullptr;
}

/// One step: forward, loss, backward and update; `joint`: rewritten to joint steps.
[[nodiscard]] std::shared_ptr<const Program> training_program(const ModelConfig& config,
                                                              const TrainConfig& train, bool joint);
/// Loss alone, without dropout.
[[nodiscard]] std::shared_ptr<const Program> evaluation_program(const ModelConfig& config,
                                                                const TrainConfig& train);

}  // namespace headlight
