// Builds the program of a model: forward and loss, and on request backward and update. Reads like the model's
// description, one sentence a step.
#pragma once

#include <memory>
#include <vector>

#include "core/model/config.h"
#include "core/run/edit.h"
#include "core/tape/program.h"
#include "core/train/schedule.h"

namespace headlight {

/// What to build beyond the forward pass.
struct ProgramOptions {
  bool loss = true;         ///< softmax and cross-entropy against targets
  bool backward = false;    ///< every gradient; needs loss
  bool update = false;      ///< gradient norm, clipping and AdamW; needs backward
  bool fused = false;       ///< rewritten: attention and cross-entropy in one step each
  bool training = false;    ///< dropout is on
  TrainConfig train;        ///< clip and AdamW's constants, for update
  std::vector<Edit> edits;  ///< mask cells and temperatures among them are built in
};

/// The program of `config` for B sequences of T tokens. Inputs: "tokens" [B,T]; with a loss "targets" [B,T];
/// with backward "loss_grad" (1); with dropout "dropout_seed"; with update "adamw_schedule" {lr, 1 − β1^t, 1
/// − β2^t}. Throws Error naming the keys where sizes do not fit.
[[nodiscard]] std::shared_ptr<const Program> build_program(const ModelConfig& config, int64_t B, int64_t T,
                                                           const ProgramOptions& options = {});

}  // namespace headlight
