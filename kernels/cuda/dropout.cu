// Inverted dropout with counter-based random numbers: whether an element is kept depends on seed, salt and
// index.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/random.h"

namespace headlight::kernels::cuda {

namespace {

template <class E>
__global__ void drop(E* y, const E* x, float p, float factor, const uint64_t* seed, uint64_t salt, int64_t n,
                     bool vectors) {
  const RandomKey key = random_key(*seed, salt);
  for_array<E>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    // N divides 2^32, so the upper half of the index is the same for all N.
    const RandomKey here = shifted_key(key, static_cast<uint32_t>(i >> 32));
    Floats<N> values = load<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float kept = values[j] * factor;
      values[j] = unit_float(random_bits(here, static_cast<uint32_t>(i + j))) >= p ? kept : 0.0F;
    }
    store<N>(y + i, values);
  });
}

}  // namespace

template <class E>
void dropout(Context& context, E* y, const E* x, float p, const uint64_t* seed, uint64_t salt, int64_t n) {
  launch(context, drop<E>, blocks_for(context, n, 256 * kLanes<E>), 256, 0, y, x, p, 1.0F / (1.0F - p), seed,
         salt, n, aligned(y, x));
}

template Dropout<float> dropout<float>;
template Dropout<bfloat16> dropout<bfloat16>;
template Dropout<float16> dropout<float16>;

}  // namespace headlight::kernels::cuda
