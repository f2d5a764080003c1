// Stands in for kernels/cuda/shared.h on the emulated device.
#pragma once

#include "tests/support/simt/simt.h"

namespace headlight::kernels::cuda {

template <class T>
T* shared_memory() {
  return static_cast<T*>(simt::shared_memory());
}

}  // namespace headlight::kernels::cuda
