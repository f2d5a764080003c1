// Places in the order of a device's work, and small readbacks that are there once a place is reached: what
// lets training run ahead of who looks at its loss.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <vector>

namespace headlight::kernels::cuda {

class Marks {
 public:
  Marks() = default;
  ~Marks();
  Marks(const Marks&) = delete;
  Marks& operator=(const Marks&) = delete;

  /// A place behind everything that the stream was given so far.
  uint64_t mark(cudaStream_t stream);
  /// Whether the stream is past the mark; `wait`: after waiting for it. Then the bytes that were asked for
  /// before the mark are where they belong.
  bool reached(uint64_t mark, bool wait);
  /// Asks for `bytes` ≤ largest() of device memory; `host` holds them once a later mark is reached.
  void download_later(cudaStream_t stream, void* host, const void* device, size_t bytes);

  [[nodiscard]] static size_t largest();

 private:
  struct Place {
    uint64_t number;
    cudaEvent_t event;
  };
  struct Readback {
    uint64_t behind;  // arrives with the first mark of a larger number
    void* host;
    void* pinned;
    size_t bytes;
  };
  void deliver(uint64_t up_to);

  uint64_t last_ = 0;     // number of the last mark
  uint64_t reached_ = 0;  // the largest that was seen to be reached
  std::deque<Place> places_;
  std::deque<Readback> readbacks_;
  std::vector<cudaEvent_t> free_events_;
  std::vector<void*> free_pinned_;
};

}  // namespace headlight::kernels::cuda
