// Learned positions: the first T rows of a table for every batch item, and the sum of their gradients.
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

void position_forward(Context& context, float* y, const float* table, int64_t B, int64_t T, int64_t C) {
  for_rows(context, B * T, C, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = table + (r % T) * C;
      std::copy(row, row + C, y + r * C);
    }
  });
}

void position_backward(Context& context, float* dtable, const float* dy, int64_t B, int64_t T, int64_t C,
                       int64_t P) {
  for_rows(context, P, C * (B + 1), kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* row = dtable + t * C;
      std::fill(row, row + C, 0.0F);
      for (int64_t b = 0; t < T && b < B; ++b) {
        map(row, row, dy + (b * T + t) * C, C, [](Floats x, Floats y) { return x + y; });
      }
    }
  });
}

}  // namespace headlight::kernels::cpu
