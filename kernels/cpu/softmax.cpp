// Softmax by row, stable and exact at −∞, and its gradient.
#include <limits>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"

namespace headlight::kernels::cpu {

void softmax_forward(Context& context, float* y, const float* x, float inverse_temperature, int64_t R,
                     int64_t N) {
  for_rows(context, R, N, kMathChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float top = row_largest(x + r * N, N, inverse_temperature);
      const float total = row_exponentials(y + r * N, x + r * N, N, inverse_temperature, top);
      const float inverse = 1.0F / total;
      map(y + r * N, y + r * N, N, [&](Floats p) { return p * inverse; });
    }
  });
}

void softmax_backward(Context& context, float* dx, const float* dy, const float* y, float inverse_temperature,
                      int64_t R, int64_t N) {
  for_rows(context, R, N, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* p = y + r * N;
      const float dot = row_dot(dy + r * N, p, N);
      map(dx + r * N, dy + r * N, p, N,
          [&](Floats g, Floats q) { return (q * inverse_temperature) * (g - dot); });
    }
  });
}

}  // namespace headlight::kernels::cpu
