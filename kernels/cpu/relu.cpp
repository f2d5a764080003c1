// y = max(x, 0); not-a-number stays.
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

void relu_forward(Context& context, float* y, const float* x, int64_t n) {
  for_elements(context, n, kStreamChunk, [&](int64_t begin, int64_t end) {
    map(y + begin, x + begin, end - begin, [](Floats a) { return a <= 0.0F ? fill(0.0F) : a; });
  });
}

void relu_backward(Context& context, float* dx, const float* dy, const float* x, int64_t n) {
  for_elements(context, n, kStreamChunk, [&](int64_t begin, int64_t end) {
    map(dx + begin, dy + begin, x + begin, end - begin,
        [](Floats g, Floats a) { return a <= 0.0F ? fill(0.0F) : g; });
  });
}

}  // namespace headlight::kernels::cpu
