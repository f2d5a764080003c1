// How warps share the outputs of a product with packed weights, where few rows make it a matter of reading
// the weights once. Included by packed_bf16.cu and packed_int8.cu.
//
// Packed rows lie one behind the other, [out, depth] with depth filled up by zeros, so that a warp reads 512
// bytes of one row at a time. A warp takes a few outputs of a few rows of x; where that leaves the device
// idle, several warps share the depth and put their sums together in order. How they share depends on the
// matrix and the device alone, so that a row's bits do not depend on the rows beside it.
#pragma once

#include "kernels/cuda/activations.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/overlap.h"
#include "kernels/inference.h"

namespace headlight::kernels::cuda {

inline constexpr int kPackedThreads = 256;
inline constexpr int kPackedWarps = kPackedThreads / kWarp;
inline constexpr int kPackedOuts = 2;  ///< of a warp
inline constexpr size_t kSharedAlways = size_t{40}
                                        << 10;  ///< bytes a block has without asking, beside Output's

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

/// The lanes' sums of each of kCount values, a power of two: lane l returns that of value l·kCount/32. Each
/// exchange halves what a lane still adds, so that many values cost little more than one; the order of the
/// additions is warp_reduce's.
template <int kCount, int kHalf = kCount / 2>
__device__ __forceinline__ float warp_sums(float (&values)[kCount]) {
  if constexpr (kHalf > 0) {
    constexpr int kDistance = kWarp * kHalf / kCount;
    const bool upper = (lane_index() & kDistance) != 0;
#pragma unroll
    for (int i = 0; i < kHalf; ++i) {
      const float kept = upper ? values[i + kHalf] : values[i];
      const float given = upper ? values[i] : values[i + kHalf];
      values[i] = kept + __shfl_xor_sync(kAllLanes, given, kDistance);
    }
    return warp_sums<kCount, kHalf / 2>(values);
  } else {
#pragma unroll
    for (int distance = kWarp / kCount / 2; distance > 0; distance /= 2) {
      values[0] += __shfl_xor_sync(kAllLanes, values[0], distance);
    }
    return values[0];
  }
}

/// A norm's gain and shift where a thread needs them first: read ahead of the row.
struct NormAhead {
  static constexpr int kCount = 4;
  float gain[kCount];
  float shift[kCount];

  NormAhead() = default;
  __device__ __forceinline__ NormAhead(const LinearFusion& fusion, int in) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const int k = static_cast<int>(threadIdx.x) + i * kPackedThreads;
      gain[i] = k < in ? fusion.gain[k] : 0.0F;
      shift[i] = k < in && fusion.shift != nullptr ? fusion.shift[k] : 0.0F;
    }
  }
};

/// to[k] = norm(x)[k] for k < in, by the whole block; it ends with a barrier. A thread holds its first
/// values, so that a row of up to kCount·kPackedThreads comes from memory once.
__device__ inline void normalize_row(float* to, const float* x, const LinearFusion& fusion,
                                     const NormAhead& ahead, int in) {
  constexpr int kCount = NormAhead::kCount;
  constexpr int kHeld = kCount * kPackedThreads;
  const auto thread = static_cast<int>(threadIdx.x);
  float held[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const int k = thread + i * kPackedThreads;
    held[i] = k < in ? x[k] : 0.0F;
  }
  const float inverse_width = 1.0F / static_cast<float>(in);
  float mean = 0.0F;
  if (fusion.norm == LinearFusion::Norm::layernorm) {
    float total = 0.0F;
#pragma unroll
    for (const float value : held) total += value;
    for (int k = thread + kHeld; k < in; k += kPackedThreads) total += x[k];
    mean = block_reduce(total, Add{}) * inverse_width;
  }
  float squares = 0.0F;
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const float distance = thread + i * kPackedThreads < in ? held[i] - mean : 0.0F;
    squares += distance * distance;
  }
  for (int k = thread + kHeld; k < in; k += kPackedThreads) squares += (x[k] - mean) * (x[k] - mean);
  const float inverse = 1.0F / sqrtf(block_reduce(squares, Add{}) * inverse_width + fusion.eps);
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    const int k = thread + i * kPackedThreads;
    if (k < in) to[k] = (held[i] - mean) * inverse * ahead.gain[i] + ahead.shift[i];
  }
  for (int k = thread + kHeld; k < in; k += kPackedThreads) {
    const float value = (x[k] - mean) * inverse * fusion.gain[k];
    to[k] = fusion.shift == nullptr ? value : value + fusion.shift[k];
  }
  __syncthreads();
}

/// The output that a lane writes in the end, where it writes one, and what stands beside the sum
/// there: the bias is read ahead, the residual while the sum is worked out.
template <int kCount>
class Output {
 public:
  __device__ __forceinline__ Output(const PackedWarp& warp, int64_t row, int64_t R, int64_t out,
                                    const float* bias) {
    const int lane = lane_index();
    const int64_t r = row + lane / kPackedOuts;
    const int64_t o = warp.o + lane % kPackedOuts;
    writes_ = warp.part == 0 && lane < kCount && r < R && o < out;
    at_ = r * out + o;
    bias_ = writes_ && bias != nullptr ? bias[o] : 0.0F;
  }
  /// Behind wait_for_previous().
  __device__ __forceinline__ void read_residual(const LinearFusion& fusion) {
    residual_ = writes_ && fusion.residual != nullptr ? fusion.residual[at_] : 0.0F;
  }
  /// Puts together what the lanes and warps of an output hold, total[r·kPackedOuts + o], and writes it. The
  /// whole block arrives.
  __device__ __forceinline__ void finish(float* y, float (&total)[kCount], int warps,
                                         const LinearFusion& fusion) const {
    __shared__ float sums[kPackedWarps][kCount];
    const int lane = lane_index();
    const float mine = warp_sums(total);
    if (lane % (kWarp / kCount) == 0) sums[warp_index()][lane / (kWarp / kCount)] = mine;
    __syncthreads();
    if (!writes_) return;
    float sum = sums[warp_index()][lane];
    for (int i = 1; i < warps; ++i) sum += sums[warp_index() + i][lane];
    y[at_] = activate(fusion.activation, sum + bias_) + residual_;
  }

 private:
  bool writes_;
  int64_t at_;
  float bias_;
  float residual_ = 0.0F;
};

/// Calls run with a number of rows that a warp takes at once: all R where they are few, fewer where
/// `bytes_of_row` of each would not fit into shared memory.
template <class Run>
void with_packed_rows(int64_t R, int64_t bytes_of_row, const Run& run) {
  const int64_t most =
      bytes_of_row == 0 ? R : std::min(R, static_cast<int64_t>(kSharedAlways) / bytes_of_row);
  if (most <= 1) {
    run(Count<1>{});
  } else if (most <= 2) {
    run(Count<2>{});
  } else if (most <= 4) {
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
