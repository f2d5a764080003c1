// Kernels that map one or two arrays to a third, element by element, and their launch. Included by the ops
// that are such a map; `function` is a small struct with operator().
#pragma once

#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

template <class E, class Function>
__global__ void map_one(E* y, const E* a, int64_t n, bool vectors, Function function) {
  for_array<E>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    const Floats<N> x = load<N>(a + i);
    Floats<N> result;
#pragma unroll
    for (int j = 0; j < N; ++j) result[j] = function(x[j]);
    store<N>(y + i, result);
  });
}

template <class E, class Function>
__global__ void map_two(E* y, const E* a, const E* b, int64_t n, bool vectors, Function function) {
  for_array<E>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    const Floats<N> x = load<N>(a + i);
    const Floats<N> z = load<N>(b + i);
    Floats<N> result;
#pragma unroll
    for (int j = 0; j < N; ++j) result[j] = function(x[j], z[j]);
    store<N>(y + i, result);
  });
}

inline constexpr int kMapThreads = 256;

/// y[i] = function(a[i]). In place.
template <class E, class Function>
void map(Context& context, E* y, const E* a, int64_t n, Function function) {
  launch(context, map_one<E, Function>, blocks_for(context, n, kMapThreads * kLanes<E>), kMapThreads, 0, y, a,
         n, aligned(y, a), function);
}

/// y[i] = function(a[i], b[i]). In place on either.
template <class E, class Function>
void map(Context& context, E* y, const E* a, const E* b, int64_t n, Function function) {
  launch(context, map_two<E, Function>, blocks_for(context, n, kMapThreads * kLanes<E>), kMapThreads, 0, y, a,
         b, n, aligned(y, a, b), function);
}

}  // namespace headlight::kernels::cuda
