// s = q·kᵀ for each batch item and head, and its gradients. q, k [B,T,H,D], s [B,H,T,T].
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"

namespace headlight::kernels::cpu {

namespace {

// How [B,T,H,D] and [B,H,T,T] advance from one (batch item, head) to the next.
Stride heads(int64_t T, int64_t H, int64_t D) { return {T * H * D, D}; }
Stride planes(int64_t T, int64_t H) { return {H * T * T, T * T}; }

}  // namespace

void scores_forward(Context& context, float* s, const float* q, const float* k, int64_t B, int64_t T,
                    int64_t H, int64_t D) {
  gemm(on_cpu(context), s, T, {q, H * D, 1}, {k, 1, H * D}, T, T, D, nullptr,
       {B, H, heads(T, H, D), heads(T, H, D), planes(T, H)});
}

void scores_backward_query(Context& context, float* dq, const float* ds, const float* k, int64_t B, int64_t T,
                           int64_t H, int64_t D) {
  gemm(on_cpu(context), dq, H * D, {ds, T, 1}, {k, H * D, 1}, T, D, T, nullptr,
       {B, H, planes(T, H), heads(T, H, D), heads(T, H, D)});
}

void scores_backward_key(Context& context, float* dk, const float* ds, const float* q, int64_t B, int64_t T,
                         int64_t H, int64_t D) {
  gemm(on_cpu(context), dk, H * D, {ds, 1, T}, {q, H * D, 1}, T, D, T, nullptr,
       {B, H, planes(T, H), heads(T, H, D), heads(T, H, D)});
}

}  // namespace headlight::kernels::cpu
