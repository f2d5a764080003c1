// The three thirds of qkv [B,T,3·H·D] as q, k, v [B,T,H,D] and back, and the heads side by side again.
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"

namespace headlight::kernels::cpu {

void split_heads_forward(Context& context, float* q, float* k, float* v, const float* qkv, int64_t B,
                         int64_t T, int64_t H, int64_t D) {
  const int64_t C = H * D;
  for_rows(context, B * T, 3 * C, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = qkv + r * 3 * C;
      std::copy(row, row + C, q + r * C);
      std::copy(row + C, row + 2 * C, k + r * C);
      std::copy(row + 2 * C, row + 3 * C, v + r * C);
    }
  });
}

void split_heads_backward(Context& context, float* dqkv, const float* dq, const float* dk, const float* dv,
                          int64_t B, int64_t T, int64_t H, int64_t D) {
  const int64_t C = H * D;
  for_rows(context, B * T, 3 * C, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = dqkv + r * 3 * C;
      std::copy(dq + r * C, dq + (r + 1) * C, row);
      std::copy(dk + r * C, dk + (r + 1) * C, row + C);
      std::copy(dv + r * C, dv + (r + 1) * C, row + 2 * C);
    }
  });
}

void merge_heads(Context& context, float* y, const float* x, int64_t B, int64_t T, int64_t H, int64_t D) {
  // [B,T,H,D] already has the heads of a token next to each other.
  if (y == x) return;
  for_elements(context, B * T * H * D, kStreamChunk,
               [&](int64_t begin, int64_t end) { std::copy(x + begin, x + end, y + begin); });
}

}  // namespace headlight::kernels::cpu
