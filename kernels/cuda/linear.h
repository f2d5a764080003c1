// How the operands of a linear layer lie, as matrices of gemm.h. Shared by linear and its joint forms.
#pragma once

#include "kernels/cuda/gemm.h"

namespace headlight::kernels::cuda {

/// W as a matrix [in,out], whichever way it lies.
template <class E>
Operand<E> weight_operand(const E* w, int64_t in, int64_t out, WeightLayout layout) {
  return layout == WeightLayout::in_out ? Operand<E>{w, out, false} : Operand<E>{w, in, true};
}

template <class E>
Operand<E> transposed(Operand<E> m) {
  return {m.data, m.row, !m.transposed};
}

}  // namespace headlight::kernels::cuda
