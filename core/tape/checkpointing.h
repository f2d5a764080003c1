// Activation checkpointing as a visible rewrite of a whole program: what a block computed on the way forward
// is computed again where its backward pass begins, so that between the two only the blocks' inputs are held
// (Chen et al. 2016). Called by build_program() before with_precision().
#pragma once

#include <memory>
#include <string_view>

#include "core/tape/program.h"

namespace headlight {

/// Stands behind the name of a buffer that is computed again: "blocks.0.attn.hook_q@again". Being written in
/// the backward phase, it has the role of a gradient.
inline constexpr std::string_view again_suffix = "@again";

/// `program` (forward, loss, backward, update, as far as it goes) with those of each block's forward steps
/// repeated in front of its backward steps whose results these read. The repeated steps are the same ops on
/// the same inputs, dropout's masks among them, so that every gradient keeps its bits. Without a backward
/// pass the program is unchanged.
[[nodiscard]] std::shared_ptr<const Program> checkpoint_blocks(std::shared_ptr<const Program> program);

}  // namespace headlight
