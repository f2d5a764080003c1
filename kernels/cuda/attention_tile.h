// What the fused attention kernels are made of: tiles in shared memory, their fragments, and products of
// tiles on tensor cores. Included by attention.cu and attention_backward.cu.
//
// A tile has `kRows` rows of one head (queries or keys) and kSize ≥ D columns, those from D on zero. Its
// 16-byte chunks are permuted within a row so that eight lanes reading a column of chunks, and eight reading
// one row, meet eight different bank groups. A step is 32 bytes of a row: 16 elements of 16 bits or 8 of
// fp32; in both cases it is one A fragment of 16 rows, or two B fragments of 8.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/cuda/mma.h"

namespace headlight::kernels::cuda {

inline constexpr int kTileWarps = 4;
inline constexpr int kTileThreads = kWarp * kTileWarps;

/// Where a lane stands in a fragment: see mma.h.
struct Lane {
  int index, g, t;
};
__device__ inline Lane this_lane() {
  const int index = lane_index();
  return {index, index / 4, index % 4};
}

/// Rows of one head in global memory: `stride` elements apart, `count` of them from `first` on, D elements
/// each. `wide`: every row starts and ends at a multiple of 16 bytes; else at a multiple of 4.
template <class E>
struct Rows {
  E* first;
  int64_t stride;
  int count;
  int D;
  bool wide;
};

/// 16 bytes of a row, as elements and as words.
template <class E>
struct alignas(16) Chunk {
  static constexpr int kElements = 16 / static_cast<int>(sizeof(E));
  static constexpr int kInWord = 4 / static_cast<int>(sizeof(E));
  E element[kElements];

  __device__ uint32_t* words() { return reinterpret_cast<uint32_t*>(element); }
};

/// Chunk c of row `row`; zeros outside.
template <class E>
__device__ Chunk<E> read_chunk(const Rows<const E>& rows, int row, int c) {
  Chunk<E> chunk{};
  const int first = c * Chunk<E>::kElements;
  if (row >= rows.count || first >= rows.D) return chunk;
  const E* from = rows.first + row * rows.stride + first;
  if (rows.wide) return *reinterpret_cast<const Chunk<E>*>(from);
#pragma unroll
  for (int word = 0; word < 4; ++word)
    if (first + word * Chunk<E>::kInWord < rows.D)
      chunk.words()[word] = reinterpret_cast<const uint32_t*>(from)[word];
  return chunk;
}

template <class E>
__device__ void write_chunk(const Rows<E>& rows, int row, int c, Chunk<E>& chunk) {
  const int first = c * Chunk<E>::kElements;
  if (row >= rows.count || first >= rows.D) return;
  E* to = rows.first + row * rows.stride + first;
  if (rows.wide) {
    *reinterpret_cast<Chunk<E>*>(to) = chunk;
    return;
  }
#pragma unroll
  for (int word = 0; word < 4; ++word)
    if (first + word * Chunk<E>::kInWord < rows.D)
      reinterpret_cast<uint32_t*>(to)[word] = chunk.words()[word];
}

/// A tile of shared memory.
template <class E, int kSize>
class Tile {
 public:
  static constexpr int kChunks = kSize / Chunk<E>::kElements;      ///< of a row
  static constexpr int kDepth = 32 / static_cast<int>(sizeof(E));  ///< elements of a step
  static constexpr int kSteps = kSize / kDepth;
  static_assert(kChunks >= 4 && (kChunks & (kChunks - 1)) == 0, "the permutation needs a power of two");

  __device__ explicit Tile(char* memory) : memory_(memory) {}
  /// Bytes of `rows` rows.
  __host__ __device__ static constexpr int bytes(int rows) {
    return rows * kSize * static_cast<int>(sizeof(E));
  }

  __device__ Chunk<E>& chunk(int row, int c) const {
    return *reinterpret_cast<Chunk<E>*>(memory_ + place(row, c));
  }
  __device__ E& element(int row, int column) const {
    return chunk(row, column / Chunk<E>::kElements).element[column % Chunk<E>::kElements];
  }

