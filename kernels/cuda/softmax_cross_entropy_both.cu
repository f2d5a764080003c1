// The loss and its gradient in one kernel: a row of logits comes from memory once; when the gradient is taken
// it is still in the second-level cache, as only as many rows are under way as fit there.
#include "kernels/cuda/device.h"
#include "kernels/cuda/loss.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 512;
constexpr int kBlocksPerProcessor = 2;
// 16-byte loads that a thread has under way.
constexpr int kAtOnce = 4;

// e^x; 16-bit logits have fewer digits than the fast form.
template <class E>
__device__ __forceinline__ float exponential(float x) {
  if constexpr (sizeof(E) == 2) {
    return __expf(x);
  } else {
    return expf(x);
  }
}

// body(i, N values) for the whole vectors of a row that are this thread's, several under way at once, and for
// single elements of the rest.
template <class Row, class E, class Body>
__device__ __forceinline__ void for_loaded(const E* row, int64_t n, bool vectors, const Body& body) {
  constexpr int N = kLanes<E>;
  const int whole = vectors ? static_cast<int>(n / N) : 0;
  const int step = Row::size();
  for (int k = Row::rank(); k < whole; k += kAtOnce * step) {
    Packed<E, N> packed[kAtOnce] = {};
#pragma unroll
    for (int p = 0; p < kAtOnce; ++p) {
      if (k + p * step >= whole) continue;
      packed[p] = *reinterpret_cast<const Packed<E, N>*>(row + (k + p * step) * N);
    }
#pragma unroll
    for (int p = 0; p < kAtOnce; ++p) {
      if (k + p * step >= whole) continue;
      Floats<N> values;
#pragma unroll
      for (int j = 0; j < N; ++j) values[j] = wide(packed[p].at[j]);
      body((k + p * step) * N, values);
    }
  }
  for (int i = whole * N + Row::rank(); i < n; i += step) body(i, load<1>(row + i));
}

template <class E, bool kBlock>
__global__ void __launch_bounds__(kThreads, kBlocksPerProcessor)
    loss_both_rows(float* loss_row, E* dlogits, const float* factor, const E* logits, const int32_t* targets,
                   int64_t R, int64_t V, int64_t pitch, bool vectors) {
  using Row = Team<kBlock>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const E* row = logits + r * pitch;
    E* to = dlogits + r * pitch;
    for (int64_t i = V + Row::rank(); i < pitch; i += Row::size()) store<1>(to + i, Floats<1>{});
    const int32_t target = targets[r];
    if (target < 0) {  // a row that is not counted gives 0, whatever its logits are
      if (Row::rank() == 0) loss_row[r] = 0.0F;
      for_array<E>(V, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
        store<decltype(count)::value>(to + i, Floats<decltype(count)::value>{});
      });
      continue;
    }
    const float at_target = to_float(row[target]);  // before the gradient may lie there
    Running mine{-INFINITY, 0.0F};
    for_loaded<Row>(row, V, vectors, [&](int, const auto& values) {
      constexpr int N = sizeof(values) / sizeof(float);
      float top = mine.top;
#pragma unroll
      for (int j = 0; j < N; ++j) top = fmaxf(top, values[j]);
      const float shift = shift_of(top);
      if (top != mine.top) mine.total *= exponential<E>(mine.top - top);
#pragma unroll
      for (int j = 0; j < N; ++j) mine.total += exponential<E>(values[j] - shift);
      mine.top = top;
    });
    const float top = Row::reduce(mine.top, Largest{});
    const float total = Row::reduce(mine.total * shrink(mine.top, top), Add{});
    const float shift = top + logf(total);
    if (Row::rank() == 0) loss_row[r] = shift - at_target;
    if constexpr (!kBlock) __syncwarp();  // a block's reduction has ended with a barrier
    const float times = factor[0];
    for_array<E>(V, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      Floats<N> values = load<N>(row + i);
#pragma unroll
      for (int j = 0; j < N; ++j) values[j] = exponential<E>(values[j] - shift) * times;
      store<N>(to + i, values);
    });
    // The target by itself, by the thread that has just stored it: a choice in the loop above would make the
    // compiler store its elements one by one.
    constexpr int N = kLanes<E>;
    const int in_vectors = vectors ? static_cast<int>(V / N) * N : 0;
    const int owner = (target < in_vectors ? target / N : target - in_vectors) % Row::size();
    if (Row::rank() == owner) {
      Floats<1> result;
      result[0] = exponential<E>(at_target - shift) * times - times;
      store<1>(to + target, result);
    }
  }
}

}  // namespace

template <class E>
void softmax_cross_entropy_both(Context& context, float* loss, float* loss_row, E* dlogits,
                                const float* dloss, const E* logits, const int32_t* targets, int64_t R,
                                int64_t V, int64_t pitch) {
  auto* factor = on_cuda(context).workspace<float>(1);
  loss_factor(context, factor, dloss, targets, R);
  const bool vectors = aligned(dlogits, logits) && pitch % kLanes<E> == 0;
  const bool block = V > kWarpRow;
  launch(context, block ? loss_both_rows<E, true> : loss_both_rows<E, false>,
         blocks_for(context, R, block ? 1 : kThreads / kWarp, kBlocksPerProcessor), kThreads, 0, loss_row,
         dlogits, factor, logits, targets, R, V, pitch, vectors);
  mean_loss(context, loss, loss_row, targets, R);
}

template SoftmaxCrossEntropyBoth<float> softmax_cross_entropy_both<float>;
template SoftmaxCrossEntropyBoth<bfloat16> softmax_cross_entropy_both<bfloat16>;
template SoftmaxCrossEntropyBoth<float16> softmax_cross_entropy_both<float16>;

}  // namespace headlight::kernels::cuda
