// x·W + bias and its three gradients: matrix products, and a column sum for the bias.
#include "kernels/cuda/columns.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/linear.h"

namespace headlight::kernels::cuda {

template <class E>
void linear_forward(Context& context, E* y, const E* x, const E* w, const E* bias, int64_t R, int64_t in,
                    int64_t out, WeightLayout layout) {
  gemm(context, y, out, {x, in, false}, weight_operand(w, in, out, layout), R, out, in, bias);
}

template <class E>
void linear_backward_input(Context& context, E* dx, const E* dy, const E* w, int64_t R, int64_t in,
                           int64_t out, WeightLayout layout) {
  gemm(context, dx, in, {dy, out, false}, transposed(weight_operand(w, in, out, layout)), R, in, out);
}

template <class E>
void linear_backward_weight(Context& context, float* dw, const E* dy, const E* x, int64_t R, int64_t in,
                            int64_t out, WeightLayout layout) {
  if (layout == WeightLayout::in_out) {
    gemm(context, dw, out, Operand<E>{x, in, true}, Operand<E>{dy, out, false}, in, out, R);
  } else {
    gemm(context, dw, in, Operand<E>{dy, out, true}, Operand<E>{x, in, false}, out, in, R);
  }
}

template <class E>
void linear_backward_bias(Context& context, float* db, const E* dy, int64_t R, int64_t out) {
  auto* workspace = on_cuda(context).workspace<float>(column_sum_floats(context, R, out));
  column_sums(context, db, dy, R, out, out, workspace);
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

}  // namespace headlight::kernels::cuda
