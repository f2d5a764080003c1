// See devices.h.
#include "core/engine/devices.h"

#include "core/base/error.h"

namespace headlight {

std::vector<DeviceState> list_devices() {
  const auto state = [](const kernels::DeviceInfo& info) {
    return DeviceState{info.kind, info.name, info.detail, info.memory_bytes, ""};
  };
  std::vector<DeviceState> devices{state(kernels::describe_cpu())};
  std::string why_not;
  const std::vector<kernels::DeviceInfo> cuda = kernels::describe_cuda(why_not);
  devices.push_back(cuda.empty() ? DeviceState{"cuda", "", "", 0, why_not} : state(cuda.front()));
  return devices;
}

std::unique_ptr<kernels::Backend> open_device(std::string_view kind, int threads) {
  if (kind != "cpu" && kind != "cuda" && kind != "auto")
    fail("there is no device \"{}\"; choose cpu, cuda or auto", kind);
  if (kind != "cpu") {
    std::string why_not;
    if (auto backend = kernels::make_cuda_backend(why_not)) return backend;
    if (kind == "cuda") fail("CUDA cannot be used: {}", why_not);
  }
  return kernels::make_cpu_backend(threads);
}

}  // namespace headlight
