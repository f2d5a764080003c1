// Learned positions: the first T rows of a table for every batch item, and the sum of their gradients.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int64_t kMostBlocks = 65535;  // in the second dimension of a grid

// y[b] = the first n elements of the table, for each b.
template <class E>
__global__ void repeat(E* y, const E* table, int64_t B, int64_t n, bool vectors) {
  for (int64_t b = blockIdx.y; b < B; b += gridDim.y) {
    for_array<E>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      *reinterpret_cast<Packed<E, N>*>(y + b * n + i) = *reinterpret_cast<const Packed<E, N>*>(table + i);
    });
  }
}

// dtable[i] = Σ_b dy[b·n + i] for i < n, 0 for n ≤ i < whole.
template <class E>
__global__ void add_batch(float* dtable, const E* dy, int64_t B, int64_t n, int64_t whole, bool vectors) {
  for_array<E>(whole, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    Floats<N> total{};
    for (int64_t b = 0; i < n && b < B; ++b) {
      const Floats<N> row = load<N>(dy + b * n + i);
#pragma unroll
      for (int j = 0; j < N; ++j) total[j] += row[j];
    }
    store<N>(dtable + i, total);
  });
}

}  // namespace

template <class E>
void position_forward(Context& context, E* y, const E* table, int64_t B, int64_t T, int64_t C) {
  const int64_t n = T * C;
  const dim3 grid(static_cast<unsigned>(blocks_for(context, n, kThreads * kLanes<E>)),
                  static_cast<unsigned>(std::min(B, kMostBlocks)));
  launch(context, repeat<E>, grid, kThreads, 0, y, table, B, n, aligned(y, table) && n % kLanes<E> == 0);
}

template <class E>
void position_backward(Context& context, float* dtable, const E* dy, int64_t B, int64_t T, int64_t C,
                       int64_t P) {
  const int64_t n = T * C;
  launch(context, add_batch<E>, blocks_for(context, P * C, kThreads * kLanes<E>), kThreads, 0, dtable, dy, B,
         n, P * C, aligned(dtable, dy) && n % kLanes<E> == 0);
}

template PositionForward<float> position_forward<float>;
template PositionForward<bfloat16> position_forward<bfloat16>;
template PositionForward<float16> position_forward<float16>;
template PositionBackward<float> position_backward<float>;
template PositionBackward<bfloat16> position_backward<bfloat16>;
template PositionBackward<float16> position_backward<float16>;

}  // namespace headlight::kernels::cuda
