// y = max(x, 0) and its gradient, 0 at 0.
#include "kernels/cuda/activations.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/elementwise.h"

namespace headlight::kernels::cuda {

namespace {
struct ReluSlope {
  __device__ float operator()(float g, float x) const { return x > 0.0F ? g : 0.0F; }
};
}  // namespace

template <class E>
void relu_forward(Context& context, E* y, const E* x, int64_t n) {
  map(context, y, x, n, Relu{});
}
template <class E>
void relu_backward(Context& context, E* dx, const E* dy, const E* x, int64_t n) {
  map(context, dx, dy, x, n, ReluSlope{});
}

template ReluForward<float> relu_forward<float>;
template ReluForward<bfloat16> relu_forward<bfloat16>;
template ReluForward<float16> relu_forward<float16>;
template ReluBackward<float> relu_backward<float>;
template ReluBackward<bfloat16> relu_backward<bfloat16>;
template ReluBackward<float16> relu_backward<float16>;

}  // namespace headlight::kernels::cuda
