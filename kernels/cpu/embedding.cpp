// Token embedding: rows of a table by token id, and the sum of the gradients that go back to each row.
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

void embedding_forward(Context& context, float* y, const int32_t* tokens, const float* table, int64_t R,
                       int64_t C) {
  for_rows(context, R, C, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = table + tokens[r] * C;
      std::copy(row, row + C, y + r * C);
    }
  });
}

void embedding_backward(Context& context, float* dtable, const float* base, const float* dy,
                        const int32_t* tokens, int64_t R, int64_t C, int64_t V) {
  if (base != dtable) {
    for_elements(context, V * C, kStreamChunk, [&](int64_t begin, int64_t end) {
      if (base != nullptr) {
        std::copy(base + begin, base + end, dtable + begin);
      } else {
        std::fill(dtable + begin, dtable + end, 0.0F);
      }
    });
  }
  // Tokens repeat, so rows cannot be shared out; columns can, and each column adds its rows in order.
  constexpr int64_t kColumns = 64;
  const int64_t slices = divide_up(C, kColumns);
  const int64_t slices_in_chunk = std::max<int64_t>(1, kStreamChunk / std::max<int64_t>(1, R * kColumns));
  for_elements(context, slices, slices_in_chunk, [&](int64_t begin, int64_t end) {
    const int64_t first = begin * kColumns;
    const int64_t width = std::min(C, end * kColumns) - first;
    for (int64_t r = 0; r < R; ++r) {
      float* row = dtable + tokens[r] * C + first;
      map(row, row, dy + r * C + first, width, [](Floats a, Floats b) { return a + b; });
    }
  });
}

}  // namespace headlight::kernels::cpu
