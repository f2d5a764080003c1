// See device_memory.h.
#include "core/model/device_memory.h"

namespace headlight {

namespace {

[[noreturn]] void refuse(const kernels::Backend& backend, size_t bytes, std::string_view what) {
  const size_t available = backend.available_bytes();
  const std::string device = backend.kind() == "cuda" ? backend.description() : "this machine";
  if (available == 0 || available >= bytes) {
    throw OutOfMemory(fmt::format("{} needs {}, more than {} could give", what, bytes_text(bytes), device));
  }
  throw OutOfMemory(fmt::format("{} needs {}, but {} has {} available", what, bytes_text(bytes), device,
                                bytes_text(available)));
}

}  // namespace

void check_available(kernels::Backend& backend, size_t bytes, std::string_view what) {
  // Host memory is handed out whether it is there or not; what is too much would end the process later on.
  size_t available = backend.available_bytes();
  if (available == 0 || bytes <= available) return;
  backend.release_caches();
  available = backend.available_bytes();
  if (bytes > available) refuse(backend, bytes, what);
}

void* allocate_on(kernels::Backend& backend, size_t bytes, std::string_view what) {
  check_available(backend, bytes, what);
  void* memory = backend.allocate(bytes);
  if (memory == nullptr) {
    backend.release_caches();
    memory = backend.allocate(bytes);
  }
  if (memory == nullptr) refuse(backend, bytes, what);
  return memory;
}

}  // namespace headlight
