// The device side of overlap.h. Apart from it because the emulated device has its own, which hides from a
// kernel what others wrote until it has waited for them.
#pragma once

#include <cstdint>

namespace headlight::kernels::cuda {

/// Kernels behind this one may start as soon as every block of it has called this or returned.
__device__ __forceinline__ void let_next_start() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/// Returns once the kernels before this one are done and what they wrote is there.
__device__ __forceinline__ void wait_for_previous() {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Asks for `bytes` from `memory` on to be brought into L2, both multiples of 16; by one thread. Only where
/// there is something to wait for meanwhile.
__device__ __forceinline__ void bring_to_cache(const void* memory, int64_t bytes) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(memory)),
               "r"(static_cast<uint32_t>(bytes))
               : "memory");
#else
  static_cast<void>(memory);
  static_cast<void>(bytes);
#endif
}

}  // namespace headlight::kernels::cuda
