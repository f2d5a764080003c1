// A block's dynamic shared memory. Apart from device.h because the emulated device has its own.
#pragma once

namespace headlight::kernels::cuda {

/// What launch() was given as shared_bytes, 16-byte aligned.
template <class T>
__device__ __forceinline__ T* shared_memory() {
  extern __shared__ __align__(16) unsigned char headlight_shared_memory[];
  return reinterpret_cast<T*>(headlight_shared_memory);
}

}  // namespace headlight::kernels::cuda
