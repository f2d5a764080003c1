// What device code shares: 16-byte loads and stores, reductions over a warp and a block in a fixed order, and
// loops over rows of any length. Every .cu file includes it. Nothing here uses atomics, so results repeat bit
// by bit.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/cuda/context.h"
#include "kernels/cuda/convert.h"
#include "kernels/cuda/shared.h"

namespace headlight::kernels::cuda {

inline constexpr int kWarp = 32;
inline constexpr unsigned kAllLanes = 0xFFFFFFFFU;

__device__ __forceinline__ int lane_index() { return static_cast<int>(threadIdx.x) % kWarp; }
__device__ __forceinline__ int warp_index() { return static_cast<int>(threadIdx.x) / kWarp; }
/// Index of this thread in a one-dimensional grid, and how many threads it has.
__device__ __forceinline__ int64_t thread_in_grid() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
__device__ __forceinline__ int64_t threads_in_grid() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

// --- elements ---------------------------------------------------------------------------------------------
/// Elements of E in 16 bytes.
template <class E>
inline constexpr int kLanes = 16 / static_cast<int>(sizeof(E));

/// N elements as float, in registers.
template <int N>
struct Floats {
  float at[N];
  __device__ __forceinline__ float& operator[](int i) { return at[i]; }
  __device__ __forceinline__ float operator[](int i) const { return at[i]; }
};

/// N elements as they lie in memory; loads and stores of 16 bytes, of fewer where they are fewer.
template <class E, int N>
struct alignas(sizeof(E) * N < 16 ? sizeof(E) * N : 16) Packed {
  E at[N];
};

/// N elements from p, which is aligned to N elements or 16 bytes.
template <int N, class E>
__device__ __forceinline__ Floats<N> load(const E* p) {
  const Packed<E, N> packed = *reinterpret_cast<const Packed<E, N>*>(p);
  Floats<N> values;
#pragma unroll
  for (int i = 0; i < N; ++i) values[i] = wide(packed.at[i]);
  return values;
}

template <int N, class E>
__device__ __forceinline__ void store(E* p, const Floats<N>& values) {
  Packed<E, N> packed;
#pragma unroll
  for (int i = 0; i < N; ++i) packed.at[i] = narrow_to<E>(values[i]);
  *reinterpret_cast<Packed<E, N>*>(p) = packed;
}

/// How many elements a call of a row's or array's body handles, as a type.
template <int N>
struct Count {
  static constexpr int value = N;
};

/// True where all of these may be read 16 bytes at a time from their first element on.
template <class... P>
bool aligned(const P*... pointers) {
  return ((reinterpret_cast<uintptr_t>(pointers) % 16 == 0) && ...);
}

/// Calls body(i, Count<N>) over [0, n): N elements from i on, with N = kLanes<E> where `vectors`, else 1. The
/// calls are shared among the threads first, first + step, …; bodies see aligned i when the arrays are
/// aligned.
template <class E, class Body>
__device__ __forceinline__ void for_array(int64_t n, bool vectors, int64_t first, int64_t step,
                                          const Body& body) {
  constexpr int N = kLanes<E>;
  const int64_t whole = vectors ? n / N : 0;
  for (int64_t i = first; i < whole; i += step) body(i * N, Count<N>{});
  for (int64_t i = whole * N + first; i < n; i += step) body(i, Count<1>{});
}

/// The same over one row that starts `offset` elements after a 16-byte boundary: single elements up to the
/// next boundary, then N at a time, then the rest. For rows of a matrix whose width N does not divide.
template <class E, class Body>
__device__ __forceinline__ void for_row(int64_t n, int64_t offset, bool vectors, int first, int step,
                                        const Body& body) {
  constexpr int N = kLanes<E>;
  const auto past = static_cast<int>(offset % N);
  const int64_t to_boundary = past == 0 ? 0 : N - past;
  const int64_t head = to_boundary < n ? to_boundary : n;
  const int64_t whole = vectors ? (n - head) / N : 0;
  const int64_t lead = vectors ? head : 0;
  for (int64_t i = first; i < lead; i += step) body(i, Count<1>{});
  for (int64_t i = first; i < whole; i += step) body(lead + i * N, Count<N>{});
  for (int64_t i = lead + whole * N + first; i < n; i += step) body(i, Count<1>{});
}

// --- reductions -------------------------------------------------------------------------------------------
struct Add {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Largest {
  __device__ __forceinline__ float operator()(float a, float b) const { return fmaxf(a, b); }
};

/// The lanes' values put together, the same bits in every lane. `op` is commutative.
template <class T, class Op>
__device__ __forceinline__ T warp_reduce(T value, Op op) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value = op(value, __shfl_xor_sync(kAllLanes, value, distance));
  }
  return value;
}

/// The same over a block of whole warps. Ends with a barrier, so that calls may follow each other.
template <class T, class Op>
__device__ T block_reduce(T value, Op op) {
  __shared__ T totals[kWarp];
  const int warps = static_cast<int>(blockDim.x) / kWarp;
  value = warp_reduce(value, op);
  if (warps == 1) return value;
  if (lane_index() == 0) totals[warp_index()] = value;
  __syncthreads();
  // Every thread adds the warps' values in the same order.
  T total = totals[0];
  for (int i = 1; i < warps; ++i) total = op(total, totals[i]);
  __syncthreads();
  return total;
}

// --- rows -------------------------------------------------------------------------------------------------
/// The threads that share a row: a warp, so that short rows keep the device busy, or a whole block. Rows are
/// shared among all teams of the grid.
template <bool kBlock>
struct Team {
  __device__ __forceinline__ static int size() { return kBlock ? static_cast<int>(blockDim.x) : kWarp; }
  __device__ __forceinline__ static int rank() {
    return kBlock ? static_cast<int>(threadIdx.x) : lane_index();
  }
  __device__ __forceinline__ static int64_t first_row() {
    return kBlock ? blockIdx.x : thread_in_grid() / kWarp;
  }
  __device__ __forceinline__ static int64_t row_step() {
    return kBlock ? gridDim.x : threads_in_grid() / kWarp;
  }
  /// The members' values put together, the same bits for each of them.
  template <class T, class Op>
  __device__ __forceinline__ static T reduce(T value, Op op) {
    if constexpr (kBlock) {
      return block_reduce(value, op);
    } else {
      return warp_reduce(value, op);
    }
  }
};

/// Rows up to this width belong to a warp.
inline constexpr int64_t kWarpRow = 1024;
inline constexpr int kTeamThreads = 256;

/// Starts block_kernel or warp_kernel, the two instances of one kernel, over R rows of N elements.
template <class... P, class... A>
void launch_rows(Context& context, void (*warp_kernel)(P...), void (*block_kernel)(P...), int64_t R,
                 int64_t N, Grid at, A&&... arguments) {
  const bool block = N > kWarpRow;
  const int64_t rows_in_block = block ? 1 : kTeamThreads / kWarp;
  at.size = dim3(static_cast<unsigned>(blocks_for(context, R, rows_in_block)));
  launch(context, block ? block_kernel : warp_kernel, at, kTeamThreads, 0, std::forward<A>(arguments)...);
}

}  // namespace headlight::kernels::cuda
