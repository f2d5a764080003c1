// Softmax by row, stable and exact at −∞, and its gradient. The second reading of a row comes from the cache.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/rows.h"

namespace headlight::kernels::cuda {

namespace {

template <class E, bool kBlock>
__global__ void softmax_rows(E* y, const E* x, float inverse_temperature, int64_t R, int64_t N,
                             bool vectors) {
  using Row = Team<kBlock>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const E* row = x + r * N;
    const Running all = run_over_row<Row>(row, N, r * N, vectors, inverse_temperature);
    const float inverse = 1.0F / all.total;
    for_row<E>(N, r * N, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int M = decltype(count)::value;
      Floats<M> values = load<M>(row + i);
#pragma unroll
      for (int j = 0; j < M; ++j) values[j] = expf(values[j] * inverse_temperature - all.top) * inverse;
      store<M>(y + r * N + i, values);
    });
  }
}

template <class E, bool kBlock>
__global__ void softmax_backward_rows(E* dx, const E* dy, const E* y, float inverse_temperature, int64_t R,
                                      int64_t N, bool vectors) {
  using Row = Team<kBlock>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const E* p = y + r * N;
    const E* g = dy + r * N;
    float mine = 0.0F;
    for_row<E>(N, r * N, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int M = decltype(count)::value;
      const Floats<M> a = load<M>(g + i);
      const Floats<M> b = load<M>(p + i);
#pragma unroll
      for (int j = 0; j < M; ++j) mine += a[j] * b[j];
    });
    const float dot = Row::reduce(mine, Add{});
    for_row<E>(N, r * N, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int M = decltype(count)::value;
      Floats<M> a = load<M>(g + i);
      const Floats<M> b = load<M>(p + i);
#pragma unroll
      for (int j = 0; j < M; ++j) a[j] = b[j] * inverse_temperature * (a[j] - dot);
      store<M>(dx + r * N + i, a);
    });
  }
}

}  // namespace

template <class E>
void softmax_forward(Context& context, E* y, const E* x, float inverse_temperature, int64_t R, int64_t N) {
  launch_rows(context, softmax_rows<E, false>, softmax_rows<E, true>, R, N, 0, y, x, inverse_temperature, R,
              N, aligned(y, x));
}

template <class E>
void softmax_backward(Context& context, E* dx, const E* dy, const E* y, float inverse_temperature, int64_t R,
                      int64_t N) {
  launch_rows(context, softmax_backward_rows<E, false>, softmax_backward_rows<E, true>, R, N, 0, dx, dy, y,
              inverse_temperature, R, N, aligned(dx, dy, y));
}

template SoftmaxForward<float> softmax_forward<float>;
template SoftmaxForward<bfloat16> softmax_forward<bfloat16>;
template SoftmaxForward<float16> softmax_forward<float16>;
template SoftmaxBackward<float> softmax_backward<float>;
template SoftmaxBackward<bfloat16> softmax_backward<bfloat16>;
template SoftmaxBackward<float16> softmax_backward<float16>;

}  // namespace headlight::kernels::cuda
