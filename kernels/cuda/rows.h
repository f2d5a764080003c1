// The online part of a softmax over one row: largest value and Σ e^(value − largest) in one pass (Milakov &
// Gimelshein 2018). Used by softmax and the loss.
#pragma once

#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

/// What a thread has seen of a row, or a team of all of it. Not-a-number shows in `total`.
struct Running {
  float top;
  float total;
};

/// −∞ − −∞ is not a number: nothing seen yet, or a row of −∞ alone, shifts by 0.
__device__ __forceinline__ float shift_of(float top) { return top == -INFINITY ? 0.0F : top; }
__device__ __forceinline__ float shrink(float from, float to) { return from == to ? 1.0F : expf(from - to); }

/// Running values of row[0…n)·factor, the same in every thread of the team. `offset`: see for_row.
template <class Row, class E>
__device__ __forceinline__ Running run_over_row(const E* row, int64_t n, int64_t offset, bool vectors,
                                                float factor) {
  Running mine{-INFINITY, 0.0F};
  for_row<E>(n, offset, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    Floats<N> values = load<N>(row + i);
    float top = mine.top;
#pragma unroll
    for (int j = 0; j < N; ++j) {
      values[j] *= factor;
      top = fmaxf(top, values[j]);
    }
    const float shift = shift_of(top);
    mine.total *= shrink(mine.top, top);
#pragma unroll
    for (int j = 0; j < N; ++j) mine.total += expf(values[j] - shift);
    mine.top = top;
  });
  const float top = Row::reduce(mine.top, Largest{});
  return {top, Row::reduce(mine.total * shrink(mine.top, top), Add{})};
}

}  // namespace headlight::kernels::cuda