  /// Starts the copy of kRows rows by the whole block; what lies beyond the rows or beyond D becomes zero.
  /// Complete after close_copies, await_copies and a barrier.
  template <int kRows>
  __device__ void fetch(const Rows<const E>& rows) const {
    static_assert(kRows * kChunks % kTileThreads == 0 && kTileThreads % kChunks == 0);
    constexpr int kTogether = kTileThreads / kChunks;  // rows that the block copies at a time
    const int c = static_cast<int>(threadIdx.x) % kChunks;
    const int first = static_cast<int>(threadIdx.x) / kChunks;
    const int column = c * Chunk<E>::kElements;
    const E* from = rows.first + first * rows.stride + column;
#pragma unroll
    for (int i = 0; i < kRows / kTogether; ++i, from += kTogether * rows.stride) {
      const int row = first + i * kTogether;
      Chunk<E>& to = chunk(row, c);
      if (rows.wide) {
        const bool wanted = row < rows.count && column < rows.D;
        copy_async_16(&to, wanted ? from : rows.first, wanted);
      } else {
#pragma unroll 1
        for (int word = 0; word < 4; ++word) {
          const int ahead = word * Chunk<E>::kInWord;
          const bool wanted = row < rows.count && column + ahead < rows.D;
          copy_async_4(to.words() + word, wanted ? from + ahead : rows.first, wanted);
        }
      }
    }
  }

  /// Sixteen rows from `row` on (a multiple of 8) of a step: as an A fragment, r as it is; as two B fragments
  /// of a product with the rows' transpose, {r[0], r[2]} for rows 0–7 and {r[1], r[3]} for rows 8–15.
  __device__ void load(uint32_t (&r)[4], int row, int step) const {
    const int lane = this_lane().index;
    load_matrices(r, memory_ + beyond(place(lane % 16, lane / 16), row, 2 * step));
  }

  /// kDepth rows from `row` on and 16 columns from `column` on as two B fragments, {r[0], r[1]} and {r[2],
  /// r[3]}. In fp32 the rows are taken in the order 0 2 4 6 1 3 5 7, the order of as_operand.
  __device__ void load_transposed(uint32_t (&r)[4], int row, int column) const {
    const Lane lane = this_lane();
    if constexpr (sizeof(E) == 2) {
      load_matrices_transposed(r, memory_ + beyond(place(lane.index % 16, lane.index / 16), row, column / 8));
    } else {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int at = beyond(place(2 * lane.t + i % 2, lane.g / 4), row, column / 4 + 2 * (i / 2));
        r[i] = reinterpret_cast<const uint32_t*>(memory_ + at)[lane.g % 4];
      }
    }
  }

 private:
  /// Byte offset of chunk c of a row.
  __device__ static int place(int row, int c) {
    const int turn = kChunks >= 8 ? row % 8 : row / 2 % 4;
    return (row * kChunks + (c ^ turn)) * 16;
  }
  /// From the place of a lane's chunk 0 or 1, the place `row` rows (a multiple of 8) and c chunks (even)
  /// beyond. With constants for both, the lane's few registers serve a whole tile.
  __device__ static int beyond(int place, int row, int c) {
    return (place ^ (c % 8 * 16)) + c / 8 * 128 + row * kChunks * 16;
  }

  char* memory_;
};

/// An accumulator of 16·kM rows and 8·kN columns; [m][n] is one of mma.h's. In kernels its sizes are named
/// through their class (Cut::kM): CUDA 12.4's nvcc breaks down over constants of the function.
template <int kM, int kN>
using Accumulator = float[kM][kN][4];

template <int kM, int kN>
__device__ void clear(Accumulator<kM, kN>& x) {
#pragma unroll
  for (int m = 0; m < kM; ++m)
#pragma unroll
    for (int n = 0; n < kN; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) x[m][n][e] = 0.0F;
}

/// Row (of the warp's 16·kM) and column of element e of [m][n].
__device__ inline int row_of(int m, int e, const Lane& lane) { return 16 * m + 8 * (e / 2) + lane.g; }
__device__ inline int column_of(int n, int e, const Lane& lane) { return 8 * n + 2 * lane.t + e % 2; }

