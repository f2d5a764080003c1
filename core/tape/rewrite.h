// Visible rewrites of a forward program: fused to run, unfused to look. A fused step remembers the names that
// it no longer materialises. Applied before differentiate(), so that the backward pass follows the rewritten
// steps.
#pragma once

#include <memory>
#include <vector>

#include "core/run/edit.h"
#include "core/tape/program.h"

namespace headlight {

/// Split, scores, scale, mask (none or −∞), softmax, weighted sum and merge of each block become one
/// attention step with an online softmax; rotary positions become one step in front of it. Blocks with
/// another mask or with dropout on the pattern stay as they are.
[[nodiscard]] std::shared_ptr<const Program> fuse_attention(const Program& forward);

/// Softmax over the logits and cross-entropy become one step.
[[nodiscard]] std::shared_ptr<const Program> fuse_cross_entropy(const Program& forward);

/// Both.
[[nodiscard]] std::shared_ptr<const Program> fuse(const Program& forward);

/// Puts mask cells and temperatures of `edits` into the ops that they name; other edits are left to the
/// executor. Throws Error where a target matches no mask or softmax.
[[nodiscard]] std::shared_ptr<const Program> apply_op_edits(const Program& forward,
                                                            const std::vector<Edit>& edits);

}  // namespace headlight
