// What running a trained model needs beside the table of kernels.h: attention over a cache of keys and
// values, and products with weights packed to 16 or 8 bits. A backend that has them hands out the table
// through Backend::inference(); the decode programs (core/infer) are built on it. fp32 activations
// throughout.
//
// Letters as in kernels.h, and: S places of a cache, G heads of keys and values (G divides H: query head h
// reads head h / (H/G)). at[b] counts the places of sequence b that are in use before the call, count[b] how
// many of its T new tokens are real; the others fill up the batch and reach nothing. at[b] + count[b] ≤ S.
#pragma once

#include "kernels/kernels.h"

namespace headlight::kernels {

// --- attention over a cache -------------------------------------------------------------------------------
/// y[b,t,:] = table[min(at[b] + t, P − 1),:]. table [P,C], y [B,T,C].
using PositionAt = void(Context&, float* y, const float* table, const int32_t* at, int64_t B, int64_t T,
                        int64_t C, int64_t P);
/// cache[b,g,at[b] + t,:] = x[b,t,g,:] for t < count[b]. x [B,T,G,D], cache [B,G,S,D].
using CacheAppend = void(Context&, float* cache, const float* x, const int32_t* at, const int32_t* count,
                         int64_t B, int64_t T, int64_t G, int64_t S, int64_t D);
/// s[b,h,i,j] = Σ_d q[b,i,h,d]·k[b,h/(H/G),j,d] where place j is in use (j < at[b] + count[b]), else 0.
/// q [B,T,H,D], k [B,G,S,D], s [B,H,T,S].
using CachedScores = void(Context&, float* s, const float* q, const float* k, const int32_t* at,
                          const int32_t* count, int64_t B, int64_t T, int64_t H, int64_t G, int64_t S,
                          int64_t D);
/// y[b,h,i,j] = x[b,h,i,j] where j ≤ at[b] + i, else −∞. In place.
using CachedMask = void(Context&, float* y, const float* x, const int32_t* at, int64_t B, int64_t H,
                        int64_t T, int64_t S);
/// z[b,i,h,:] = Σ_j p[b,h,i,j]·v[b,h/(H/G),j,:] over the places in use that query i sees (j ≤ at[b] + i).
using CachedWeightedSum = void(Context&, float* z, const float* p, const float* v, const int32_t* at,
                               const int32_t* count, int64_t B, int64_t T, int64_t H, int64_t G, int64_t S,
                               int64_t D);
/// The four steps in one, z [B,T,H·D], scores times `scale` (1/(√D·τ)); the scores are never stored. Rows of
/// tokens that are not real are 0.
using CachedAttention = void(Context&, float* z, const float* q, const float* k, const float* v,
                             const int32_t* at, const int32_t* count, float scale, int64_t B, int64_t T,
                             int64_t H, int64_t G, int64_t S, int64_t D);
/// y[b,:] = x[b,max(count[b], 1) − 1,:]: the last real token of each sequence. x [B,T,C], y [B,C].
using LastRows = void(Context&, float* y, const float* x, const int32_t* count, int64_t B, int64_t T,
                      int64_t C);

// --- weights of 16 bits -----------------------------------------------------------------------------------
// A packed matrix is one block of backend memory in the backend's own order. `in` and `out` are those of
// y = x·W; `layout` says how the fp32 matrix lies that goes in or comes out.

/// Bytes of a packed W.
using PackedBytes = size_t(int64_t in, int64_t out);
/// Rounds W to bfloat16 (nearest, ties to even) and packs it.
using PackBf16 = void(Context&, void* packed, const float* w, int64_t in, int64_t out, WeightLayout layout);
/// The rounded values, exactly.
using UnpackBf16 = void(Context&, float* w, const void* packed, int64_t in, int64_t out, WeightLayout layout);
/// y = x·W + bias, sums in fp32. x [R,in], y [R,out], bias [out] or null.
using LinearForwardBf16 = void(Context&, float* y, const float* x, const void* packed, const float* bias,
                               int64_t R, int64_t in, int64_t out);
/// y[r,:] = column tokens[r] of W [in,out], that is row tokens[r] of a table that was packed as out_in. y
/// [R,in].
using EmbeddingForwardBf16 = void(Context&, float* y, const int32_t* tokens, const void* packed, int64_t R,
                                  int64_t in, int64_t out);

// --- weights of 8 bits ------------------------------------------------------------------------------------
// W[i,o] ≈ code[i,o]·scale[i/group,o] with codes −127 … 127 and scale = max|W|/127 over the group; group 0:
// one scale for each output channel. The product also rounds x: each row in runs of int8_run(group) inputs to
// codes −127 … 127 with a scale of their own, so that the sum over a run is exact in whole numbers and the
// result does not depend on how many rows go together.

/// Inputs of x that share a scale.
inline constexpr int64_t int8_run(int64_t group) { return group > 0 && group < 64 ? group : 64; }
/// Bytes of a packed W with its scales.
using PackedBytesInt8 = size_t(int64_t in, int64_t out, int64_t group);
/// Quantises W and packs it. group 0, 32, 64 or 128.
using PackInt8 = void(Context&, void* packed, const float* w, int64_t in, int64_t out, int64_t group,
                      WeightLayout layout);
/// code·scale.
using UnpackInt8 = void(Context&, float* w, const void* packed, int64_t in, int64_t out, int64_t group,
                        WeightLayout layout);
/// y = x̂·Ŵ + bias.
using LinearForwardInt8 = void(Context&, float* y, const float* x, const void* packed, const float* bias,
                               int64_t R, int64_t in, int64_t out, int64_t group);
/// As EmbeddingForwardBf16.
using EmbeddingForwardInt8 = void(Context&, float* y, const int32_t* tokens, const void* packed, int64_t R,
                                  int64_t in, int64_t out, int64_t group);

// --- a decoded token in few steps -------------------------------------------------------------------------
// Where starting a kernel costs as much as what it does, decode programs are rewritten to these
// (core/tape/rewrite_decoding.h). Any R and T; meant for few.

/// What a product does beside: to the rows of x before it, and to y behind it.
struct LinearFusion {
  enum class Norm { none, layernorm, rmsnorm };
  enum class Activation { none, gelu_tanh, gelu_erf, silu, relu };
  Norm norm = Norm::none;
  float eps = 0;
  const float* gain = nullptr;   ///< [in], where there is a norm
  const float* shift = nullptr;  ///< [in] or null: the bias of a layernorm
  Activation activation = Activation::none;
  const float* residual = nullptr;  ///< [R,out] or null
};
/// y = activation(norm(x)·W + bias) + residual, with W as in LinearForwardBf16. y may be the residual.
using FusedLinearBf16 = void(Context&, float* y, const float* x, const void* packed, const float* bias,
                             const LinearFusion& fusion, int64_t R, int64_t in, int64_t out);
/// The same with W, and norm(x) rounded, as in LinearForwardInt8.
using FusedLinearInt8 = void(Context&, float* y, const float* x, const void* packed, const float* bias,
                             const LinearFusion& fusion, int64_t R, int64_t in, int64_t out, int64_t group);
/// split_heads of qkv [B,T,(H+2G)·D], CacheAppend of its keys and values, and CachedAttention.
using DecodeAttention = void(Context&, float* z, float* k, float* v, const float* qkv, const int32_t* at,
                             const int32_t* count, float scale, int64_t B, int64_t T, int64_t H, int64_t G,
                             int64_t S, int64_t D);

/// y[b,t,:] = EmbeddingForwardBf16's row of tokens[b,t] + PositionAt's. y [B,T,in], table [P,in].
using DecodeEmbeddingBf16 = void(Context&, float* y, const int32_t* tokens, const void* packed,
                                 const float* table, const int32_t* at, int64_t B, int64_t T, int64_t in,
                                 int64_t out, int64_t P);
/// The same with EmbeddingForwardInt8's.
using DecodeEmbeddingInt8 = void(Context&, float* y, const int32_t* tokens, const void* packed,
                                 const float* table, const int32_t* at, int64_t B, int64_t T, int64_t in,
                                 int64_t out, int64_t group, int64_t P);

/// All of them.
struct DecodeKernels {
  Required<DecodeEmbeddingBf16> embedding_bf16;
  Required<DecodeEmbeddingInt8> embedding_int8;
  Required<FusedLinearBf16> linear_bf16;
  Required<FusedLinearInt8> linear_int8;
  Required<DecodeAttention> attention;
};

// --- the choice of a token --------------------------------------------------------------------------------
/// So many logits of a row are enough for most draws.
inline constexpr int64_t most_best = 64;
/// What a draw needs of a row of logits x at a temperature τ. With z_j = (x_j − max x)/τ:
struct BestOfRow {
  double sum = 0;                   ///< Σ_j e^z_j: not a number where a logit is none
  double weighted = 0;              ///< Σ_j e^z_j·z_j over z_j ≥ −700
  float values[most_best] = {};     ///< the largest logits, largest first
  int32_t columns[most_best] = {};  ///< where they stand; as rank_key (inspection.h) orders them
};
/// Where the row of a greedy draw goes at once, so that its token can be fed before anybody has seen it; both
/// null or neither: tokens[r] = best[r].columns[0], and places[r] grows by 1.
struct Feedback {
  int32_t* tokens = nullptr;
  int32_t* places = nullptr;
};
/// best[r] of x[r,:], of which the first k values and columns are set, 1 ≤ k ≤ min(V, most_best). x [R,V],
/// best [R].
using BestOfRows = void(Context&, BestOfRow* best, const float* x, double temperature,
                        const Feedback& feedback, int64_t R, int64_t V, int64_t k);

/// A kernel with a result; like Required, it has no empty state.
template <class Function>
class RequiredValue;
template <class Result, class... Args>
class RequiredValue<Result(Args...)> {
 public:
  constexpr RequiredValue(Result (*function)(Args...)) : function_(function) {}  // NOLINT: implicit
  RequiredValue(std::nullptr_t) = delete;
  Result operator()(Args... args) const { return function_(args...); }

 private:
  Result (*function_)(Args...);
};

/// A backend's kernels for inference.
struct InferenceKernels {
  Required<PositionAt> position_at;
  Required<CacheAppend> cache_append;
  Required<CachedScores> cached_scores;
  Required<CachedMask> cached_mask;
  Required<CachedWeightedSum> cached_weighted_sum;
  Required<CachedAttention> cached_attention;
  Required<LastRows> last_rows;
  RequiredValue<PackedBytes> packed_bytes_bf16;
  Required<PackBf16> pack_bf16;
  Required<UnpackBf16> unpack_bf16;
  Required<LinearForwardBf16> linear_forward_bf16;
  Required<EmbeddingForwardBf16> embedding_forward_bf16;
  RequiredValue<PackedBytesInt8> packed_bytes_int8;
  Required<PackInt8> pack_int8;
  Required<UnpackInt8> unpack_int8;
  Required<LinearForwardInt8> linear_forward_int8;
  Required<EmbeddingForwardInt8> embedding_forward_int8;
  Required<BestOfRows> best_of_rows;
  /// Null where starting a kernel costs next to nothing.
  const DecodeKernels* decoding = nullptr;
};

}  // namespace headlight::kernels
