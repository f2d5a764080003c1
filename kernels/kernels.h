// The contract between the core and a backend: one function type for each op and direction, and the table
// that a backend fills. Every kernel works on contiguous row-major fp32 memory of its backend; sizes are
// element counts. An output may be the same pointer as an input of the same size where the comment says
// "in place"; all other pointers are distinct. A pointer documented as "or null" is skipped when null.
//
// Letters: B batch, T time, C width, H heads, D head size (C = H·D), V vocabulary, R rows (R = B·T).
#pragma once

#include <cstddef>
#include <cstdint>

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
using EmbeddingForward = void(Context&, float* y, const int32_t* tokens, const float* table, int64_t R,
                              int64_t C);
/// dtable = base + Σ_r onehot(tokens[r])·dy[r,:], rows summed in order of r. base [V,C] or null (zeros); in
/// place.
using EmbeddingBackward = void(Context&, float* dtable, const float* base, const float* dy,
                               const int32_t* tokens, int64_t R, int64_t C, int64_t V);
/// y[b,t,:] = table[t,:]. table [P,C] with P ≥ T, y [B,T,C].
using PositionForward = void(Context&, float* y, const float* table, int64_t B, int64_t T, int64_t C);
/// dtable[t,:] = Σ_b dy[b,t,:] for t < T, 0 for T ≤ t < P. dtable [P,C].
using PositionBackward = void(Context&, float* dtable, const float* dy, int64_t B, int64_t T, int64_t C,
                              int64_t P);

// --- normalisation ----------------------------------------------------------------------------------------
/// LayerNorm (Ba et al. 2016): mean[r], scale[r] = √(var + eps) (population variance),
/// normalized = (x − mean)/scale, y = normalized·gain + bias. x, normalized, y [R,C]; gain, bias [C];
/// mean, scale [R]. `normalized` or null; `bias` or null.
using LayerNormForward = void(Context&, float* mean, float* scale, float* normalized, float* y,
                              const float* x, const float* gain, const float* bias, int64_t R, int64_t C,
                              float eps);
/// Gradients of LayerNormForward from dy. dx [R,C]; dgain [C]; dbias [C] or null.
using LayerNormBackward = void(Context&, float* dx, float* dgain, float* dbias, const float* dy,
                               const float* x, const float* mean, const float* scale, const float* gain,
                               int64_t R, int64_t C);

// --- linear -----------------------------------------------------------------------------------------------
/// y = x·W + bias. x [R,in], y [R,out], bias [out] or null; W as `layout` says.
using LinearForward = void(Context&, float* y, const float* x, const float* w, const float* bias, int64_t R,
                           int64_t in, int64_t out, WeightLayout layout);
/// dx = dy·Wᵀ.
using LinearBackwardInput = void(Context&, float* dx, const float* dy, const float* w, int64_t R, int64_t in,
                                 int64_t out, WeightLayout layout);
/// dW = xᵀ·dy (in_out) or dyᵀ·x (out_in).
using LinearBackwardWeight = void(Context&, float* dw, const float* dy, const float* x, int64_t R, int64_t in,
                                  int64_t out, WeightLayout layout);
/// db[o] = Σ_r dy[r,o].
using LinearBackwardBias = void(Context&, float* db, const float* dy, int64_t R, int64_t out);

// --- attention, step by step ------------------------------------------------------------------------------
/// q, k, v [B,T,H,D] = the three thirds of qkv [B,T,3·H·D].
using SplitHeadsForward = void(Context&, float* q, float* k, float* v, const float* qkv, int64_t B, int64_t T,
                               int64_t H, int64_t D);
/// dqkv from dq, dk, dv.
using SplitHeadsBackward = void(Context&, float* dqkv, const float* dq, const float* dk, const float* dv,
                                int64_t B, int64_t T, int64_t H, int64_t D);
/// y [B,T,H·D] = x [B,T,H,D] with its heads side by side; also its own inverse. In place.
using MergeHeads = void(Context&, float* y, const float* x, int64_t B, int64_t T, int64_t H, int64_t D);
/// s[b,h,i,j] = Σ_d q[b,i,h,d]·k[b,j,h,d]. s [B,H,T,T].
using ScoresForward = void(Context&, float* s, const float* q, const float* k, int64_t B, int64_t T,
                           int64_t H, int64_t D);
/// dq[b,i,h,:] = Σ_j ds[b,h,i,j]·k[b,j,h,:].
using ScoresBackwardQuery = void(Context&, float* dq, const float* ds, const float* k, int64_t B, int64_t T,
                                 int64_t H, int64_t D);
