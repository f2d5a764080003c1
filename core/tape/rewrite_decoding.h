// The visible rewrite of a decode program to few steps, for backends where starting a kernel costs as much as
// what it does for a single token. Used by the decoder (core/infer).
#pragma once

#include <memory>

#include "core/tape/program.h"

namespace headlight {

/// Around each product with packed weights the norm before it, the activation and the residual sum behind it
/// join it where nothing else reads what lies between; split, both appends to the cache and the fused
/// attention of a block become one step. What does not fit stays as it is.
[[nodiscard]] std::shared_ptr<const Program> fuse_decoding(const Program& decode);

}  // namespace headlight
