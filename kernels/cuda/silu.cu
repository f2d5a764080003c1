// SiLU, x/(1 + e^−x), and its gradient.
#include "kernels/cuda/activations.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/elementwise.h"

namespace headlight::kernels::cuda {

namespace {
struct SiluSlope {
  __device__ float operator()(float g, float x) const {
    // Beyond ±50 the slope is 0 or 1; the bound keeps 0·∞ out of the product.
    const float t = x > 50.0F ? 50.0F : (x < -50.0F ? -50.0F : x);
    const float s = 1.0F / (1.0F + expf(-t));
    return g * (s * (1.0F + t * (1.0F - s)));
  }
};
}  // namespace

template <class E>
void silu_forward(Context& context, E* y, const E* x, int64_t n) {
  map(context, y, x, n, Silu{});
}
template <class E>
void silu_backward(Context& context, E* dx, const E* dy, const E* x, int64_t n) {
  map(context, dx, dy, x, n, SiluSlope{});
}

template SiluForward<float> silu_forward<float>;
template SiluForward<bfloat16> silu_forward<bfloat16>;
template SiluForward<float16> silu_forward<float16>;
template SiluBackward<float> silu_backward<float>;
template SiluBackward<bfloat16> silu_backward<bfloat16>;
template SiluBackward<float16> silu_backward<float16>;

}  // namespace headlight::kernels::cuda
