// GELU with tanh and with the error function, and their gradients.
#include "kernels/cuda/activations.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/elementwise.h"

namespace headlight::kernels::cuda {

namespace {

constexpr float kInverseRootTwoPi = 0.398942280F;

// Beyond ±16 the slope is 0 or 1; the bound keeps 0·∞ out of it. Not-a-number passes.
__device__ __forceinline__ float bounded(float x) { return x > 16.0F ? 16.0F : (x < -16.0F ? -16.0F : x); }

struct GeluTanhSlope {
  __device__ float operator()(float g, float x) const {
    const float t = bounded(x);
    const float square = t * t;
    const float s = logistic(t * (square * (kTwoRootTwoOverPi * kGeluCubic) + kTwoRootTwoOverPi));
    return g *
           (s + t * s * (1.0F - s) * (square * (3.0F * kTwoRootTwoOverPi * kGeluCubic) + kTwoRootTwoOverPi));
  }
};
struct GeluErfSlope {
  __device__ float operator()(float g, float x) const {
    const float t = bounded(x);
    return g * (0.5F * (1.0F + erff(t * kRootHalf)) + t * kInverseRootTwoPi * expf(-0.5F * t * t));
  }
};

}  // namespace

template <class E>
void gelu_tanh_forward(Context& context, E* y, const E* x, int64_t n) {
  map(context, y, x, n, GeluTanh{});
}
template <class E>
void gelu_tanh_backward(Context& context, E* dx, const E* dy, const E* x, int64_t n) {
  map(context, dx, dy, x, n, GeluTanhSlope{});
}
template <class E>
void gelu_erf_forward(Context& context, E* y, const E* x, int64_t n) {
  map(context, y, x, n, GeluErf{});
}
template <class E>
void gelu_erf_backward(Context& context, E* dx, const E* dy, const E* x, int64_t n) {
  map(context, dx, dy, x, n, GeluErfSlope{});
}

template GeluTanhForward<float> gelu_tanh_forward<float>;
template GeluTanhForward<bfloat16> gelu_tanh_forward<bfloat16>;
template GeluTanhForward<float16> gelu_tanh_forward<float16>;
template GeluTanhBackward<float> gelu_tanh_backward<float>;
template GeluTanhBackward<bfloat16> gelu_tanh_backward<bfloat16>;
template GeluTanhBackward<float16> gelu_tanh_backward<float16>;
template GeluErfForward<float> gelu_erf_forward<float>;
template GeluErfForward<bfloat16> gelu_erf_forward<bfloat16>;
template GeluErfForward<float16> gelu_erf_forward<float16>;
template GeluErfBackward<float> gelu_erf_backward<float>;
template GeluErfBackward<bfloat16> gelu_erf_backward<bfloat16>;
template GeluErfBackward<float16> gelu_erf_backward<float16>;

}  // namespace headlight::kernels::cuda