/// dk[b,j,h,:] = Σ_i ds[b,h,i,j]·q[b,i,h,:].
using ScoresBackwardKey = void(Context&, float* dk, const float* ds, const float* q, int64_t B, int64_t T,
                               int64_t H, int64_t D);
/// y = x·factor over n elements. In place. Its own backward.
using Scale = void(Context&, float* y, const float* x, float factor, int64_t n);
/// y[g,i,j] = x[g,i,j] where j ≤ i, else what `kind` says. G = B·H planes of [T,T]. In place.
using MaskForward = void(Context&, float* y, const float* x, MaskKind kind, int64_t G, int64_t T);
/// dx = dy where j ≤ i, else 0 (none: dy everywhere). In place.
using MaskBackward = void(Context&, float* dx, const float* dy, MaskKind kind, int64_t G, int64_t T);
/// y[r,:] = softmax(x[r,:]·inverse_temperature) by row, the row's maximum taken off first. −∞ gives exactly
/// 0. A row of −∞ alone gives NaN. x, y [R,N]. In place.
using SoftmaxForward = void(Context&, float* y, const float* x, float inverse_temperature, int64_t R,
                            int64_t N);
/// dx = inverse_temperature · y ⊙ (dy − Σ_j dy_j·y_j). In place on dy.
using SoftmaxBackward = void(Context&, float* dx, const float* dy, const float* y, float inverse_temperature,
                             int64_t R, int64_t N);
/// z[b,i,h,:] = Σ_j p[b,h,i,j]·v[b,j,h,:].
using WeightedSumForward = void(Context&, float* z, const float* p, const float* v, int64_t B, int64_t T,
                                int64_t H, int64_t D);
/// dp[b,h,i,j] = Σ_d dz[b,i,h,d]·v[b,j,h,d].
using WeightedSumBackwardPattern = void(Context&, float* dp, const float* dz, const float* v, int64_t B,
                                        int64_t T, int64_t H, int64_t D);
/// dv[b,j,h,:] = Σ_i p[b,h,i,j]·dz[b,i,h,:].
using WeightedSumBackwardValue = void(Context&, float* dv, const float* dz, const float* p, int64_t B,
                                      int64_t T, int64_t H, int64_t D);

// --- attention, fused (online softmax, Milakov & Gimelshein 2018; Dao 2022)
// -----------------------------------
/// z [B,T,H·D] = attention of qkv [B,T,3·H·D], scores times `scale` (1/(√D·τ)), mask none or causal; the
/// [T,T] scores are never stored. lse[b,h,i] = log Σ_j exp(scaled score), kept for the backward pass.
using AttentionForward = void(Context&, float* z, float* lse, const float* qkv, float scale, MaskKind kind,
                              int64_t B, int64_t T, int64_t H, int64_t D);
/// dqkv from dz; the scores are recomputed tile by tile.
using AttentionBackward = void(Context&, float* dqkv, const float* dz, const float* z, const float* lse,
                               const float* qkv, float scale, MaskKind kind, int64_t B, int64_t T, int64_t H,
                               int64_t D);

// --- elementwise, n elements ------------------------------------------------------------------------------
/// y = a + b. In place on either.
using AddForward = void(Context&, float* y, const float* a, const float* b, int64_t n);
/// y = x/2·(1 + tanh(√(2/π)(x + 0.044715x³))) (Hendrycks & Gimpel 2016; GPT-2's "gelu_new").
using GeluTanhForward = void(Context&, float* y, const float* x, int64_t n);
/// dx = dy·gelu'(x). In place on dy.
using GeluTanhBackward = void(Context&, float* dx, const float* dy, const float* x, int64_t n);
/// y = x·Φ(x) with the error function.
using GeluErfForward = void(Context&, float* y, const float* x, int64_t n);
using GeluErfBackward = void(Context&, float* dx, const float* dy, const float* x, int64_t n);
/// y = max(x, 0). The derivative at 0 is 0.
using ReluForward = void(Context&, float* y, const float* x, int64_t n);
using ReluBackward = void(Context&, float* dx, const float* dy, const float* x, int64_t n);
/// Inverted dropout: y = keep ? x/(1 − p) : 0, where keep of element i depends on (*seed, salt, i) alone, so
/// that backward is the same function on dy. `seed` lies in backend memory. In place.
using Dropout = void(Context&, float* y, const float* x, float p, const uint64_t* seed, uint64_t salt,
                     int64_t n);

