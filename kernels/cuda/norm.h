// The kernel that LayerNorm and RMSNorm share: a row comes from memory once; mean, spread and result are
// taken while it is in the cache. Their gradients: norm_gradients.cu.
#pragma once

#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

/// kCentered: LayerNorm; else no mean is taken off, and `mean` and `bias` are null.
template <class E, bool kBlock, bool kCentered>
__global__ void normalize_rows(float* mean, float* scale, E* normalized, E* y, const E* x, const E* gain,
                               const E* bias, int64_t R, int64_t C, float eps, bool vectors) {
  using Row = Team<kBlock>;
  const float inverse_width = 1.0F / static_cast<float>(C);
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const E* row = x + r * C;
    float m = 0.0F;
    if constexpr (kCentered) {
      float total = 0.0F;
      for_array<E>(C, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
        constexpr int N = decltype(count)::value;
        const Floats<N> values = load<N>(row + i);
#pragma unroll
        for (int j = 0; j < N; ++j) total += values[j];
      });
      m = Row::reduce(total, Add{}) * inverse_width;
    }
    float squares = 0.0F;
    for_array<E>(C, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Floats<N> values = load<N>(row + i);
#pragma unroll
      for (int j = 0; j < N; ++j) squares += (values[j] - m) * (values[j] - m);
    });
    const float s = sqrtf(Row::reduce(squares, Add{}) * inverse_width + eps);
    const float inverse = 1.0F / s;
    if (Row::rank() == 0) {
      if constexpr (kCentered) mean[r] = m;
      scale[r] = s;
    }
    for_array<E>(C, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      Floats<N> values = load<N>(row + i);
      const Floats<N> gains = load<N>(gain + i);
      Floats<N> biases{};
      if (bias != nullptr) biases = load<N>(bias + i);
#pragma unroll
      for (int j = 0; j < N; ++j) values[j] = (values[j] - m) * inverse;
      if (normalized != nullptr) store<N>(normalized + r * C + i, values);
#pragma unroll
      for (int j = 0; j < N; ++j) values[j] = values[j] * gains[j] + biases[j];
      store<N>(y + r * C + i, values);
    });
  }
}

template <bool kCentered, class E>
void normalize(Context& context, float* mean, float* scale, E* normalized, E* y, const E* x, const E* gain,
               const E* bias, int64_t R, int64_t C, float eps) {
  const bool vectors = aligned(normalized, y, x, gain, bias) && C % kLanes<E> == 0;
  launch_rows(context, normalize_rows<E, false, kCentered>, normalize_rows<E, true, kCentered>, R, C, 0, mean,
              scale, normalized, y, x, gain, bias, R, C, eps, vectors);
}

}  // namespace headlight::kernels::cuda
