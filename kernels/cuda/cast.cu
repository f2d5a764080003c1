// Between float and the 16-bit element types.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

namespace {

template <class To, class From>
__global__ void convert(To* y, const From* x, int64_t n, bool vectors) {
  // The 16-bit side is read or written 16 bytes at a time, the float side twice that.
  using Narrower = std::conditional_t<sizeof(To) < sizeof(From), To, From>;
  for_array<Narrower>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    store<N>(y + i, load<N>(x + i));
  });
}

template <class To, class From>
void launch_convert(Context& context, To* y, const From* x, int64_t n) {
  launch(context, convert<To, From>, blocks_for(context, n, 2048), 256, 0, y, x, n, aligned(y, x));
}

}  // namespace

template <class E>
void widen(Context& context, float* y, const E* x, int64_t n) {
  launch_convert(context, y, x, n);
}
template <class E>
void narrow(Context& context, E* y, const float* x, int64_t n) {
  launch_convert(context, y, x, n);
}

template Widen<float> widen<float>;
template Widen<bfloat16> widen<bfloat16>;
template Widen<float16> widen<float16>;
template Narrow<float> narrow<float>;
template Narrow<bfloat16> narrow<bfloat16>;
template Narrow<float16> narrow<float16>;

}  // namespace headlight::kernels::cuda