// --- loss -------------------------------------------------------------------------------------------------
/// loss_row[r] = −log p[r, targets[r]], 0 where targets[r] < 0 (ignored); loss[0] = mean over the counted
/// rows (0 where none counts). p [R,V] probabilities.
using CrossEntropyForward = void(Context&, float* loss, float* loss_row, const float* p,
                                 const int32_t* targets, int64_t R, int64_t V);
/// dp[r,v] = −1/(N·p[r,v]) at the target, else 0; N the counted rows; times dloss[0].
using CrossEntropyBackward = void(Context&, float* dp, const float* dloss, const float* p,
                                  const int32_t* targets, int64_t R, int64_t V);
/// Softmax and cross-entropy in one pass over the logits; lse[r] = log Σ_v exp(logit), kept for backward.
using SoftmaxCrossEntropyForward = void(Context&, float* loss, float* loss_row, float* lse,
                                        const float* logits, const int32_t* targets, int64_t R, int64_t V);
/// dlogits = (softmax(logits) − onehot(target))/N·dloss[0]; zero rows where ignored. In place on logits.
using SoftmaxCrossEntropyBackward = void(Context&, float* dlogits, const float* dloss, const float* logits,
                                         const float* lse, const int32_t* targets, int64_t R, int64_t V);

// --- optimiser --------------------------------------------------------------------------------------------
/// out[0] = Σ x², summed in double in a fixed order.
using SumOfSquares = void(Context&, float* out, const float* x, int64_t n);
/// norm[0] = √(Σ_i squares[i]) over n values; clip[0] = min(1, max_norm/norm) (1 where max_norm ≤ 0).
using ClipFactor = void(Context&, float* norm, float* clip, const float* squares, float max_norm, int64_t n);
/// AdamW (Loshchilov & Hutter 2019) with gradient g·clip[0]; schedule = {lr, 1 − β1^t, 1 − β2^t} in backend
/// memory. w' = w − lr·(m̂/(√v̂ + ε) + weight_decay·w). All [n]. In place: w_new = w, m_new = m, v_new = v.
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

/// A backend's arithmetic: one entry for each op and direction.
struct Kernels {
  Required<EmbeddingForward> embedding_forward;
  Required<EmbeddingBackward> embedding_backward;
  Required<PositionForward> position_forward;
  Required<PositionBackward> position_backward;
  Required<LayerNormForward> layernorm_forward;
  Required<LayerNormBackward> layernorm_backward;
  Required<LinearForward> linear_forward;
  Required<LinearBackwardInput> linear_backward_input;
  Required<LinearBackwardWeight> linear_backward_weight;
  Required<LinearBackwardBias> linear_backward_bias;
  Required<SplitHeadsForward> split_heads_forward;
  Required<SplitHeadsBackward> split_heads_backward;
  Required<MergeHeads> merge_heads;
  Required<ScoresForward> scores_forward;
  Required<ScoresBackwardQuery> scores_backward_query;
  Required<ScoresBackwardKey> scores_backward_key;
  Required<Scale> scale;
  Required<MaskForward> mask_forward;
  Required<MaskBackward> mask_backward;
  Required<SoftmaxForward> softmax_forward;
  Required<SoftmaxBackward> softmax_backward;
  Required<WeightedSumForward> weighted_sum_forward;
  Required<WeightedSumBackwardPattern> weighted_sum_backward_pattern;
  Required<WeightedSumBackwardValue> weighted_sum_backward_value;
  Required<AttentionForward> attention_forward;
  Required<AttentionBackward> attention_backward;
  Required<AddForward> add_forward;
  Required<GeluTanhForward> gelu_tanh_forward;
  Required<GeluTanhBackward> gelu_tanh_backward;
  Required<GeluErfForward> gelu_erf_forward;
  Required<GeluErfBackward> gelu_erf_backward;
  Required<ReluForward> relu_forward;
  Required<ReluBackward> relu_backward;
  Required<Dropout> dropout;
  Required<CrossEntropyForward> cross_entropy_forward;
  Required<CrossEntropyBackward> cross_entropy_backward;
  Required<SoftmaxCrossEntropyForward> softmax_cross_entropy_forward;
  Required<SoftmaxCrossEntropyBackward> softmax_cross_entropy_backward;
  Required<SumOfSquares> sum_of_squares;
  Required<ClipFactor> clip_factor;
  Required<AdamW> adamw;
};

}  // namespace headlight::kernels
