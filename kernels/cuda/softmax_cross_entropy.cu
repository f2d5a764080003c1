// Softmax and cross-entropy from the logits in one pass over them, and the gradient softmax − onehot.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/loss.h"
#include "kernels/cuda/rows.h"

namespace headlight::kernels::cuda {

namespace {

template <class E, bool kBlock>
__global__ void loss_rows(float* loss_row, float* lse, const E* logits, const int32_t* targets, int64_t R,
                          int64_t V, bool vectors) {
  using Row = Team<kBlock>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const E* row = logits + r * V;
    const Running all = run_over_row<Row>(row, V, r * V, vectors, 1.0F);
    if (Row::rank() != 0) continue;
    const float sum = all.top + logf(all.total);
    lse[r] = sum;
    loss_row[r] = targets[r] < 0 ? 0.0F : sum - to_float(row[targets[r]]);
  }
}

template <class E, bool kBlock>
__global__ void loss_backward_rows(E* dlogits, const float* factor, const E* logits, const float* lse,
                                   const int32_t* targets, int64_t R, int64_t V, bool vectors) {
  using Row = Team<kBlock>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const int32_t target = targets[r];
    const float shift = lse[r];
    const float times = target < 0 ? 0.0F : factor[0];
    for_row<E>(V, r * V, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      Floats<N> values{};
      if (target >= 0) {  // an ignored row gives 0, whatever its logits are
        values = load<N>(logits + r * V + i);
#pragma unroll
        for (int j = 0; j < N; ++j) {
          values[j] = expf(values[j] - shift) * times - (i + j == target ? times : 0.0F);
        }
      }
      store<N>(dlogits + r * V + i, values);
    });
  }
}

}  // namespace

template <class E>
void softmax_cross_entropy_forward(Context& context, float* loss, float* loss_row, float* lse,
                                   const E* logits, const int32_t* targets, int64_t R, int64_t V) {
  launch_rows(context, loss_rows<E, false>, loss_rows<E, true>, R, V, 0, loss_row, lse, logits, targets, R, V,
              aligned(logits));
  mean_loss(context, loss, loss_row, targets, R);
}

template <class E>
void softmax_cross_entropy_backward(Context& context, E* dlogits, const float* dloss, const E* logits,
                                    const float* lse, const int32_t* targets, int64_t R, int64_t V) {
  auto* factor = on_cuda(context).workspace<float>(1);
  loss_factor(context, factor, dloss, targets, R);
  launch_rows(context, loss_backward_rows<E, false>, loss_backward_rows<E, true>, R, V, 0, dlogits, factor,
              logits, lse, targets, R, V, aligned(dlogits, logits));
}

template SoftmaxCrossEntropyForward<float> softmax_cross_entropy_forward<float>;
template SoftmaxCrossEntropyForward<bfloat16> softmax_cross_entropy_forward<bfloat16>;
template SoftmaxCrossEntropyForward<float16> softmax_cross_entropy_forward<float16>;
template SoftmaxCrossEntropyBackward<float> softmax_cross_entropy_backward<float>;
template SoftmaxCrossEntropyBackward<bfloat16> softmax_cross_entropy_backward<bfloat16>;
template SoftmaxCrossEntropyBackward<float16> softmax_cross_entropy_backward<float16>;

}  // namespace headlight::kernels::cuda
