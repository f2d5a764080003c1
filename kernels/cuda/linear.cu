// x·W + bias and its three gradients: matrix products, and a column sum for the bias. Rows of y may have a
// gap behind them, so that each begins at a boundary that the library's fast kernels and 16-byte access need:
// logits over an odd vocabulary.
#include "kernels/cuda/linear.h"

#include "kernels/cuda/columns.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

template <class E>
void pitched_linear_forward(Context& context, E* y, int64_t pitch, const E* x, const E* w, const E* bias,
                            int64_t R, int64_t in, int64_t out, WeightLayout layout) {
  gemm(context, y, pitch, {x, in, false}, weight_operand(w, in, out, layout), R, out, in, bias);
}

template <class E>
void pitched_linear_backward_input(Context& context, E* dx, const E* dy, int64_t pitch, const E* w, int64_t R,
                                   int64_t in, int64_t out, WeightLayout layout) {
  gemm(context, dx, in, {dy, pitch, false}, transposed(weight_operand(w, in, out, layout)), R, in, out);
}

template <class E>
void pitched_linear_backward_weight(Context& context, float* dw, const E* dy, int64_t pitch, const E* x,
                                    int64_t R, int64_t in, int64_t out, WeightLayout layout) {
  const Operand<E> left{x, in, true}, right{dy, pitch, false};
  if (layout == WeightLayout::in_out) {
    gemm(context, dw, out, left, right, in, out, R);
  } else {
    gemm(context, dw, in, transposed(right), transposed(left), out, in, R);
  }
}

template <class E>
void pitched_linear_backward_bias(Context& context, float* db, const E* dy, int64_t pitch, int64_t R,
                                  int64_t out) {
  auto* workspace = on_cuda(context).workspace<float>(column_sum_floats(context, R, out));
  column_sums(context, db, dy, R, out, pitch, workspace);
}

// --- without gaps -----------------------------------------------------------------------------------------
template <class E>
void linear_forward(Context& context, E* y, const E* x, const E* w, const E* bias, int64_t R, int64_t in,
                    int64_t out, WeightLayout layout) {
  pitched_linear_forward(context, y, out, x, w, bias, R, in, out, layout);
}

template <class E>
void linear_backward_input(Context& context, E* dx, const E* dy, const E* w, int64_t R, int64_t in,
                           int64_t out, WeightLayout layout) {
  pitched_linear_backward_input(context, dx, dy, out, w, R, in, out, layout);
}

template <class E>
void linear_backward_weight(Context& context, float* dw, const E* dy, const E* x, int64_t R, int64_t in,
                            int64_t out, WeightLayout layout) {
  pitched_linear_backward_weight(context, dw, dy, out, x, R, in, out, layout);
}

template <class E>
void linear_backward_bias(Context& context, float* db, const E* dy, int64_t R, int64_t out) {
  pitched_linear_backward_bias(context, db, dy, out, R, out);
}

template LinearForward<float> linear_forward<float>;
template LinearForward<bfloat16> linear_forward<bfloat16>;
template LinearForward<float16> linear_forward<float16>;
template LinearBackwardInput<float> linear_backward_input<float>;
template LinearBackwardInput<bfloat16> linear_backward_input<bfloat16>;
template LinearBackwardInput<float16> linear_backward_input<float16>;
template LinearBackwardWeight<float> linear_backward_weight<float>;
template LinearBackwardWeight<bfloat16> linear_backward_weight<bfloat16>;
template LinearBackwardWeight<float16> linear_backward_weight<float16>;
template LinearBackwardBias<float> linear_backward_bias<float>;
template LinearBackwardBias<bfloat16> linear_backward_bias<bfloat16>;
template LinearBackwardBias<float16> linear_backward_bias<float16>;
template PitchedLinearForward<float> pitched_linear_forward<float>;
template PitchedLinearForward<bfloat16> pitched_linear_forward<bfloat16>;
template PitchedLinearForward<float16> pitched_linear_forward<float16>;
template PitchedLinearBackwardInput<float> pitched_linear_backward_input<float>;
template PitchedLinearBackwardInput<bfloat16> pitched_linear_backward_input<bfloat16>;
template PitchedLinearBackwardInput<float16> pitched_linear_backward_input<float16>;
template PitchedLinearBackwardWeight<float> pitched_linear_backward_weight<float>;
template PitchedLinearBackwardWeight<bfloat16> pitched_linear_backward_weight<bfloat16>;
template PitchedLinearBackwardWeight<float16> pitched_linear_backward_weight<float16>;
template PitchedLinearBackwardBias<float> pitched_linear_backward_bias<float>;
template PitchedLinearBackwardBias<bfloat16> pitched_linear_backward_bias<bfloat16>;
template PitchedLinearBackwardBias<float16> pitched_linear_backward_bias<float16>;

}  // namespace headlight::kernels::cuda
