// The CUDA backend's table of joint steps of training.
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

namespace {

template <class E>
constexpr TypedTrainingKernels<E> typed_training_kernels() {
  return {
      .linear_gelu_forward = linear_gelu_forward<E>,
      .linear_gelu_backward = linear_gelu_backward<E>,
      .add_norm_forward = add_norm_forward<E>,
      .add_norm_backward = add_norm_backward<E>,
      .pitched_linear_forward = pitched_linear_forward<E>,
      .pitched_linear_backward_input = pitched_linear_backward_input<E>,
      .pitched_linear_backward_weight = pitched_linear_backward_weight<E>,
      .pitched_linear_backward_bias = pitched_linear_backward_bias<E>,
      .softmax_cross_entropy_both = softmax_cross_entropy_both<E>,
      .narrow_all = narrow_all<E>,
  };
}

}  // namespace

const TrainingKernels& training_kernels() {
  static constexpr TrainingKernels table = {
      .f32 = typed_training_kernels<float>(),
      .bf16 = typed_training_kernels<bfloat16>(),
      .f16 = typed_training_kernels<float16>(),
      .sums_of_squares = sums_of_squares,
      .adamw_all = adamw_all,
  };
  return table;
}

}  // namespace headlight::kernels::cuda
