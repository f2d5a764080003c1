// The online softmax of the fused attention's forward kernels: what 16 rows of a warp have seen so far.
// Included by attention.cu and attention_hopper*.cu.
#pragma once

#include "kernels/cuda/attention_heads.h"

namespace headlight::kernels::cuda {

/// Of rows g and g + 8 of a fragment, index [half]: 2^shift is taken out of every power.
struct Running {
  float shift[2] = {-INFINITY, -INFINITY};
  float total[2] = {};  ///< Σ 2^(score − shift) over this lane's columns, over the row's after finish()

  /// Turns scores (·scale, in powers of two) into powers relative to the new maximum; `factor` is what sums
  /// made with the old one have to be multiplied by.
  template <int kN>
  __device__ void absorb(float (&scores)[kN][4], float (&factor)[2], float scale) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float highest = scores[0][2 * half];
#pragma unroll
      for (int n = 0; n < kN; ++n)
        highest = fmaxf(highest, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
      highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, 1));
      highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, 2));
      const float next = fmaxf(shift[half], highest * scale);
      factor[half] = exp2_approximate(shift[half] - next);
      float sum = 0.0F;
#pragma unroll
      for (int n = 0; n < kN; ++n) {
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          scores[n][e] = exp2_approximate(fmaf(scores[n][e], scale, -next));
          sum += scores[n][e];
        }
      }
      shift[half] = next;
      total[half] = total[half] * factor[half] + sum;
    }
  }

  /// Puts the totals of a row's lanes together and writes the log-sum-exp of the rows that lie below T; `lse`
  /// and `first` are those of row 0 of the fragment.
  __device__ void finish(float* lse, int first, int T) {
    const Lane lane = this_lane();
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      total[half] += __shfl_xor_sync(kAllLanes, total[half], 1);
      total[half] += __shfl_xor_sync(kAllLanes, total[half], 2);
      const int row = row_of(0, 2 * half, lane);
      if (lane.t == 0 && first + row < T) lse[row] = (shift[half] + log2f(total[half])) * kLn2;
    }
  }
};

/// Multiplies the rows of a fragment by factor[half]. After a few tiles the maximum rarely moves, and nothing
/// changes.
template <int kN>
__device__ void shrink(float (&sums)[kN][4], const float (&factor)[2]) {
  if (!__any_sync(kAllLanes, factor[0] != 1.0F || factor[1] != 1.0F)) return;
#pragma unroll
  for (int n = 0; n < kN; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) sums[n][e] *= factor[e / 2];
}

/// Scores of the keys from j0 on that the rows from `first` on do not see become −∞.
template <int kN>
__device__ void mask_scores(float (&scores)[kN][4], const Attention& a, int first, int j0) {
  const Lane lane = this_lane();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    // How many of the keys from this lane's first column on the row sees.
    const int seen = a.limit(first + row_of(0, 2 * half, lane)) - j0 - column_of(0, 0, lane);
#pragma unroll
    for (int n = 0; n < kN; ++n)
#pragma unroll
      for (int e = 0; e < 2; ++e)
        if (8 * n + e >= seen) scores[n][2 * half + e] = -INFINITY;
  }
}

}  // namespace headlight::kernels::cuda
