// Stands in for kernels/cuda/overlap_device.h on the emulated device.
#pragma once

#include <cstdint>

#include "tests/support/simt/simt.h"

namespace headlight::kernels::cuda {

inline void let_next_start() {}
inline void wait_for_previous() { simt::wait_for_previous(); }
inline void bring_to_cache(const void* memory, int64_t bytes) { simt::bring_to_cache(memory, bytes); }

}  // namespace headlight::kernels::cuda
