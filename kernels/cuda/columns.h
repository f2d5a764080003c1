// Sums over the rows of a matrix, by column, in a fixed order: the gradient of a bias, and the last stage of
// LayerNorm's parameter gradients.
#pragma once

#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

inline constexpr int kColumnWarps = 8;

/// total[chunk,c] = Σ_r x[r,c] over the rows of chunk blockIdx.y. Warps take rows in turn; lanes have N
/// columns each; the warps' sums are added in order.
template <class E, int N>
__global__ void add_rows(float* total, const E* x, int64_t R, int64_t columns, int64_t row, int64_t rows) {
  auto* shares = shared_memory<float>();  // [kColumnWarps][kWarp·N]
  const int64_t column = (static_cast<int64_t>(blockIdx.x) * kWarp + lane_index()) * N;
  const int64_t begin = blockIdx.y * rows;
  const int64_t end = begin + rows < R ? begin + rows : R;
  Floats<N> sum{};
  if (column < columns) {
    for (int64_t r = begin + warp_index(); r < end; r += kColumnWarps) {
      const Floats<N> values = load<N>(x + r * row + column);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += values[j];
    }
  }
#pragma unroll
  for (int j = 0; j < N; ++j) shares[(warp_index() * N + j) * kWarp + lane_index()] = sum[j];
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < kWarp * N; i += kColumnWarps * kWarp) {
    float all = shares[i];
    for (int w = 1; w < kColumnWarps; ++w) all += shares[w * kWarp * N + i];
    // i = j·kWarp + lane: lane's j-th column.
    const int64_t c = (static_cast<int64_t>(blockIdx.x) * kWarp + i % kWarp) * N + i / kWarp;
    if (c < columns) total[blockIdx.y * columns + c] = all;
  }
}

/// total[c] = Σ_r x[r,c]; rows of x lie `row` elements apart. Uses `workspace`, of column_sum_floats()
/// floats.
template <class E>
void column_sums(Context& context, float* total, const E* x, int64_t R, int64_t columns, int64_t row,
                 float* workspace);

/// Chunks of rows of the first stage: enough blocks to fill the device, and 64 rows at least in each.
inline int64_t row_chunks(Context& context, int64_t R, int64_t columns) {
  const int64_t across = divide_up(columns, kWarp * 4);
  const int64_t wanted = divide_up(4 * on_cuda(context).processors(), across);
  return std::max<int64_t>(1, std::min(wanted, R / 64));
}
inline int64_t column_sum_floats(Context& context, int64_t R, int64_t columns) {
  return row_chunks(context, R, columns) * columns;
}

namespace detail {
template <class E>
void add_chunks(Context& context, float* total, const E* x, int64_t R, int64_t columns, int64_t row,
                int64_t chunks) {
  constexpr int N = kLanes<E>;
  const bool vectors = aligned(x) && columns % N == 0 && row % N == 0;
  const int each = vectors ? N : 1;
  const dim3 grid(static_cast<unsigned>(divide_up(columns, int64_t{kWarp} * each)),
                  static_cast<unsigned>(chunks));
  launch(context, vectors ? add_rows<E, N> : add_rows<E, 1>, grid, kColumnWarps * kWarp,
         static_cast<size_t>(kColumnWarps * kWarp * each) * sizeof(float), total, x, R, columns, row,
         divide_up(R, chunks));
}
}  // namespace detail

template <class E>
void column_sums(Context& context, float* total, const E* x, int64_t R, int64_t columns, int64_t row,
                 float* workspace) {
  const int64_t chunks = row_chunks(context, R, columns);
  detail::add_chunks(context, chunks == 1 ? total : workspace, x, R, columns, row, chunks);
  if (chunks > 1) detail::add_chunks(context, total, workspace, chunks, columns, columns, 1);
}

}  // namespace headlight::kernels::cuda
