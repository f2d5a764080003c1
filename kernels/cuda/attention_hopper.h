// Fused attention on Hopper's warpgroup products: which calls it serves, and its two directions. Called by
// attention.cu and attention_backward.cu; defined in attention_hopper*.cu, which are compiled for sm_90a
// alone and missing from builds without that architecture.
#pragma once

#include "kernels/cuda/attention_heads.h"

namespace headlight::kernels::cuda {

/// Whether this build has them (kernels/CMakeLists.txt).
#ifdef HEADLIGHT_HOPPER
inline constexpr bool kHopperBuilt = true;
#else
inline constexpr bool kHopperBuilt = false;
#endif

/// Whether they serve an attention on this device: 16-bit elements, heads of 64 or 128.
template <class E>
bool fits_hopper(Context& context, const Attention& a) {
  return kHopperBuilt && sizeof(E) == 2 && on_cuda(context).hopper() && (a.D == 64 || a.D == 128);
}

/// As attention_forward and attention_backward, for bfloat16 and float16.
template <class E>
void attention_forward_hopper(Context& context, E* z, float* lse, const E* qkv, const Attention& a,
                              int64_t B);
template <class E>
void attention_backward_hopper(Context& context, E* dqkv, const E* dz, const E* z, const float* lse,
                               const E* qkv, const Attention& a, int64_t B);

/// Tiles for warpgroup products start at multiples of these bytes of shared memory; a kernel asks for as many
/// bytes more than its tiles take.
inline constexpr int kTileAlignment = 1024;
/// The first such place of a block's dynamic shared memory.
__device__ inline char* aligned_shared_memory() {
  char* memory = shared_memory<char>();
  return memory + (kTileAlignment - reinterpret_cast<uintptr_t>(memory) % kTileAlignment) % kTileAlignment;
}

}  // namespace headlight::kernels::cuda
