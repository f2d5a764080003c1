// Builds the program of a model: forward and loss, and on request backward and update. Reads like the model's
// description, one sentence a step.
#pragma once

#include <memory>
#include <vector>

#include "core/model/config.h"
#include "core/ops/inference.h"
#include "core/run/edit.h"
#include "core/tape/program.h"
#include "core/train/schedule.h"

namespace headlight {

/// What to build beyond the forward pass.
struct ProgramOptions {
  bool loss = true;       ///< softmax and cross-entropy against targets
  bool backward = false;  ///< every gradient; needs loss
  bool update = false;    ///< gradient norm, clipping and AdamW; needs backward
  bool fused = false;     ///< rewritten: attention and cross-entropy in one step each
  /// S > 0: the forward pass of T new tokens over a cache of S places (a decode program, see build_program).
  int64_t cache = 0;
  WeightFormat weights = WeightFormat::f32;  ///< how matrices are stored; needs a cache
  int64_t weight_group = 0;                  ///< of int8: inputs that share a scale; 0: all of them
  bool last_logits = false;    ///< logits of each sequence's last real token alone (input "counts"); no loss
  bool training = false;       ///< dropout is on
  bool gated = false;          ///< no update after a loss or gradient that is not finite
  bool checkpointing = false;  ///< blocks' activations are computed again for the backward pass, not held
  ElementType precision = ElementType::f32;  ///< bf16: mixed precision; f16: likewise, forward and loss only;
                                             ///< with a cache fp32 alone, as `weights` says what is stored
  TrainConfig train;                         ///< clip and AdamW's constants, for update
  std::vector<Edit> edits;                   ///< mask cells and temperatures among them are built in
};

/// The program of `config` for B sequences of T tokens. Inputs: "tokens" [B,T]; with a loss "targets" [B,T];
/// with backward "loss_grad" (1); with dropout "dropout_seed"; with update "adamw_schedule" {lr, 1 − β1^t, 1
/// − β2^t}; gated also "update_gate" (1, written over). Throws Error naming the keys where sizes do not fit.
///
/// With a cache: also inputs "positions" and "counts" [B] (RunInputs); state "blocks.L.attn.past_k" and
/// "past_v" [B,G,S,D], whose new value is "hook_k_cache" and "hook_v_cache"; scores and pattern are
/// [B,H,T,S]; the logits are those of each sequence's last real token alone, [B,1,V]. There is no loss. The
/// mask must be causal, as with another one a new token would change what older ones computed.
[[nodiscard]] std::shared_ptr<const Program> build_program(const ModelConfig& config, int64_t B, int64_t T,
                                                           const ProgramOptions& options = {});

}  // namespace headlight
