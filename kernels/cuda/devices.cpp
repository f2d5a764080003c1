// CUDA devices by name, and why there is none. Used by `headlight info` and by make_cuda_backend.
#include "kernels/cuda/devices.h"

#include <cuda_runtime.h>

#include "kernels/backend.h"

namespace headlight::kernels {

namespace cuda {

int device_count(std::string& why_not) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) {
    why_not =
        "the NVIDIA driver is missing or older than this build's CUDA; update it, or go on with the CPU";
  } else if (error != cudaSuccess) {
    why_not =
        std::string("CUDA finds no device (") + cudaGetErrorString(error) + "); Headlight runs on the CPU";
  } else if (count == 0) {
    why_not = "CUDA finds no device; Headlight runs on the CPU";
  }
  return error == cudaSuccess ? count : 0;
}

}  // namespace cuda

std::vector<DeviceInfo> describe_cuda(std::string& why_not) {
  std::vector<DeviceInfo> devices;
  const int count = cuda::device_count(why_not);
  int driver = 0;
  (void)cudaDriverGetVersion(&driver);
  for (int i = 0; i < count; ++i) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) continue;
    devices.push_back({"cuda", properties.name,
                       "compute capability " + std::to_string(properties.major) + "." +
                           std::to_string(properties.minor) + ", driver for CUDA " +
                           std::to_string(driver / 1000) + "." + std::to_string(driver % 1000 / 10),
                       properties.totalGlobalMem});
  }
  return devices;
}

}  // namespace headlight::kernels
