// The steps of attention on 16-bit elements, and attention in one step: see sixteen_bit.cpp, which alone
// includes this file.
#pragma once

#include "kernels/cpu/sixteen_bit.h"

namespace headlight::kernels::cpu::sixteen_bit {

template <class E>
void split_heads_forward(Context& context, E* q, E* k, E* v, const E* qkv, int64_t B, int64_t T, int64_t H,
                         int64_t H_kv, int64_t D) {
  const int64_t queries = B * T * H * D, keys = B * T * H_kv * D;
  Widened<E> wide(context);
  cpu::split_heads_forward(context, wide.output(q, queries), wide.output(k, keys), wide.output(v, keys),
                           wide.input(qkv, queries + 2 * keys), B, T, H, H_kv, D);
  wide.write_back();
}

template <class E>
void split_heads_backward(Context& context, E* dqkv, const E* dq, const E* dk, const E* dv, int64_t B,
                          int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  const int64_t queries = B * T * H * D, keys = B * T * H_kv * D;
  Widened<E> wide(context);
  cpu::split_heads_backward(context, wide.output(dqkv, queries + 2 * keys), wide.input(dq, queries),
                            wide.input(dk, keys), wide.input(dv, keys), B, T, H, H_kv, D);
  wide.write_back();
}

template <class E>
void rope(Context& context, E* y, const E* x, const float* cosine, const float* sine, bool inverse, int64_t B,
          int64_t S, int64_t T, int64_t heads, int64_t rotated, int64_t D) {
  const int64_t n = B * T * heads * D;
  Widened<E> wide(context);
  cpu::rope(context, wide.output(y, n), wide.input(x, n), cosine, sine, inverse, B, S, T, heads, rotated, D);
  wide.write_back();
}

template <class E>
void merge_heads(Context& context, E* y, const E* x, int64_t B, int64_t T, int64_t H, int64_t D) {
  Widened<E> wide(context);
  cpu::merge_heads(context, wide.output(y, B * T * H * D), wide.input(x, B * T * H * D), B, T, H, D);
  wide.write_back();
}

template <class E>
void scores_forward(Context& context, E* s, const E* q, const E* k, int64_t B, int64_t T, int64_t H,
                    int64_t H_kv, int64_t D) {
  Widened<E> wide(context);
  cpu::scores_forward(context, wide.output(s, B * H * T * T), wide.input(q, B * T * H * D),
                      wide.input(k, B * T * H_kv * D), B, T, H, H_kv, D);
  wide.write_back();
}

template <class E>
void scores_backward_query(Context& context, E* dq, const E* ds, const E* k, int64_t B, int64_t T, int64_t H,
                           int64_t H_kv, int64_t D) {
  Widened<E> wide(context);
  cpu::scores_backward_query(context, wide.output(dq, B * T * H * D), wide.input(ds, B * H * T * T),
                             wide.input(k, B * T * H_kv * D), B, T, H, H_kv, D);
  wide.write_back();
}

template <class E>
void scores_backward_key(Context& context, E* dk, const E* ds, const E* q, int64_t B, int64_t T, int64_t H,
                         int64_t H_kv, int64_t D) {
  Widened<E> wide(context);
  cpu::scores_backward_key(context, wide.output(dk, B * T * H_kv * D), wide.input(ds, B * H * T * T),
                           wide.input(q, B * T * H * D), B, T, H, H_kv, D);
  wide.write_back();
}

template <class E>
void scale(Context& context, E* y, const E* x, float factor, int64_t n) {
  Widened<E> wide(context);
  cpu::scale(context, wide.output(y, n), wide.input(x, n), factor, n);
  wide.write_back();
}

template <class E>
void mask_forward(Context& context, E* y, const E* x, MaskKind kind, int64_t G, int64_t T) {
  Widened<E> wide(context);
  cpu::mask_forward(context, wide.output(y, G * T * T), wide.input(x, G * T * T), kind, G, T);
  wide.write_back();
}

template <class E>
void mask_backward(Context& context, E* dx, const E* dy, MaskKind kind, int64_t G, int64_t T) {
  Widened<E> wide(context);
  cpu::mask_backward(context, wide.output(dx, G * T * T), wide.input(dy, G * T * T), kind, G, T);
  wide.write_back();
}

template <class E>
void softmax_forward(Context& context, E* y, const E* x, float inverse_temperature, int64_t R, int64_t N) {
  Widened<E> wide(context);
  cpu::softmax_forward(context, wide.output(y, R * N), wide.input(x, R * N), inverse_temperature, R, N);
  wide.write_back();
}

template <class E>
void softmax_backward(Context& context, E* dx, const E* dy, const E* y, float inverse_temperature, int64_t R,
                      int64_t N) {
  Widened<E> wide(context);
  cpu::softmax_backward(context, wide.output(dx, R * N), wide.input(dy, R * N), wide.input(y, R * N),
                        inverse_temperature, R, N);
  wide.write_back();
}

template <class E>
void weighted_sum_forward(Context& context, E* z, const E* p, const E* v, int64_t B, int64_t T, int64_t H,
                          int64_t H_kv, int64_t D) {
  Widened<E> wide(context);
  cpu::weighted_sum_forward(context, wide.output(z, B * T * H * D), wide.input(p, B * H * T * T),
                            wide.input(v, B * T * H_kv * D), B, T, H, H_kv, D);
  wide.write_back();
}

template <class E>
void weighted_sum_backward_pattern(Context& context, E* dp, const E* dz, const E* v, int64_t B, int64_t T,
                                   int64_t H, int64_t H_kv, int64_t D) {
  Widened<E> wide(context);
  cpu::weighted_sum_backward_pattern(context, wide.output(dp, B * H * T * T), wide.input(dz, B * T * H * D),
                                     wide.input(v, B * T * H_kv * D), B, T, H, H_kv, D);
  wide.write_back();
}

template <class E>
void weighted_sum_backward_value(Context& context, E* dv, const E* dz, const E* p, int64_t B, int64_t T,
                                 int64_t H, int64_t H_kv, int64_t D) {
  Widened<E> wide(context);
  cpu::weighted_sum_backward_value(context, wide.output(dv, B * T * H_kv * D), wide.input(dz, B * T * H * D),
                                   wide.input(p, B * H * T * T), B, T, H, H_kv, D);
  wide.write_back();
}

template <class E>
void attention_forward(Context& context, E* z, float* lse, const E* qkv, float scale, MaskKind kind,
                       int64_t B, int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  Widened<E> wide(context);
  cpu::attention_forward(context, wide.output(z, B * T * H * D), lse,
                         wide.input(qkv, B * T * (H + 2 * H_kv) * D), scale, kind, B, T, H, H_kv, D);
  wide.write_back();
}

template <class E>
void attention_backward(Context& context, E* dqkv, const E* dz, const E* z, const float* lse, const E* qkv,
                        float scale, MaskKind kind, int64_t B, int64_t T, int64_t H, int64_t H_kv,
                        int64_t D) {
  Widened<E> wide(context);
  cpu::attention_backward(context, wide.output(dqkv, B * T * (H + 2 * H_kv) * D),
                          wide.input(dz, B * T * H * D), wide.input(z, B * T * H * D), lse,
                          wide.input(qkv, B * T * (H + 2 * H_kv) * D), scale, kind, B, T, H, H_kv, D);
  wide.write_back();
}

}  // namespace headlight::kernels::cpu::sixteen_bit
