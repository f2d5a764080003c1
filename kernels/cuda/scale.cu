// y = x·factor.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/elementwise.h"

namespace headlight::kernels::cuda {

namespace {
struct Times {
  float factor;
  __device__ float operator()(float x) const { return x * factor; }
};
}  // namespace

template <class E>
void scale(Context& context, E* y, const E* x, float factor, int64_t n) {
  map(context, y, x, n, Times{factor});
}

template Scale<float> scale<float>;
template Scale<bfloat16> scale<bfloat16>;
template Scale<float16> scale<float16>;

}  // namespace headlight::kernels::cuda
