// s = q·kᵀ for each batch item and head, and its gradients. q [B,T,H,D], k [B,T,H_kv,D], s [B,H,T,T]; query
// head h reads key head h / (H / H_kv).
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

namespace {

// How [B,T,H,D], [B,T,H_kv,D] and [B,H,T,T] advance from one (batch item, query head) to the next.
Stride heads(int64_t T, int64_t H, int64_t D) { return {T * H * D, D}; }
Stride key_heads(int64_t T, int64_t H, int64_t H_kv, int64_t D) { return {T * H_kv * D, D, H / H_kv}; }
Stride planes(int64_t T, int64_t H) { return {H * T * T, T * T}; }

}  // namespace

void scores_forward(Context& context, float* s, const float* q, const float* k, int64_t B, int64_t T,
                    int64_t H, int64_t H_kv, int64_t D) {
  gemm(on_cpu(context), s, T, {q, H * D, 1}, {k, 1, H_kv * D}, T, T, D, nullptr,
       {B, H, heads(T, H, D), key_heads(T, H, H_kv, D), planes(T, H)});
}

void scores_backward_query(Context& context, float* dq, const float* ds, const float* k, int64_t B, int64_t T,
                           int64_t H, int64_t H_kv, int64_t D) {
  gemm(on_cpu(context), dq, H * D, {ds, T, 1}, {k, H_kv * D, 1}, T, D, T, nullptr,
       {B, H, planes(T, H), key_heads(T, H, H_kv, D), heads(T, H, D)});
}

void scores_backward_key(Context& context, float* dk, const float* ds, const float* q, int64_t B, int64_t T,
                         int64_t H, int64_t H_kv, int64_t D) {
  CpuContext& cpu = on_cpu(context);
  const int64_t group = H / H_kv;
  // Every query head leaves its share; the shares of a group are added in order of the heads.
  float* shares = group == 1 ? dk : cpu.workspace(B * T * H * D);
  gemm(cpu, shares, H * D, {ds, 1, T}, {q, H * D, 1}, T, D, T, nullptr,
       {B, H, planes(T, H), heads(T, H, D), heads(T, H, D)});
  if (group == 1) return;
  for_rows(context, B * T * H_kv, group * D, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* share = shares + r * group * D;
      std::copy(share, share + D, dk + r * D);
      for (int64_t g = 1; g < group; ++g) {
        map(dk + r * D, dk + r * D, share + g * D, D, [](Floats a, Floats b) { return a + b; });
      }
    }
  });
}

}  // namespace headlight::kernels::cpu
