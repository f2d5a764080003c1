// A residual sum and the norm of it in one pass. The gradients that meet at the sum: norm_gradients.cu.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

namespace {

// The row of a team in registers: kWarpRow elements for a warp, as many times more for a block as it has
// warps. 16-byte access.
template <class E, bool kBlock, bool kCentered>
__global__ void __launch_bounds__(kTeamThreads)
    add_and_normalize(E* sum, float* mean, float* scale, E* y, const E* a, const E* b, const E* gain,
                      const E* bias, int64_t R, int C, float eps) {
  constexpr int N = kLanes<E>;
  constexpr int kVectors = static_cast<int>(kWarpRow) / kWarp / N;
  using Row = Team<kBlock>;
  const float inverse_width = 1.0F / static_cast<float>(C);
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    Packed<E, N> left[kVectors] = {}, right[kVectors] = {};
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const int i = (k * Row::size() + Row::rank()) * N;
      if (i >= C) continue;
      left[k] = *reinterpret_cast<const Packed<E, N>*>(a + r * C + i);
      right[k] = *reinterpret_cast<const Packed<E, N>*>(b + r * C + i);
    }
    float total = 0.0F;
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const int i = (k * Row::size() + Row::rank()) * N;
      if (i >= C) continue;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        left[k].at[j] = narrow_to<E>(wide(left[k].at[j]) + wide(right[k].at[j]));
        total += wide(left[k].at[j]);  // what the norm would read
      }
      *reinterpret_cast<Packed<E, N>*>(sum + r * C + i) = left[k];
    }
    const float m = kCentered ? Row::reduce(total, Add{}) * inverse_width : 0.0F;
    float squares = 0.0F;
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      if ((k * Row::size() + Row::rank()) * N >= C) continue;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float centred = wide(left[k].at[j]) - m;
        squares += centred * centred;
      }
    }
    const float s = sqrtf(Row::reduce(squares, Add{}) * inverse_width + eps);
    const float inverse = 1.0F / s;
    if (Row::rank() == 0) {
      if constexpr (kCentered) mean[r] = m;
      scale[r] = s;
    }
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const int i = (k * Row::size() + Row::rank()) * N;
      if (i >= C) continue;
      const Floats<N> gains = load<N>(gain + i);
      Floats<N> biases{};
      if (bias != nullptr) biases = load<N>(bias + i);
      Floats<N> result;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        result[j] = (wide(left[k].at[j]) - m) * inverse * gains[j] + biases[j];
      }
      store<N>(y + r * C + i, result);
    }
  }
}

template <bool kCentered, class E>
void add_and_normalize(Context& context, E* sum, float* mean, float* scale, E* y, const E* a, const E* b,
                       const E* gain, const E* bias, int64_t R, int64_t C, float eps) {
  constexpr int64_t kWidest = kWarpRow * (kTeamThreads / kWarp);
  if (!aligned(sum, y, a, b, gain, bias) || C % kLanes<E> != 0 || C > kWidest) {
    add_forward(context, sum, a, b, R * C);
    if constexpr (kCentered) {
      layernorm_forward<E>(context, mean, scale, nullptr, y, sum, gain, bias, R, C, eps);
    } else {
      rmsnorm_forward<E>(context, scale, nullptr, y, sum, gain, R, C, eps);
    }
    return;
  }
  launch_rows(context, add_and_normalize<E, false, kCentered>, add_and_normalize<E, true, kCentered>, R, C, 0,
              sum, mean, scale, y, a, b, gain, bias, R, static_cast<int>(C), eps);
}

}  // namespace

template <class E>
void add_norm_forward(Context& context, E* sum, float* mean, float* scale, E* y, const E* a, const E* b,
                      const E* gain, const E* bias, int64_t R, int64_t C, float eps) {
  if (mean != nullptr) {
    add_and_normalize<true>(context, sum, mean, scale, y, a, b, gain, bias, R, C, eps);
  } else {
    add_and_normalize<false>(context, sum, mean, scale, y, a, b, gain, bias, R, C, eps);
  }
}

template AddNormForward<float> add_norm_forward<float>;
template AddNormForward<bfloat16> add_norm_forward<bfloat16>;
template AddNormForward<float16> add_norm_forward<float16>;

}  // namespace headlight::kernels::cuda
