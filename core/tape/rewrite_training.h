// The visible rewrite of a training program to fewer passes over memory, for backends with joint steps
// (kernels/training.h). Used by the trainer and the training benchmark; what is looked at runs unfused.
#pragma once

#include <memory>

#include "core/tape/program.h"

namespace headlight {

/// In a program with gradients the loss and its gradient become one step, its logits with a pitch; GELU (tanh
/// form) joins the product in front of it, its slope the gradient of the product behind it; a residual sum
/// joins the norm behind it, and in the backward pass the norm's gradient the sum with what comes along the
/// residual, and the gradient of a bias that is read off that sum; all weights are cast in one step and
/// updated in one. What does not fit stays as it is.
[[nodiscard]] std::shared_ptr<const Program> fuse_training(const Program& training);

}  // namespace headlight
