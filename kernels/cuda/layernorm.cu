// LayerNorm and its gradients.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/norm.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

template <class E>
void layernorm_forward(Context& context, float* mean, float* scale, E* normalized, E* y, const E* x,
                       const E* gain, const E* bias, int64_t R, int64_t C, float eps) {
  normalize<true>(context, mean, scale, normalized, y, x, gain, bias, R, C, eps);
}

template <class E>
void layernorm_backward(Context& context, E* dx, float* dgain, float* dbias, const E* dy, const E* x,
                        const float* mean, const float* scale, const E* gain, int64_t R, int64_t C) {
  add_norm_backward<E>(context, dx, dgain, dbias, nullptr, nullptr, dy, x, mean, scale, gain, R, C);
}

template LayerNormForward<float> layernorm_forward<float>;
template LayerNormForward<bfloat16> layernorm_forward<bfloat16>;
template LayerNormForward<float16> layernorm_forward<float16>;
template LayerNormBackward<float> layernorm_backward<float>;
template LayerNormBackward<bfloat16> layernorm_backward<bfloat16>;
template LayerNormBackward<float16> layernorm_backward<float16>;

}  // namespace headlight::kernels::cuda
