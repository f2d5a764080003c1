// δ of a warp's rows: what the fused attention's backward pass begins with on every generation of tensor
// cores. Included by attention_backward.cu and attention_hopper_backward.cu.
#pragma once

#include "kernels/cuda/attention_heads.h"

namespace headlight::kernels::cuda {

/// δ[i] = Σ_d dz[i,d]·z[i,d] of 16 rows of a warp, a group of lanes a row. Made in two steps, so that the
/// rows of z come from memory while dz is still on its way to its tile.
template <class E, int kSize>
class RowDots {
 public:
  /// Loads z's rows from `row` on.
  __device__ RowDots(const Rows<const E>& z, int row) : row_(row), count_(z.count) {
#pragma unroll
    for (int i = 0; i < kTurns; ++i) z_[i] = read_chunk<E>(z, row_of_turn(i), chunk_of_lane());
  }
  /// Sums: dot[half] of row g + 8·half, 0 beyond the last. `dz` holds the rows under the same numbers;
  /// `delta` gets them too.
  template <class AnyTile>
  __device__ void sum(float (&dot)[2], float* delta, const AnyTile& dz) const {
    const Lane lane = this_lane();
    dot[0] = dot[1] = 0.0F;
#pragma unroll
    for (int i = 0; i < kTurns; ++i) {
      const int row = row_of_turn(i);
      const Chunk<E> other = dz.chunk(row, chunk_of_lane());
      float total = 0.0F;
#pragma unroll
      for (int e = 0; e < Chunk<E>::kElements; ++e)
        total += to_float(z_[i].element[e]) * to_float(other.element[e]);
#pragma unroll
      for (int step = 1; step < kChunks; step *= 2) total += __shfl_xor_sync(kAllLanes, total, step);
      if (chunk_of_lane() == 0 && row < count_) delta[row] = total;
      // To the lanes that hold this row of an accumulator.
      total = __shfl_sync(kAllLanes, total, lane.g % kRows * kChunks);
#pragma unroll
      for (int half = 0; half < 2; ++half)
        if ((lane.g + 8 * half) / kRows == i) dot[half] = total;
    }
  }

 private:
  static constexpr int kChunks = kSize / Chunk<E>::kElements;
  static constexpr int kRows = kWarp / kChunks;  // at a time
  static constexpr int kTurns = 16 / kRows;
  static_assert(kChunks <= kWarp && 8 % kRows == 0);

  __device__ static int chunk_of_lane() { return lane_index() % kChunks; }
  __device__ int row_of_turn(int i) const { return row_ + i * kRows + lane_index() / kChunks; }

  int row_, count_;
  Chunk<E> z_[kTurns];
};

}  // namespace headlight::kernels::cuda
