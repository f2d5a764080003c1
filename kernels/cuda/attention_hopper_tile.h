// A tile of one head in shared memory as Hopper's tensor cores read it (wgmma.h), and the products of a
// warpgroup with it. Included by attention_hopper.cu and attention_hopper_backward.cu.
//
// Columns lie in panels of 64, a panel's row is 128 bytes, and its 16-byte chunks are permuted by the row:
// the 128-byte swizzle that the tensor cores know.
#pragma once

#include "kernels/cuda/attention_tile.h"
#include "kernels/cuda/wgmma.h"

namespace headlight::kernels::cuda {

/// Rows of a warpgroup's product.
inline constexpr int kGroupRows = 64;

/// kRows rows of kSize columns of 16 bits, from a multiple of 1024 bytes of shared memory on.
template <class E, int kSize, int kRows>
class PanelTile {
 public:
  static constexpr int kChunks = kSize / Chunk<E>::kElements;  ///< of a row
  static constexpr int kBytes = kRows * kSize * static_cast<int>(sizeof(E));
  static_assert(sizeof(E) == 2 && kSize % 64 == 0 && kRows % 8 == 0);

  __device__ explicit PanelTile(char* memory) : memory_(memory) {}

  __device__ Chunk<E>& chunk(int row, int c) const {
    return *reinterpret_cast<Chunk<E>*>(memory_ + c / 8 * kPanel + row * 128 + ((c ^ row) & 7) * 16);
  }

  /// Starts the copy of all rows, of kSize elements, by a block of kThreads; what lies beyond them becomes
  /// zero. Complete after close_copies, await_copies, fence_shared and a barrier. kTogether copies of a
  /// thread are unrolled: fewer need fewer registers.
  template <int kThreads, int kTogether = kRows>
  __device__ void fetch(const Rows<const E>& rows) const {
    constexpr int kStep = kThreads / kChunks;  // rows that the block copies at a time
    static_assert(kThreads % kChunks == 0 && kRows % kStep == 0 && kStep % 8 == 0);
    const int c = static_cast<int>(threadIdx.x) % kChunks;
    const int first = static_cast<int>(threadIdx.x) / kChunks;
    const int step = kStep * static_cast<int>(rows.stride);
    const E* from = rows.first + (first * static_cast<int>(rows.stride) + c * Chunk<E>::kElements);
    char* to = reinterpret_cast<char*>(&chunk(first, c));
#pragma unroll kTogether
    for (int row = 0; row < kRows; row += kStep, from += step)
      copy_async_16(to + row * 128, from, first + row < rows.count);
  }

  /// 16 columns from `column` on (a multiple of 16) of the rows from `row` on (of 8), as an operand that is
  /// summed along its rows. A step within a panel is an addition to its descriptor's address, which the
  /// compiler would not find.
  __device__ SharedMatrix along_rows(int row, int column) const {
    const SharedMatrix panel = rows_operand(memory_ + column / 64 * kPanel, row, 0);
    return {panel.bits + static_cast<uint64_t>(column % 64 * 2 / 16)};
  }
  /// 16 rows from `row` on and all columns, as an operand that is summed across its rows.
  __device__ SharedMatrix down_columns(int row) const {
    return {columns_operand(memory_, 0, kPanel).bits + static_cast<uint64_t>(row * 128 / 16)};
  }

 private:
  static constexpr int kPanel = kRows * 128;  // bytes
  char* memory_;
};

/// Leaves out the first n rows: cheaper, tile by tile, than their place in the tensor.
template <class E>
__device__ void skip_rows(Rows<E>& rows, int n) {
  rows.first += n * rows.stride;
  rows.count -= n;
}

/// Starts x[i,j] = Σ_d a[row + i,d]·b[j,d], i over the warpgroup's 64 rows, j over all rows of b.
template <class E, int kSize, int kOwned, int kRows>
__device__ void start_product(WarpgroupAccumulator<kRows>& x, const PanelTile<E, kSize, kOwned>& a, int row,
                              const PanelTile<E, kSize, kRows>& b) {
#pragma unroll
  for (int column = 0; column < kSize; column += 16)
    multiply<E, kRows>(x, a.along_rows(row, column), b.along_rows(0, column), column > 0);
}

/// Starts sum[i,d] += Σ_j a[i,j]·b[j,d] with fragments of a in registers, which stay as they are until it is
/// awaited.
template <class E, int kSize, int kRows>
__device__ void start_adding(WarpgroupAccumulator<kSize>& sum, const uint32_t (&a)[kRows / 16][4],
                             const PanelTile<E, kSize, kRows>& b) {
#pragma unroll
  for (int step = 0; step < kRows / 16; ++step)
    multiply_registers<E, kSize>(sum, a[step], b.down_columns(16 * step), true);
}

/// Writes a warp's 16 rows x[i,:]·factor to global memory by way of its own rows of a tile, which nobody
/// reads any more. `rows` starts at the tile's row 0.
template <class E, int kSize, int kRows>
__device__ void write_rows(const Rows<E>& rows, const PanelTile<E, kSize, kRows>& tile, int row,
                           const WarpgroupAccumulator<kSize>& x, float factor) {
  const Lane lane = this_lane();
#pragma unroll
  for (int n = 0; n < kSize / 8; ++n) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      E* to = tile.chunk(row + row_of(0, 2 * half, lane), n).element + 2 * lane.t;
      *reinterpret_cast<uint32_t*>(to) = pack<E>(x[n][2 * half] * factor, x[n][2 * half + 1] * factor);
    }
  }
  __syncwarp();
  constexpr int kChunks = kSize / Chunk<E>::kElements;
#pragma unroll
  for (int i = 0; i < 16 * kChunks / kWarp; ++i) {
    const auto place = static_cast<unsigned>(kWarp * i + lane.index);
    const int at = row + static_cast<int>(place / kChunks);
    const auto c = static_cast<int>(place % kChunks);
    write_chunk(rows, at, c, tile.chunk(at, c));
  }
}

}  // namespace headlight::kernels::cuda
