// y = x·factor.
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

void scale(Context& context, float* y, const float* x, float factor, int64_t n) {
  for_elements(context, n, kStreamChunk, [&](int64_t begin, int64_t end) {
    map(y + begin, x + begin, end - begin, [&](Floats a) { return a * factor; });
  });
}

}  // namespace headlight::kernels::cpu
