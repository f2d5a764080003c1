// Every kernel of the CUDA backend. Each is defined, and instantiated for its element types, in the .cu file
// of its op; what it computes stands beside its type in kernels/kernels.h.
#pragma once

#include "kernels/kernels.h"

namespace headlight::kernels::cuda {

template <class E>
void embedding_forward(Context&, E* y, const int32_t* tokens, const E* table, int64_t R, int64_t C);
template <class E>
void embedding_backward(Context&, float* dtable, const float* base, const E* dy, const int32_t* tokens,
                        int64_t R, int64_t C, int64_t V);
template <class E>
void position_forward(Context&, E* y, const E* table, int64_t B, int64_t T, int64_t C);
template <class E>
void position_backward(Context&, float* dtable, const E* dy, int64_t B, int64_t T, int64_t C, int64_t P);
template <class E>
void layernorm_forward(Context&, float* mean, float* scale, E* normalized, E* y, const E* x, const E* gain,
                       const E* bias, int64_t R, int64_t C, float eps);
template <class E>
void layernorm_backward(Context&, E* dx, float* dgain, float* dbias, const E* dy, const E* x,
                        const float* mean, const float* scale, const E* gain, int64_t R, int64_t C);
template <class E>
void rmsnorm_forward(Context&, float* scale, E* normalized, E* y, const E* x, const E* gain, int64_t R,
                     int64_t C, float eps);
template <class E>
void rmsnorm_backward(Context&, E* dx, float* dgain, const E* dy, const E* x, const float* scale,
                      const E* gain, int64_t R, int64_t C);
template <class E>
void linear_forward(Context&, E* y, const E* x, const E* w, const E* bias, int64_t R, int64_t in, int64_t out,
                    WeightLayout layout);
template <class E>
void linear_backward_input(Context&, E* dx, const E* dy, const E* w, int64_t R, int64_t in, int64_t out,
                           WeightLayout layout);
template <class E>
void linear_backward_weight(Context&, float* dw, const E* dy, const E* x, int64_t R, int64_t in, int64_t out,
                            WeightLayout layout);
template <class E>
void linear_backward_bias(Context&, float* db, const E* dy, int64_t R, int64_t out);
template <class E>
void split_heads_forward(Context&, E* q, E* k, E* v, const E* qkv, int64_t B, int64_t T, int64_t H,
                         int64_t H_kv, int64_t D);
template <class E>
void split_heads_backward(Context&, E* dqkv, const E* dq, const E* dk, const E* dv, int64_t B, int64_t T,
                          int64_t H, int64_t H_kv, int64_t D);
template <class E>
void rope(Context&, E* y, const E* x, const float* cosine, const float* sine, bool inverse, int64_t B,
          int64_t S, int64_t T, int64_t heads, int64_t rotated, int64_t D);
template <class E>
void merge_heads(Context&, E* y, const E* x, int64_t B, int64_t T, int64_t H, int64_t D);
template <class E>
void scores_forward(Context&, E* s, const E* q, const E* k, int64_t B, int64_t T, int64_t H, int64_t H_kv,
                    int64_t D);
template <class E>
void scores_backward_query(Context&, E* dq, const E* ds, const E* k, int64_t B, int64_t T, int64_t H,
                           int64_t H_kv, int64_t D);
template <class E>
void scores_backward_key(Context&, E* dk, const E* ds, const E* q, int64_t B, int64_t T, int64_t H,
                         int64_t H_kv, int64_t D);
template <class E>
void scale(Context&, E* y, const E* x, float factor, int64_t n);
template <class E>
void mask_forward(Context&, E* y, const E* x, MaskKind kind, int64_t G, int64_t T);
template <class E>
void mask_backward(Context&, E* dx, const E* dy, MaskKind kind, int64_t G, int64_t T);
template <class E>
void softmax_forward(Context&, E* y, const E* x, float inverse_temperature, int64_t R, int64_t N);
template <class E>
void softmax_backward(Context&, E* dx, const E* dy, const E* y, float inverse_temperature, int64_t R,
                      int64_t N);
template <class E>
void weighted_sum_forward(Context&, E* z, const E* p, const E* v, int64_t B, int64_t T, int64_t H,
                          int64_t H_kv, int64_t D);
template <class E>
void weighted_sum_backward_pattern(Context&, E* dp, const E* dz, const E* v, int64_t B, int64_t T, int64_t H,
                                   int64_t H_kv, int64_t D);
template <class E>
void weighted_sum_backward_value(Context&, E* dv, const E* dz, const E* p, int64_t B, int64_t T, int64_t H,
                                 int64_t H_kv, int64_t D);
template <class E>
void attention_forward(Context&, E* z, float* lse, const E* qkv, float scale, MaskKind kind, int64_t B,
                       int64_t T, int64_t H, int64_t H_kv, int64_t D);
template <class E>
void attention_backward(Context&, E* dqkv, const E* dz, const E* z, const float* lse, const E* qkv,
                        float scale, MaskKind kind, int64_t B, int64_t T, int64_t H, int64_t H_kv, int64_t D);
template <class E>
void add_forward(Context&, E* y, const E* a, const E* b, int64_t n);
template <class E>
void multiply_forward(Context&, E* y, const E* a, const E* b, int64_t n);
template <class E>
void gelu_tanh_forward(Context&, E* y, const E* x, int64_t n);
template <class E>
void gelu_tanh_backward(Context&, E* dx, const E* dy, const E* x, int64_t n);
template <class E>
void gelu_erf_forward(Context&, E* y, const E* x, int64_t n);
template <class E>
void gelu_erf_backward(Context&, E* dx, const E* dy, const E* x, int64_t n);
template <class E>
void silu_forward(Context&, E* y, const E* x, int64_t n);
template <class E>
void silu_backward(Context&, E* dx, const E* dy, const E* x, int64_t n);
template <class E>
void relu_forward(Context&, E* y, const E* x, int64_t n);
template <class E>
void relu_backward(Context&, E* dx, const E* dy, const E* x, int64_t n);
template <class E>
void dropout(Context&, E* y, const E* x, float p, const uint64_t* seed, uint64_t salt, int64_t n);
template <class E>
void cross_entropy_forward(Context&, float* loss, float* loss_row, const E* p, const int32_t* targets,
                           int64_t R, int64_t V);
template <class E>
void cross_entropy_backward(Context&, E* dp, const float* dloss, const E* p, const int32_t* targets,
                            int64_t R, int64_t V);
template <class E>
void softmax_cross_entropy_forward(Context&, float* loss, float* loss_row, float* lse, const E* logits,
                                   const int32_t* targets, int64_t R, int64_t V);
template <class E>
void softmax_cross_entropy_backward(Context&, E* dlogits, const float* dloss, const E* logits,
                                    const float* lse, const int32_t* targets, int64_t R, int64_t V);
template <class E>
void widen(Context&, float* y, const E* x, int64_t n);
template <class E>
void narrow(Context&, E* y, const float* x, int64_t n);
SumOfSquares sum_of_squares;
ClipFactor clip_factor;
AdamW adamw;
RopeTable rope_table;

}  // namespace headlight::kernels::cuda
