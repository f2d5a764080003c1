// The CUDA backend's joint steps of training. Each is defined, and instantiated for its element types, in the
// .cu file of its noun (linear, linear_gelu, add_norm, norm_gradients, softmax_cross_entropy_both, adamw,
// gradient_norm, cast); what it computes stands beside its type in kernels/training.h.
#pragma once

#include "kernels/training.h"

namespace headlight::kernels::cuda {

template <class E>
void linear_gelu_forward(Context&, E* y, E* pre, const E* x, const E* w, const E* bias, int64_t R, int64_t in,
                         int64_t out, WeightLayout layout);
template <class E>
void linear_gelu_backward(Context&, E* dpre, const E* dy, const E* w, const E* pre, int64_t R, int64_t in,
                          int64_t out, WeightLayout layout);
template <class E>
void add_norm_forward(Context&, E* sum, float* mean, float* scale, E* y, const E* a, const E* b,
                      const E* gain, const E* bias, int64_t R, int64_t C, float eps);
template <class E>
void add_norm_backward(Context&, E* dx, float* dgain, float* dbias, float* columns, const E* base,
                       const E* dy, const E* x, const float* mean, const float* scale, const E* gain,
                       int64_t R, int64_t C);
template <class E>
void pitched_linear_forward(Context&, E* y, int64_t pitch, const E* x, const E* w, const E* bias, int64_t R,
                            int64_t in, int64_t out, WeightLayout layout);
template <class E>
void pitched_linear_backward_input(Context&, E* dx, const E* dy, int64_t pitch, const E* w, int64_t R,
                                   int64_t in, int64_t out, WeightLayout layout);
template <class E>
void pitched_linear_backward_weight(Context&, float* dw, const E* dy, int64_t pitch, const E* x, int64_t R,
                                    int64_t in, int64_t out, WeightLayout layout);
template <class E>
void pitched_linear_backward_bias(Context&, float* db, const E* dy, int64_t pitch, int64_t R, int64_t out);
template <class E>
void softmax_cross_entropy_both(Context&, float* loss, float* loss_row, E* dlogits, const float* dloss,
                                const E* logits, const int32_t* targets, int64_t R, int64_t V, int64_t pitch);
template <class E>
void narrow_all(Context&, std::span<const NarrowedTensor<E>> tensors);
SumsOfSquares sums_of_squares;
AdamWAll adamw_all;

/// The table of all of them.
[[nodiscard]] const TrainingKernels& training_kernels();

}  // namespace headlight::kernels::cuda
