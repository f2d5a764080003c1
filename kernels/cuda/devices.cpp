// CUDA devices by name. What a build with the CUDA toolkit links in place of no_cuda.cpp: it finds the
// devices and says why none of them computes.
#include <cuda_runtime.h>

#include "kernels/backend.h"

namespace headlight::kernels {

namespace {

/// Number of devices; 0 with a sentence where there is none or the driver cannot serve this build.
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

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(std::string& why_not) {
  if (device_count(why_not) > 0) {
    why_not = "this version's kernels run on the CPU; the CUDA device is only listed";
  }
  return nullptr;
}

std::vector<DeviceInfo> describe_cuda(std::string& why_not) {
  std::vector<DeviceInfo> devices;
  const int count = device_count(why_not);
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