/// x[i,j] = Σ_d a[row + i,d]·b[other + j,d]: products of rows. kTogether steps are unrolled: fewer hold fewer
/// fragments in registers.
template <int kM, int kN, int kTogether, class E, int kSize>
__device__ void multiply_rows(Accumulator<kM, kN>& x, const Tile<E, kSize>& a, int row,
                              const Tile<E, kSize>& b, int other = 0) {
  static_assert(kN % 2 == 0);
  clear<kM, kN>(x);
#pragma unroll kTogether
  for (int step = 0; step < Tile<E, kSize>::kSteps; ++step) {
    uint32_t left[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m) a.load(left[m], row + 16 * m, step);
#pragma unroll
    for (int n = 0; n < kN; n += 2) {
      uint32_t right[4];
      b.load(right, other + 8 * n, step);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        multiply_add<E>(x[m][n], left[m], right[0], right[2]);
        multiply_add<E>(x[m][n + 1], left[m], right[1], right[3]);
      }
    }
  }
}

/// Step `step` of an accumulator's columns as an A fragment, rounded to E. The layouts of 16-bit elements
/// agree; in fp32 the columns come in the order 0 2 4 6 1 3 5 7, the order of load_transposed.
template <class E, int kN>
__device__ void as_operand(uint32_t (&a)[4], const float (&x)[kN][4], int step) {
  if constexpr (sizeof(E) == 2) {
    a[0] = pack<E>(x[2 * step][0], x[2 * step][1]);
    a[1] = pack<E>(x[2 * step][2], x[2 * step][3]);
    a[2] = pack<E>(x[2 * step + 1][0], x[2 * step + 1][1]);
    a[3] = pack<E>(x[2 * step + 1][2], x[2 * step + 1][3]);
  } else {
    a[0] = __float_as_uint(x[step][0]);
    a[1] = __float_as_uint(x[step][2]);
    a[2] = __float_as_uint(x[step][1]);
    a[3] = __float_as_uint(x[step][3]);
  }
}

/// sum[i,d] += Σ_j x[i,j]·b[j,d], j over the 8·kN rows of b.
template <int kM, int kN, class E, int kSize>
__device__ void add_product(Accumulator<kM, kSize / 8>& sum, const Accumulator<kM, kN>& x,
                            const Tile<E, kSize>& b) {
  constexpr int kDepth = Tile<E, kSize>::kDepth;
#pragma unroll
  for (int step = 0; step < 8 * kN / kDepth; ++step) {
    uint32_t left[kM][4];
#pragma unroll
    for (int m = 0; m < kM; ++m) as_operand<E>(left[m], x[m], step);
#pragma unroll
    for (int n = 0; n < kSize / 8; n += 2) {
      uint32_t right[4];
      b.load_transposed(right, step * kDepth, 8 * n);
#pragma unroll
      for (int m = 0; m < kM; ++m) {
        multiply_add<E>(sum[m][n], left[m], right[0], right[1]);
        multiply_add<E>(sum[m][n + 1], left[m], right[2], right[3]);
      }
    }
  }
}

/// Writes a warp's rows x[i,:]·factor(i) to global memory by way of its own rows of a tile, which no other
/// warp reads any more. `rows` starts at the tile's row 0.
template <int kM, class E, int kSize, class Factor>
__device__ void write_out(const Rows<E>& rows, const Tile<E, kSize>& tile, int row,
                          const Accumulator<kM, kSize / 8>& x, const Factor& factor) {
  const Lane lane = this_lane();
  __syncwarp();
#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float by = factor(m, half);
#pragma unroll
      for (int n = 0; n < kSize / 8; ++n) {
        E* to = &tile.element(row + row_of(m, 2 * half, lane), column_of(n, 0, lane));
        const float low = x[m][n][2 * half] * by;
        const float high = x[m][n][2 * half + 1] * by;
        if constexpr (sizeof(E) == 2) {
          *reinterpret_cast<uint32_t*>(to) = pack<E>(low, high);
        } else {
          *reinterpret_cast<float2*>(to) = make_float2(low, high);
        }
      }
    }
  }
  __syncwarp();
  constexpr int kChunks = Tile<E, kSize>::kChunks;
#pragma unroll
  for (int i = 0; i < 16 * kM * kChunks / kWarp; ++i) {
    const int place = kWarp * i + lane.index;
    const int at = row + place / kChunks;
    write_chunk(rows, at, place % kChunks, tile.chunk(at, place % kChunks));
  }
}

}  // namespace headlight::kernels::cuda
