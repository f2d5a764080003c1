// The contract between the core and a backend: one function type for each op and direction, and the table
// that a backend fills. Every kernel works on contiguous row-major memory of its backend; sizes are
// element counts. An output may be the same pointer as an input of the same size where the comment says
// "in place"; all other pointers are distinct. A pointer documented as "or null" is skipped when null.
//
// E is the element type of a step (float, bfloat16 or float16): of activations, their gradients and the
// weights it reads. Statistics, losses and gradients of parameters are float whatever E is, and every sum is
// taken in float.
//
// Letters: B batch, T time, C width, H heads, H_kv heads of keys and values, D head size (C = H·D), V
// vocabulary, R rows (R = B·T).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/element.h"
#include "kernels/rope.h"

namespace headlight::kernels {

/// Where a backend runs: the CPU's thread pool, or a CUDA stream with its library handles.
class Context {
 public:
  Context() = default;
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;
  virtual ~Context() = default;
};

/// What a score becomes where the key lies in the future (j > i).
enum class MaskKind : int32_t {
  none,    ///< left as it is
  causal,  ///< −∞: e^−∞ = 0, nothing leaks
  zero,    ///< 0, the classic mistake: e^0 = 1 leaks
  finite,  ///< −1e9
};
/// The value that MaskKind::finite writes.
inline constexpr float finite_mask_value = -1e9F;

/// How a weight matrix lies in memory.
enum class WeightLayout : int32_t {
  in_out,  ///< [in, out], GPT-2's Conv1D
  out_in,  ///< [out, in], a tied embedding table used as the unembedding
};

/// AdamW's constants. The parts that change each step are read from the `schedule` buffer.
struct AdamWConstants {
  float beta1 = 0.9F;
  float beta2 = 0.999F;
  float epsilon = 1e-8F;
  float weight_decay = 0.0F;
};

// --- embeddings -------------------------------------------------------------------------------------------
/// y[r,:] = table[tokens[r],:]. table [V,C], tokens [R], y [R,C]. Token ids are valid (the core checked).
template <class E>
using EmbeddingForward = void(Context&, E* y, const int32_t* tokens, const E* table, int64_t R, int64_t C);
/// dtable = base + Σ_r onehot(tokens[r])·dy[r,:], rows summed in order of r. base [V,C] or null (zeros); in
/// place.
template <class E>
using EmbeddingBackward = void(Context&, float* dtable, const float* base, const E* dy, const int32_t* tokens,
                               int64_t R, int64_t C, int64_t V);
/// y[b,t,:] = table[t,:]. table [P,C] with P ≥ T, y [B,T,C].
template <class E>
using PositionForward = void(Context&, E* y, const E* table, int64_t B, int64_t T, int64_t C);
/// dtable[t,:] = Σ_b dy[b,t,:] for t < T, 0 for T ≤ t < P. dtable [P,C].
template <class E>
using PositionBackward = void(Context&, float* dtable, const E* dy, int64_t B, int64_t T, int64_t C,
                              int64_t P);

// --- normalisation ----------------------------------------------------------------------------------------
/// LayerNorm (Ba et al. 2016): mean[r], scale[r] = √(var + eps) (population variance),
/// normalized = (x − mean)/scale, y = normalized·gain + bias. x, normalized, y [R,C]; gain, bias [C];
/// mean, scale [R]. `normalized` or null; `bias` or null.
template <class E>
using LayerNormForward = void(Context&, float* mean, float* scale, E* normalized, E* y, const E* x,
                              const E* gain, const E* bias, int64_t R, int64_t C, float eps);
/// Gradients of LayerNormForward from dy. dx [R,C]; dgain [C]; dbias [C] or null.
template <class E>
using LayerNormBackward = void(Context&, E* dx, float* dgain, float* dbias, const E* dy, const E* x,
                               const float* mean, const float* scale, const E* gain, int64_t R, int64_t C);

/// RMSNorm (Zhang & Sennrich 2019): scale[r] = √(mean of x² + eps), normalized = x/scale,
/// y = normalized·gain. x, normalized, y [R,C]; gain [C]; scale [R]. `normalized` or null.
template <class E>
using RmsNormForward = void(Context&, float* scale, E* normalized, E* y, const E* x, const E* gain, int64_t R,
                            int64_t C, float eps);
/// Gradients of RmsNormForward from dy. dx [R,C]; dgain [C].
template <class E>
using RmsNormBackward = void(Context&, E* dx, float* dgain, const E* dy, const E* x, const float* scale,
                             const E* gain, int64_t R, int64_t C);

// --- linear -----------------------------------------------------------------------------------------------
/// y = x·W + bias. x [R,in], y [R,out], bias [out] or null; W as `layout` says.
template <class E>
using LinearForward = void(Context&, E* y, const E* x, const E* w, const E* bias, int64_t R, int64_t in,
                           int64_t out, WeightLayout layout);
/// dx = dy·Wᵀ.
template <class E>
using LinearBackwardInput = void(Context&, E* dx, const E* dy, const E* w, int64_t R, int64_t in, int64_t out,
                                 WeightLayout layout);
/// dW = xᵀ·dy (in_out) or dyᵀ·x (out_in).
template <class E>
using LinearBackwardWeight = void(Context&, float* dw, const E* dy, const E* x, int64_t R, int64_t in,
                                  int64_t out, WeightLayout layout);
/// db[o] = Σ_r dy[r,o].
template <class E>
using LinearBackwardBias = void(Context&, float* db, const E* dy, int64_t R, int64_t out);

// --- attention, step by step ------------------------------------------------------------------------------
/// q [B,T,H,D], k and v [B,T,H_kv,D] lie side by side in qkv [B,T,(H+2·H_kv)·D]. H_kv divides H; query head h
/// reads key head h / (H / H_kv).
template <class E>
using SplitHeadsForward = void(Context&, E* q, E* k, E* v, const E* qkv, int64_t B, int64_t T, int64_t H,
                               int64_t H_kv, int64_t D);
/// dqkv from dq, dk, dv.
template <class E>
using SplitHeadsBackward = void(Context&, E* dqkv, const E* dq, const E* dk, const E* dv, int64_t B,
                                int64_t T, int64_t H, int64_t H_kv, int64_t D);
/// cosine, sine [S,T,D/2] of (first[s] + t)·rope_frequency(d): S = B sequences with positions of their own,
/// or S = 1 with `first` null for positions from 0.
using RopeTable = void(Context&, float* cosine, float* sine, const int32_t* first,
                       const RopeConstants& constants, int64_t S, int64_t T, int64_t D);
/// x [B,T,heads,D] with the pairs (d, d + D/2) of the first `rotated` heads of a token turned by the angles
/// of the table [S,T,D/2], the other heads as they are; turned back where `inverse` (the gradient). In place.
template <class E>
using Rope = void(Context&, E* y, const E* x, const float* cosine, const float* sine, bool inverse, int64_t B,
                  int64_t S, int64_t T, int64_t heads, int64_t rotated, int64_t D);
/// y [B,T,H·D] = x [B,T,H,D] with its heads side by side; also its own inverse. In place.
template <class E>
using MergeHeads = void(Context&, E* y, const E* x, int64_t B, int64_t T, int64_t H, int64_t D);
/// s[b,h,i,j] = Σ_d q[b,i,h,d]·k[b,j,h',d], h' = h / (H / H_kv). q [B,T,H,D], k [B,T,H_kv,D], s [B,H,T,T].
template <class E>
using ScoresForward = void(Context&, E* s, const E* q, const E* k, int64_t B, int64_t T, int64_t H,
                           int64_t H_kv, int64_t D);
/// dq[b,i,h,:] = Σ_j ds[b,h,i,j]·k[b,j,h',:].
template <class E>
using ScoresBackwardQuery = void(Context&, E* dq, const E* ds, const E* k, int64_t B, int64_t T, int64_t H,
                                 int64_t H_kv, int64_t D);
/// dk[b,j,h',:] = Σ_i ds[b,h,i,j]·q[b,i,h,:], summed over the query heads h of the key head h'.
template <class E>
using ScoresBackwardKey = void(Context&, E* dk, const E* ds, const E* q, int64_t B, int64_t T, int64_t H,
                               int64_t H_kv, int64_t D);
/// y = x·factor over n elements. In place. Its own backward.
template <class E>
using Scale = void(Context&, E* y, const E* x, float factor, int64_t n);
/// y[g,i,j] = x[g,i,j] where j ≤ i, else what `kind` says. G = B·H planes of [T,T]. In place.
template <class E>
using MaskForward = void(Context&, E* y, const E* x, MaskKind kind, int64_t G, int64_t T);
/// dx = dy where j ≤ i, else 0 (none: dy everywhere). In place.
template <class E>
using MaskBackward = void(Context&, E* dx, const E* dy, MaskKind kind, int64_t G, int64_t T);
/// y[r,:] = softmax(x[r,:]·inverse_temperature) by row, the row's maximum taken off first. −∞ gives exactly
/// 0. A row of −∞ alone gives NaN. x, y [R,N]. In place.
template <class E>
using SoftmaxForward = void(Context&, E* y, const E* x, float inverse_temperature, int64_t R, int64_t N);
/// dx = inverse_temperature · y ⊙ (dy − Σ_j dy_j·y_j). In place on dy.
template <class E>
using SoftmaxBackward = void(Context&, E* dx, const E* dy, const E* y, float inverse_temperature, int64_t R,
                             int64_t N);
/// z[b,i,h,:] = Σ_j p[b,h,i,j]·v[b,j,h',:], h' as for the scores. z [B,T,H,D], v [B,T,H_kv,D].
template <class E>
using WeightedSumForward = void(Context&, E* z, const E* p, const E* v, int64_t B, int64_t T, int64_t H,
                                int64_t H_kv, int64_t D);
/// dp[b,h,i,j] = Σ_d dz[b,i,h,d]·v[b,j,h',d].
template <class E>
using WeightedSumBackwardPattern = void(Context&, E* dp, const E* dz, const E* v, int64_t B, int64_t T,
                                        int64_t H, int64_t H_kv, int64_t D);
/// dv[b,j,h',:] = Σ_i p[b,h,i,j]·dz[b,i,h,:], summed over the query heads h of h'.
template <class E>
using WeightedSumBackwardValue = void(Context&, E* dv, const E* dz, const E* p, int64_t B, int64_t T,
                                      int64_t H, int64_t H_kv, int64_t D);

// --- attention, fused (online softmax, Milakov & Gimelshein 2018; Dao 2022)
// -----------------------------------
/// z [B,T,H·D] = attention of qkv [B,T,(H+2·H_kv)·D], scores times `scale` (1/(√D·τ)), mask none or causal;
/// the [T,T] scores are never stored. lse[b,h,i] = log Σ_j exp(scaled score), kept for the backward pass.
template <class E>
using AttentionForward = void(Context&, E* z, float* lse, const E* qkv, float scale, MaskKind kind, int64_t B,
                              int64_t T, int64_t H, int64_t H_kv, int64_t D);
/// dqkv from dz; the scores are recomputed tile by tile.
template <class E>
using AttentionBackward = void(Context&, E* dqkv, const E* dz, const E* z, const float* lse, const E* qkv,
                               float scale, MaskKind kind, int64_t B, int64_t T, int64_t H, int64_t H_kv,
                               int64_t D);

// --- elementwise, n elements ------------------------------------------------------------------------------
/// y = a + b. In place on either.
template <class E>
using AddForward = void(Context&, E* y, const E* a, const E* b, int64_t n);
/// y = a·b. In place on either. The gradient of each side is the same product of dy and the other side.
template <class E>
using MultiplyForward = void(Context&, E* y, const E* a, const E* b, int64_t n);
/// y = x/2·(1 + tanh(√(2/π)(x + 0.044715x³))) (Hendrycks & Gimpel 2016; GPT-2's "gelu_new").
template <class E>
using GeluTanhForward = void(Context&, E* y, const E* x, int64_t n);
/// dx = dy·gelu'(x). In place on dy.
template <class E>
using GeluTanhBackward = void(Context&, E* dx, const E* dy, const E* x, int64_t n);
/// y = x·Φ(x) with the error function.
template <class E>
using GeluErfForward = void(Context&, E* y, const E* x, int64_t n);
template <class E>
using GeluErfBackward = void(Context&, E* dx, const E* dy, const E* x, int64_t n);
/// y = x/(1 + e^−x), also called swish (Elfwing et al. 2018).
template <class E>
using SiluForward = void(Context&, E* y, const E* x, int64_t n);
/// dx = dy·silu'(x). In place on dy.
template <class E>
using SiluBackward = void(Context&, E* dx, const E* dy, const E* x, int64_t n);
/// y = max(x, 0). The derivative at 0 is 0.
template <class E>
using ReluForward = void(Context&, E* y, const E* x, int64_t n);
template <class E>
using ReluBackward = void(Context&, E* dx, const E* dy, const E* x, int64_t n);
/// Inverted dropout: y = keep ? x/(1 − p) : 0, where keep of element i depends on (*seed, salt, i) alone, so
/// that backward is the same function on dy. `seed` lies in backend memory. In place.
template <class E>
using Dropout = void(Context&, E* y, const E* x, float p, const uint64_t* seed, uint64_t salt, int64_t n);

// --- loss -------------------------------------------------------------------------------------------------
/// loss_row[r] = −log p[r, targets[r]], 0 where targets[r] < 0 (ignored); loss[0] = mean over the counted
/// rows (0 where none counts). p [R,V] probabilities.
template <class E>
using CrossEntropyForward = void(Context&, float* loss, float* loss_row, const E* p, const int32_t* targets,
                                 int64_t R, int64_t V);
/// dp[r,v] = −1/(N·p[r,v]) at the target, else 0; N the counted rows; times dloss[0].
template <class E>
using CrossEntropyBackward = void(Context&, E* dp, const float* dloss, const E* p, const int32_t* targets,
                                  int64_t R, int64_t V);
/// Softmax and cross-entropy in one pass over the logits; lse[r] = log Σ_v exp(logit), kept for backward.
template <class E>
using SoftmaxCrossEntropyForward = void(Context&, float* loss, float* loss_row, float* lse, const E* logits,
                                        const int32_t* targets, int64_t R, int64_t V);
/// dlogits = (softmax(logits) − onehot(target))/N·dloss[0]; zero rows where ignored. In place on logits.
template <class E>
using SoftmaxCrossEntropyBackward = void(Context&, E* dlogits, const float* dloss, const E* logits,
                                         const float* lse, const int32_t* targets, int64_t R, int64_t V);

// --- element types ----------------------------------------------------------------------------------------
/// y = x, exactly, over n elements.
template <class E>
using Widen = void(Context&, float* y, const E* x, int64_t n);
/// y = x rounded to the nearest E, ties to even, over n elements.
template <class E>
using Narrow = void(Context&, E* y, const float* x, int64_t n);

// --- optimiser --------------------------------------------------------------------------------------------
/// out[0] = Σ x², summed in double in a fixed order.
using SumOfSquares = void(Context&, float* out, const float* x, int64_t n);
/// norm[0] = √(Σ_i squares[i]) over n values; clip[0] = min(1, max_norm/norm) (1 where max_norm ≤ 0), NaN
/// where the norm is not finite. With a gate (else gate_new, loss and gate are null) gate_new[0] is 1 where
/// gate[0] is 1 and norm and loss[0] are finite, else 0, and clip is NaN behind a closed gate. In place:
/// gate_new = gate.
using ClipFactor = void(Context&, float* norm, float* clip, float* gate_new, const float* squares,
                        const float* loss, const float* gate, float max_norm, int64_t n);
/// AdamW (Loshchilov & Hutter 2019) with gradient g·clip[0]; schedule = {lr, 1 − β1^t, 1 − β2^t} in backend
/// memory. w' = w − lr·(m̂/(√v̂ + ε) + weight_decay·w). Where clip[0] is NaN nothing changes: w' = w, m' = m,
/// v' = v. All [n]. In place: w_new = w, m_new = m, v_new = v.
using AdamW = void(Context&, float* w_new, float* m_new, float* v_new, const float* w, const float* m,
                   const float* v, const float* g, const float* clip, const float* schedule,
                   const AdamWConstants& constants, int64_t n);

/// A kernel that must be there: it has no empty state, so a table with a forgotten entry does not compile.
template <class Function>
class Required;
template <class... Args>
class Required<void(Args...)> {
 public:
  constexpr Required(void (*function)(Args...)) : function_(function) {}  // NOLINT: implicit on purpose
  Required(std::nullptr_t) = delete;
  void operator()(Args... args) const { function_(args...); }

