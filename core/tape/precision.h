// Mixed precision as a visible rewrite of a whole program: activations, their gradients and the weights that
// steps read become 16 bit; statistics, the loss, gradients of parameters, moments and the weights themselves
// stay fp32. Called last by build_program().
#pragma once

#include <memory>

#include "core/tape/element.h"
#include "core/tape/program.h"

namespace headlight {

/// `program` (forward, loss, backward, update, as far as it goes) in `element`. A weight gets a 16-bit copy
/// under its name and "@bf16", made by a cast step in front of its first reader; the update writes the fp32
/// weight. What the loss phase stores (the probabilities of an unfused program) is computed in fp32 from
/// "unembed.hook_out@fp32". fp32 returns the program unchanged.
[[nodiscard]] std::shared_ptr<const Program> with_precision(std::shared_ptr<const Program> program,
                                                            ElementType element);

}  // namespace headlight
