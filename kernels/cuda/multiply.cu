// y = a·b, the gate of a gated MLP.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/elementwise.h"

namespace headlight::kernels::cuda {

namespace {
struct Product {
  __device__ float operator()(float a, float b) const { return a * b; }
};
}  // namespace

template <class E>
void multiply_forward(Context& context, E* y, const E* a, const E* b, int64_t n) {
  map(context, y, a, b, n, Product{});
}

template MultiplyForward<float> multiply_forward<float>;
template MultiplyForward<bfloat16> multiply_forward<bfloat16>;
template MultiplyForward<float16> multiply_forward<float16>;

}  // namespace headlight::kernels::cuda
