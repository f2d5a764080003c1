// Rotary positions: the table of angles, and the rotation of queries and keys by it. A thread turns one pair.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void rope_table_kernel(float* cosine, float* sine, const int32_t* first, RopeConstants constants,
                                  int64_t n, int64_t T, int64_t D) {
  const int64_t half = D / 2;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const int64_t row = i / half;
    const int64_t start = first != nullptr ? first[row / T] : 0;
    // In double: an angle of thousands of radians keeps no digits in float.
    const double angle = static_cast<double>(start + row % T) * rope_frequency(constants, i % half, D);
    cosine[i] = static_cast<float>(cos(angle));
    sine[i] = static_cast<float>(sin(angle));
  }
}

/// pairs = B·T·heads·D/2. The pairs of heads from `rotated` on are copied.
template <class E>
__global__ void rope_kernel(E* y, const E* x, const float* cosine, const float* sine, float sign, bool shared,
                            int64_t pairs, int64_t T, int64_t heads, int64_t rotated, int64_t half) {
  for (int64_t i = thread_in_grid(); i < pairs; i += threads_in_grid()) {
    const int64_t head = i / half;
    const int64_t d = i % half;
    const int64_t at = head * 2 * half + d;
    const float a = to_float(x[at]);
    const float b = to_float(x[at + half]);
    if (head % heads >= rotated) {
      y[at] = x[at];
      y[at + half] = x[at + half];
      continue;
    }
    const int64_t token = head / heads;
    const int64_t angle = (shared ? token % T : token) * half + d;
    const float c = cosine[angle];
    const float s = sign * sine[angle];
    y[at] = from_float<E>(a * c - b * s);
    y[at + half] = from_float<E>(b * c + a * s);
  }
}

}  // namespace

void rope_table(Context& context, float* cosine, float* sine, const int32_t* first,
                const RopeConstants& constants, int64_t S, int64_t T, int64_t D) {
  const int64_t n = S * T * (D / 2);
  launch(context, rope_table_kernel, blocks_for(context, n, kThreads), kThreads, 0, cosine, sine, first,
         constants, n, T, D);
}

template <class E>
void rope(Context& context, E* y, const E* x, const float* cosine, const float* sine, bool inverse, int64_t B,
          int64_t S, int64_t T, int64_t heads, int64_t rotated, int64_t D) {
  const int64_t pairs = B * T * heads * (D / 2);
  launch(context, rope_kernel<E>, blocks_for(context, pairs, kThreads), kThreads, 0, y, x, cosine, sine,
         inverse ? -1.0F : 1.0F, S == 1, pairs, T, heads, rotated, D / 2);
}

template Rope<float> rope<float>;
template Rope<bfloat16> rope<bfloat16>;
template Rope<float16> rope<float16>;

}  // namespace headlight::kernels::cuda
