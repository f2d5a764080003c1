// How many CUDA devices there are. Host code, for the CUDA backend alone.
#pragma once

#include <string>

namespace headlight::kernels::cuda {

/// Number of devices; 0 with a sentence in `why_not` where there is none or the driver cannot serve this
/// build.
[[nodiscard]] int device_count(std::string& why_not);

}  // namespace headlight::kernels::cuda
