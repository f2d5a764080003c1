// What happens to the scores of keys that lie in the future (j > i): −∞, a finite number, zero, or nothing.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

namespace {

// Copies x where j ≤ i and writes `future` elsewhere; row r of G·T is query i = r mod T.
template <class E, bool kBlock>
__global__ void fill_future(E* y, const E* x, float future, int64_t rows, int64_t T, bool vectors) {
  using Row = Team<kBlock>;
  for (int64_t r = Row::first_row(); r < rows; r += Row::row_step()) {
    const int64_t query = r % T;
    for_row<E>(T, r * T, vectors, Row::rank(), Row::size(), [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      Floats<N> values{};
      if (j <= query) values = load<N>(x + r * T + j);
#pragma unroll
      for (int k = 0; k < N; ++k) values[k] = j + k <= query ? values[k] : future;
      store<N>(y + r * T + j, values);
    });
  }
}

template <class E>
void launch_mask(Context& context, E* y, const E* x, float future, bool all, int64_t G, int64_t T) {
  if (!all) {
    launch_rows(context, fill_future<E, false>, fill_future<E, true>, G * T, T, 0, y, x, future, G * T, T,
                aligned(y, x));
  } else if (y != x) {
    check(cudaMemcpyAsync(y, x, static_cast<size_t>(G * T * T) * sizeof(E), cudaMemcpyDeviceToDevice,
                          on_cuda(context).stream()),
          "copying the scores");
  }
}

}  // namespace

template <class E>
void mask_forward(Context& context, E* y, const E* x, MaskKind kind, int64_t G, int64_t T) {
  const float future = kind == MaskKind::causal   ? -INFINITY
                       : kind == MaskKind::finite ? finite_mask_value
                                                  : 0.0F;
  launch_mask(context, y, x, future, kind == MaskKind::none, G, T);
}

template <class E>
void mask_backward(Context& context, E* dx, const E* dy, MaskKind kind, int64_t G, int64_t T) {
  launch_mask(context, dx, dy, 0.0F, kind == MaskKind::none, G, T);
}

template MaskForward<float> mask_forward<float>;
template MaskForward<bfloat16> mask_forward<bfloat16>;
template MaskForward<float16> mask_forward<float16>;
template MaskBackward<float> mask_backward<float>;
template MaskBackward<bfloat16> mask_backward<bfloat16>;
template MaskBackward<float16> mask_backward<float16>;

}  // namespace headlight::kernels::cuda
