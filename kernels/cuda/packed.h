// How warps share the outputs of a product with packed weights, where few rows make it a matter of reading
// the weights once. Included by packed_bf16.cu and packed_int8.cu.
//
// Packed rows lie one behind the other, [out, depth] with depth filled up by zeros, so that a warp reads 512
// bytes of one row at a time. A warp takes a few outputs of a few rows of x; where that leaves the device
// idle, several warps share the depth and put their sums together in order. How they share depends on the
// matrix and the device alone, so that a row's bits do not depend on the rows beside it.
#pragma once

#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

inline constexpr int kPackedThreads = 256;
inline constexpr int kPackedWarps = kPackedThreads / kWarp;
inline constexpr int kPackedOuts = 2;  ///< of a warp

/// Warps that share an output of `steps` steps of a warp.
inline int sharing_warps(Context& context, int64_t out, int64_t steps) {
  constexpr int64_t kWarpsToFill = 32;  // of a multiprocessor
  const int64_t wanted = kWarpsToFill * on_cuda(context).processors();
  int warps = 1;
  while (warps < kPackedWarps && 2 * warps <= steps && divide_up(out, kPackedOuts) * warps < wanted) {
    warps *= 2;
  }
  return warps;
}

/// Blocks for all outputs, and for R rows `rows` at a time.
inline dim3 packed_grid(int64_t out, int warps, int64_t R, int rows) {
  const int64_t outs_of_block = kPackedWarps / warps * kPackedOuts;
  return {static_cast<unsigned>(divide_up(out, outs_of_block)), static_cast<unsigned>(divide_up(R, rows))};
}

/// Where a warp stands in that grid: its first output, and which part of the depth is its own.
struct PackedWarp {
  int64_t o;
  int part;
};
__device__ __forceinline__ PackedWarp packed_warp(int warps) {
  const int64_t group = static_cast<int64_t>(blockIdx.x) * (kPackedWarps / warps) + warp_index() / warps;
  return {group * kPackedOuts, warp_index() % warps};
}

/// Puts together what the warps of an output hold, total[r][o] the same in all lanes of one, and calls
/// write(r, o, sum) in one lane for each. The whole block arrives.
template <int kRows, class Write>
__device__ __forceinline__ void finish_outputs(const float (&total)[kRows][kPackedOuts], int warps, int part,
                                               const Write& write) {
  __shared__ float sums[kPackedWarps][kRows * kPackedOuts];
  const int lane = lane_index();
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int o = 0; o < kPackedOuts; ++o) {
      if (lane == r * kPackedOuts + o) sums[warp_index()][lane] = total[r][o];
    }
  }
  __syncthreads();
  if (part != 0 || lane >= kRows * kPackedOuts) return;
  float sum = sums[warp_index()][lane];
  for (int i = 1; i < warps; ++i) sum += sums[warp_index() + i][lane];
  write(lane / kPackedOuts, lane % kPackedOuts, sum);
}

/// Calls run with a number of rows that a warp takes at once: R itself where it is small.
template <class Run>
void with_packed_rows(int64_t R, const Run& run) {
  if (R <= 1) {
    run(Count<1>{});
  } else if (R <= 2) {
    run(Count<2>{});
  } else if (R <= 4) {
    run(Count<4>{});
  } else {
    run(Count<8>{});
  }
}

/// Element (k, o) of an unpacked W.
struct Unpacked {
  int64_t in, out;
  bool by_input;  ///< W [in,out], else [out,in]
  __host__ __device__ int64_t at(int64_t k, int64_t o) const { return by_input ? k * out + o : o * in + k; }
};

}  // namespace headlight::kernels::cuda
