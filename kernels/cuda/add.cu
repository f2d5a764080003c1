// y = a + b.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/elementwise.h"

namespace headlight::kernels::cuda {

template <class E>
void add_forward(Context& context, E* y, const E* a, const E* b, int64_t n) {
  map(context, y, a, b, n, Add{});
}

template AddForward<float> add_forward<float>;
template AddForward<bfloat16> add_forward<bfloat16>;
template AddForward<float16> add_forward<float16>;

}  // namespace headlight::kernels::cuda
