// The queries, keys and values that lie side by side in qkv [B,T,(H+2·H_kv)·D] as q [B,T,H,D], k and v
// [B,T,H_kv,D] and back, and the heads side by side again.
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"

namespace headlight::kernels::cpu {

void split_heads_forward(Context& context, float* q, float* k, float* v, const float* qkv, int64_t B,
                         int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  const int64_t C = H * D, K = H_kv * D, W = C + 2 * K;
  for_rows(context, B * T, W, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = qkv + r * W;
      std::copy(row, row + C, q + r * C);
      std::copy(row + C, row + C + K, k + r * K);
      std::copy(row + C + K, row + W, v + r * K);
    }
  });
}

void split_heads_backward(Context& context, float* dqkv, const float* dq, const float* dk, const float* dv,
                          int64_t B, int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  const int64_t C = H * D, K = H_kv * D, W = C + 2 * K;
  for_rows(context, B * T, W, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* row = dqkv + r * W;
      std::copy(dq + r * C, dq + (r + 1) * C, row);
      std::copy(dk + r * K, dk + (r + 1) * K, row + C);
      std::copy(dv + r * K, dv + (r + 1) * K, row + C + K);
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
