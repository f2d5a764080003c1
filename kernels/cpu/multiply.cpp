// Elementwise product, the gate of a gated MLP.
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

void multiply_forward(Context& context, float* y, const float* a, const float* b, int64_t n) {
  for_elements(context, n, kStreamChunk, [&](int64_t begin, int64_t end) {
    map(y + begin, a + begin, b + begin, end - begin, [](Floats x, Floats z) { return x * z; });
  });
}

}  // namespace headlight::kernels::cpu
