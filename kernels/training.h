// Joint steps of training for backends where every pass over memory counts: a product with GELU behind it or
// its slope, a residual sum with the norm of it and the two gradients that meet there, the loss with its
// gradient, products whose result has a gap behind each row, and whole updates. A backend that has them hands
// out the table through Backend::training(); core/tape/rewrite_training.h makes steps of them.
//
// Letters as in kernels.h. A pitch counts elements from one row to the next; what lies behind a row is
// neither read nor written where nothing else is said.
#pragma once

#include <span>
#include <type_traits>

#include "kernels/kernels.h"

namespace headlight::kernels {

/// pre = x·W + bias, y = gelu_tanh(pre). x [R,in]; y, pre [R,out], pre or null; bias [out] or null.
template <class E>
using LinearGeluForward = void(Context&, E* y, E* pre, const E* x, const E* w, const E* bias, int64_t R,
                               int64_t in, int64_t out, WeightLayout layout);
/// dpre = (dy·Wᵀ)·gelu_tanh'(pre). dpre, pre [R,in]; dy [R,out].
template <class E>
using LinearGeluBackward = void(Context&, E* dpre, const E* dy, const E* w, const E* pre, int64_t R,
                                int64_t in, int64_t out, WeightLayout layout);

/// sum = a + b; LayerNormForward of sum, or RmsNormForward where `mean` is null. sum, y [R,C]. `sum` may be a
/// or b.
template <class E>
using AddNormForward = void(Context&, E* sum, float* mean, float* scale, E* y, const E* a, const E* b,
                            const E* gain, const E* bias, int64_t R, int64_t C, float eps);
/// Gradients of that norm from dy, and what comes along the residual: dx = base + (the norm's gradient);
/// `columns` [C] = Σ_r dx[r,:], the gradient of a bias. base, dbias, columns or null; mean null: RMSNorm.
template <class E>
using AddNormBackward = void(Context&, E* dx, float* dgain, float* dbias, float* columns, const E* base,
                             const E* dy, const E* x, const float* mean, const float* scale, const E* gain,
                             int64_t R, int64_t C);

/// LinearForward, LinearBackwardInput, -Weight and -Bias where y and dy [R,out] have a pitch.
template <class E>
using PitchedLinearForward = void(Context&, E* y, int64_t pitch, const E* x, const E* w, const E* bias,
                                  int64_t R, int64_t in, int64_t out, WeightLayout layout);
template <class E>
using PitchedLinearBackwardInput = void(Context&, E* dx, const E* dy, int64_t pitch, const E* w, int64_t R,
                                        int64_t in, int64_t out, WeightLayout layout);
template <class E>
using PitchedLinearBackwardWeight = void(Context&, float* dw, const E* dy, int64_t pitch, const E* x,
                                         int64_t R, int64_t in, int64_t out, WeightLayout layout);
template <class E>
using PitchedLinearBackwardBias = void(Context&, float* db, const E* dy, int64_t pitch, int64_t R,
                                       int64_t out);
/// SoftmaxCrossEntropyForward and -Backward in one reading of the logits, which have a pitch, as have
/// dlogits, where 0 is written behind each row. In place on logits.
template <class E>
using SoftmaxCrossEntropyBoth = void(Context&, float* loss, float* loss_row, E* dlogits, const float* dloss,
                                     const E* logits, const int32_t* targets, int64_t R, int64_t V,
                                     int64_t pitch);

// One call over many tensors, where a launch for each would cost more than its work. Each has n elements.
struct SquaredTensor {
  const float* x;
  int64_t n;
};
template <class E>
struct NarrowedTensor {
  E* y;
  const float* x;
  int64_t n;
};
struct UpdatedTensor {
  float *w_new, *m_new, *v_new;
  const float *w, *m, *v, *g;
  float weight_decay;
  int64_t n;
};
/// out[i] = SumOfSquares of tensor i.
using SumsOfSquares = void(Context&, float* out, std::span<const SquaredTensor> tensors);
/// Narrow of each tensor.
template <class E>
using NarrowAll = void(Context&, std::span<const NarrowedTensor<E>> tensors);
/// AdamW of each tensor, with its own weight_decay in place of the constants'. In place as there.
using AdamWAll = void(Context&, std::span<const UpdatedTensor> tensors, const float* clip,
                      const float* schedule, const AdamWConstants& constants);

/// The joint steps on activations of type E.
template <class E>
struct TypedTrainingKernels {
  Required<LinearGeluForward<E>> linear_gelu_forward;
  Required<LinearGeluBackward<E>> linear_gelu_backward;
  Required<AddNormForward<E>> add_norm_forward;
  Required<AddNormBackward<E>> add_norm_backward;
  Required<PitchedLinearForward<E>> pitched_linear_forward;
  Required<PitchedLinearBackwardInput<E>> pitched_linear_backward_input;
  Required<PitchedLinearBackwardWeight<E>> pitched_linear_backward_weight;
  Required<PitchedLinearBackwardBias<E>> pitched_linear_backward_bias;
  Required<SoftmaxCrossEntropyBoth<E>> softmax_cross_entropy_both;
  Required<NarrowAll<E>> narrow_all;
};

/// A backend's joint steps: for every element type, and those of the update.
struct TrainingKernels {
  TypedTrainingKernels<float> f32;
  TypedTrainingKernels<bfloat16> bf16;
  TypedTrainingKernels<float16> f16;
  Required<SumsOfSquares> sums_of_squares;
  Required<AdamWAll> adamw_all;
  template <class E>
  [[nodiscard]] const TypedTrainingKernels<E>& typed() const {
    if constexpr (std::is_same_v<E, bfloat16>) {
      return bf16;
    } else if constexpr (std::is_same_v<E, float16>) {
      return f16;
    } else {
      return f32;
    }
  }
};

}  // namespace headlight::kernels
