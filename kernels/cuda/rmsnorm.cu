// RMSNorm and its gradients.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

template <class E>
void rmsnorm_forward(Context& context, float* scale, E* normalized, E* y, const E* x, const E* gain,
                     int64_t R, int64_t C, float eps) {
  const E* no_bias = nullptr;
  normalize<false>(context, nullptr, scale, normalized, y, x, gain, no_bias, R, C, eps);
}

template <class E>
void rmsnorm_backward(Context& context, E* dx, float* dgain, const E* dy, const E* x, const float* scale,
                      const E* gain, int64_t R, int64_t C) {
  add_norm_backward<E>(context, dx, dgain, nullptr, nullptr, nullptr, dy, x, nullptr, scale, gain, R, C);
}

template RmsNormForward<float> rmsnorm_forward<float>;
template RmsNormForward<bfloat16> rmsnorm_forward<bfloat16>;
template RmsNormForward<float16> rmsnorm_forward<float16>;
template RmsNormBackward<float> rmsnorm_backward<float>;
template RmsNormBackward<bfloat16> rmsnorm_backward<bfloat16>;
template RmsNormBackward<float16> rmsnorm_backward<float16>;

}  // namespace headlight::kernels::cuda
