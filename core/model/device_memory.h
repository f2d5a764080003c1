// Memory of a backend, asked for politely: more than there is becomes a sentence before it is touched, and a
// refusal makes the backend drop what it keeps for later and be asked once more. Used by Parameters and the
// executor.
#pragma once

#include <cstddef>
#include <string_view>
#include <utility>

#include "core/base/out_of_memory.h"
#include "kernels/backend.h"

namespace headlight {

/// Throws OutOfMemory unless `bytes` for `what` ("the weights") fit into what the backend has available.
void check_available(kernels::Backend& backend, size_t bytes, std::string_view what);

/// `bytes` of the backend's memory for `what`, to be released by the caller. Throws OutOfMemory.
[[nodiscard]] void* allocate_on(kernels::Backend& backend, size_t bytes, std::string_view what);

/// `bytes` of a backend's memory, given back with the object. The backend outlives it.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  /// Throws OutOfMemory saying what the memory was for.
  DeviceMemory(kernels::Backend& backend, size_t bytes, std::string_view what)
      : backend_(&backend), memory_(allocate_on(backend, bytes, what)) {}
  ~DeviceMemory() { reset(); }
  DeviceMemory(DeviceMemory&& other) noexcept
      : backend_(other.backend_), memory_(std::exchange(other.memory_, nullptr)) {}
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    reset();
    backend_ = other.backend_;
    memory_ = std::exchange(other.memory_, nullptr);
    return *this;
  }
  [[nodiscard]] void* get() const { return memory_; }
  void reset() {
    if (memory_ != nullptr) backend_->release(std::exchange(memory_, nullptr));
  }

 private:
  kernels::Backend* backend_ = nullptr;
  void* memory_ = nullptr;
};

}  // namespace headlight
