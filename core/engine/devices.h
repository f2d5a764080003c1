// The devices that a model can run on, and opening one by name. Used by the engine and the command line.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/backend.h"

namespace headlight {

/// One choice in the list of devices.
struct DeviceState {
  std::string kind;         ///< "cpu" or "cuda": what the command and --device take
  std::string name;         ///< as the vendor calls it; empty where there is none
  std::string detail;       ///< instruction sets, or compute capability and driver
  size_t memory_bytes = 0;  ///< total
  std::string why_not;      ///< the reason why it cannot be chosen; empty: it can
};

/// The CPU, then CUDA.
[[nodiscard]] std::vector<DeviceState> list_devices();

/// Opens "cpu" (with `threads`, 0: one for each core) or "cuda"; "auto": CUDA where it works, else the CPU.
/// Throws Error with the reason where there is no such device.
using DeviceOpener = std::function<std::unique_ptr<kernels::Backend>(std::string_view kind, int threads)>;
[[nodiscard]] std::unique_ptr<kernels::Backend> open_device(std::string_view kind, int threads);

}  // namespace headlight
