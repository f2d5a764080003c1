// Sorting rank_key's keys in shared memory; used by inspection_top.cu and best.cu.
#pragma once

#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

/// Sorts keys [n], n a power of two, largest first, by the whole block. Ends with a barrier.
__device__ __forceinline__ void sort_keys(uint64_t* keys, int n) {
  for (int size = 2; size <= n; size *= 2) {
    for (int distance = size / 2; distance > 0; distance /= 2) {
      for (int i = static_cast<int>(threadIdx.x); i < n; i += static_cast<int>(blockDim.x)) {
        const int other = i ^ distance;
        const bool descending = (i & size) == 0;
        if (other > i && (keys[i] < keys[other]) == descending) {
          const uint64_t kept = keys[i];
          keys[i] = keys[other];
          keys[other] = kept;
        }
      }
      __syncthreads();
    }
  }
}

}  // namespace headlight::kernels::cuda
