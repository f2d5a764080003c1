// Products with GELU (tanh form) or its slope applied to their results before they are stored, where the
// library has kernels for it; else two steps.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

template <class E>
void linear_gelu_forward(Context& context, E* y, E* pre, const E* x, const E* w, const E* bias, int64_t R,
                         int64_t in, int64_t out, WeightLayout layout) {
  const Epilogue epilogue = pre == nullptr ? Epilogue::gelu : Epilogue::gelu_aux;
  if (gemm_with(context, epilogue, y, pre, {x, in, false}, weight_operand(w, in, out, layout), R, out, in,
                bias)) {
    return;
  }
  E* product = pre == nullptr ? y : pre;
  linear_forward(context, product, x, w, bias, R, in, out, layout);
  gelu_tanh_forward(context, y, product, R * out);
}

template <class E>
void linear_gelu_backward(Context& context, E* dpre, const E* dy, const E* w, const E* pre, int64_t R,
                          int64_t in, int64_t out, WeightLayout layout) {
  // The library only reads what the slope is taken of.
  if (gemm_with<E>(context, Epilogue::gelu_slope, dpre, const_cast<E*>(pre), {dy, out, false},
                   transposed(weight_operand(w, in, out, layout)), R, in, out, nullptr)) {
    return;
  }
  linear_backward_input(context, dpre, dy, w, R, in, out, layout);
  gelu_tanh_backward(context, dpre, dpre, pre, R * in);
}

template LinearGeluForward<float> linear_gelu_forward<float>;
template LinearGeluForward<bfloat16> linear_gelu_forward<bfloat16>;
template LinearGeluForward<float16> linear_gelu_forward<float16>;
template LinearGeluBackward<float> linear_gelu_backward<float>;
template LinearGeluBackward<bfloat16> linear_gelu_backward<bfloat16>;
template LinearGeluBackward<float16> linear_gelu_backward<float16>;

}  // namespace headlight::kernels::cuda
