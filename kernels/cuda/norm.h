// The kernels that LayerNorm and RMSNorm share: a row comes from memory once; mean, spread and result are
// taken while it is in the cache. The gradients of gain and bias are summed in two stages of fixed order.
#pragma once

#include "kernels/cuda/columns.h"
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

// dx by row; each block adds its rows' shares of dgain and dbias into shares[block] = [2,C]. A thread has the
// same columns in every row, so nobody else touches its sums.
template <class E, bool kCentered>
__global__ void normalize_backward(E* dx, float* shares, const E* dy, const E* x, const float* mean,
                                   const float* scale, const E* gain, int64_t R, int64_t C, bool vectors,
                                   bool in_shared) {
  float* share_gain = in_shared ? shared_memory<float>() : shares + blockIdx.x * 2 * C;
  float* share_bias = share_gain + C;
  using Row = Team<true>;
  const float inverse_width = 1.0F / static_cast<float>(C);
  bool first = true;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step(), first = false) {
    const E* row = x + r * C;
    const E* drow = dy + r * C;
    const float m = kCentered ? mean[r] : 0.0F;
    const float inverse = 1.0F / scale[r];
    // dx = (g − mean(g) − n̂·mean(g·n̂))/scale, where g = dy·gain and n̂ the normalized row.
    float sum_g = 0.0F;
    float sum_gn = 0.0F;
    for_array<E>(C, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Floats<N> values = load<N>(row + i);
      const Floats<N> d = load<N>(drow + i);
      const Floats<N> gains = load<N>(gain + i);
      Floats<N> to_gain{};
      Floats<N> to_bias{};
      if (!first) {
        to_gain = load<N>(share_gain + i);
        to_bias = load<N>(share_bias + i);
      }
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float normal = (values[j] - m) * inverse;
        const float g = d[j] * gains[j];
        sum_g += g;
        sum_gn += g * normal;
        to_gain[j] += d[j] * normal;
        to_bias[j] += d[j];
      }
      store<N>(share_gain + i, to_gain);
      store<N>(share_bias + i, to_bias);
    });
    const float mean_g = kCentered ? Row::reduce(sum_g, Add{}) * inverse_width : 0.0F;
    const float mean_gn = Row::reduce(sum_gn, Add{}) * inverse_width;
    for_array<E>(C, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Floats<N> values = load<N>(row + i);
      const Floats<N> d = load<N>(drow + i);
      const Floats<N> gains = load<N>(gain + i);
      Floats<N> result;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float normal = (values[j] - m) * inverse;
        result[j] = (d[j] * gains[j] - mean_g - normal * mean_gn) * inverse;
      }
      store<N>(dx + r * C + i, result);
    });
  }
  if (!in_shared) return;
  // Each thread copies the columns that it summed.
  for_array<E>(C, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    float* to = shares + blockIdx.x * 2 * C;
    store<N>(to + i, load<N>(share_gain + i));
    store<N>(to + C + i, load<N>(share_bias + i));
  });
}

template <bool kCentered, class E>
void normalize(Context& context, float* mean, float* scale, E* normalized, E* y, const E* x, const E* gain,
               const E* bias, int64_t R, int64_t C, float eps) {
  const bool vectors = aligned(normalized, y, x, gain, bias) && C % kLanes<E> == 0;
  launch_rows(context, normalize_rows<E, false, kCentered>, normalize_rows<E, true, kCentered>, R, C, 0, mean,
              scale, normalized, y, x, gain, bias, R, C, eps, vectors);
}

/// Gradients of normalize(); dbias or null.
template <bool kCentered, class E>
void normalize_gradients(Context& context, E* dx, float* dgain, float* dbias, const E* dy, const E* x,
                         const float* mean, const float* scale, const E* gain, int64_t R, int64_t C) {
  CudaContext& cuda = on_cuda(context);
  if (R == 0 || C == 0) {
    for (float* gradient : {dgain, dbias}) {
      if (gradient == nullptr || C == 0) continue;
      check(cudaMemsetAsync(gradient, 0, static_cast<size_t>(C) * sizeof(float), cuda.stream()),
            "clearing a gradient");
    }
    return;
  }
  constexpr int N = kLanes<E>;
  constexpr size_t kSharedBytes = size_t{48} << 10;
  const bool vectors = aligned(dx, dy, x, gain) && C % N == 0;
  const int64_t wanted = divide_up(vectors ? C / N : C, kWarp) * kWarp;
  const auto threads = static_cast<unsigned>(std::clamp<int64_t>(wanted, kWarp, kTeamThreads));
  const int64_t blocks = blocks_for(context, R, 1);
  const size_t bytes = static_cast<size_t>(2 * C) * sizeof(float);
  const bool in_shared = bytes <= kSharedBytes;
  const int64_t second = std::max(column_sum_floats(context, blocks, C), int64_t{1});
  float* shares = cuda.workspace<float>(blocks * 2 * C + second);
  launch(context, normalize_backward<E, kCentered>, blocks, threads, in_shared ? bytes : 0, dx, shares, dy, x,
         mean, scale, gain, R, C, vectors, in_shared);
  float* workspace = shares + blocks * 2 * C;
  column_sums<float>(context, dgain, shares, blocks, C, 2 * C, workspace);
  if (dbias != nullptr) column_sums<float>(context, dbias, shares + C, blocks, C, 2 * C, workspace);
}

}  // namespace headlight::kernels::cuda
