// The way between host memory and the device through pinned buffers, so that the caller goes on while data
// still travels. Used by the CUDA backend's upload and download.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>

namespace headlight::kernels::cuda {

class Staging {
 public:
  Staging() = default;
  ~Staging() { drop(); }
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Copies `bytes` to the device in the order of the stream; `host` may change as soon as this returns.
  void upload(cudaStream_t stream, void* device, const void* host, size_t bytes);
  /// Copies `bytes` from the device when the stream has got there; waits for it.
  void download(cudaStream_t stream, void* host, const void* device, size_t bytes);

  /// Gives the pinned memory back; the next copy takes it again. False where there was none.
  bool drop();

 private:
  struct Half {
    void* memory = nullptr;
    cudaEvent_t done = nullptr;  // of the last copy through it
    size_t used = 0;             // bytes that copies to the device may still be reading
  };
  void take();
  Half& next();

  Half halves_[2];
  int turn_ = 0;
};

}  // namespace headlight::kernels::cuda