 private:
  void (*function_)(Args...);
};

/// A backend's arithmetic on activations of type E: one entry for each op and direction.
template <class E>
struct TypedKernels {
  Required<EmbeddingForward<E>> embedding_forward;
  Required<EmbeddingBackward<E>> embedding_backward;
  Required<PositionForward<E>> position_forward;
  Required<PositionBackward<E>> position_backward;
  Required<LayerNormForward<E>> layernorm_forward;
  Required<LayerNormBackward<E>> layernorm_backward;
  Required<RmsNormForward<E>> rmsnorm_forward;
  Required<RmsNormBackward<E>> rmsnorm_backward;
  Required<LinearForward<E>> linear_forward;
  Required<LinearBackwardInput<E>> linear_backward_input;
  Required<LinearBackwardWeight<E>> linear_backward_weight;
  Required<LinearBackwardBias<E>> linear_backward_bias;
  Required<SplitHeadsForward<E>> split_heads_forward;
  Required<SplitHeadsBackward<E>> split_heads_backward;
  Required<Rope<E>> rope;
  Required<MergeHeads<E>> merge_heads;
  Required<ScoresForward<E>> scores_forward;
  Required<ScoresBackwardQuery<E>> scores_backward_query;
  Required<ScoresBackwardKey<E>> scores_backward_key;
  Required<Scale<E>> scale;
  Required<MaskForward<E>> mask_forward;
  Required<MaskBackward<E>> mask_backward;
  Required<SoftmaxForward<E>> softmax_forward;
  Required<SoftmaxBackward<E>> softmax_backward;
  Required<WeightedSumForward<E>> weighted_sum_forward;
  Required<WeightedSumBackwardPattern<E>> weighted_sum_backward_pattern;
  Required<WeightedSumBackwardValue<E>> weighted_sum_backward_value;
  Required<AttentionForward<E>> attention_forward;
  Required<AttentionBackward<E>> attention_backward;
  Required<AddForward<E>> add_forward;
  Required<MultiplyForward<E>> multiply_forward;
  Required<GeluTanhForward<E>> gelu_tanh_forward;
  Required<GeluTanhBackward<E>> gelu_tanh_backward;
  Required<GeluErfForward<E>> gelu_erf_forward;
  Required<GeluErfBackward<E>> gelu_erf_backward;
  Required<SiluForward<E>> silu_forward;
  Required<SiluBackward<E>> silu_backward;
  Required<ReluForward<E>> relu_forward;
  Required<ReluBackward<E>> relu_backward;
  Required<Dropout<E>> dropout;
  Required<CrossEntropyForward<E>> cross_entropy_forward;
  Required<CrossEntropyBackward<E>> cross_entropy_backward;
  Required<SoftmaxCrossEntropyForward<E>> softmax_cross_entropy_forward;
  Required<SoftmaxCrossEntropyBackward<E>> softmax_cross_entropy_backward;
  Required<Widen<E>> widen;
  Required<Narrow<E>> narrow;
};

/// The fp32 table, and what works on fp32 alone: the optimiser and the table of rotary angles.
struct Kernels : TypedKernels<float> {
  Required<SumOfSquares> sum_of_squares;
  Required<ClipFactor> clip_factor;
  Required<AdamW> adamw;
  Required<RopeTable> rope_table;
};

}  // namespace headlight::kernels
