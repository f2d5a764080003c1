// Between float and the 16-bit element types with the device's own instructions; element.h says what they
// compute. Apart from device.h because the emulated device has its own.
#pragma once

#include <type_traits>

#include "kernels/element.h"

namespace headlight::kernels::cuda {

__device__ __forceinline__ float wide(float value) { return value; }
__device__ __forceinline__ float wide(bfloat16 value) { return to_float(value); }  // one shift
__device__ __forceinline__ float wide(float16 value) {
  float result;
  asm("cvt.f32.f16 %0, %1;" : "=f"(result) : "h"(value.bits));
  return result;
}

/// Nearest E, ties to even.
template <class E>
__device__ __forceinline__ E narrow_to(float value) {
  if constexpr (sizeof(E) == sizeof(float)) {
    return value;
  } else {
    E result;
    if constexpr (std::is_same_v<E, bfloat16>) {
      asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    } else {
      asm("cvt.rn.f16.f32 %0, %1;" : "=h"(result.bits) : "f"(value));
    }
    return result;
  }
}

}  // namespace headlight::kernels::cuda
