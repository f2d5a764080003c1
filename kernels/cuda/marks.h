// Places in the order of a device's work, and readbacks that are there once a place is reached: what lets
// training run ahead of who looks at its loss, and at what a probe recorded between two steps.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
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
  /// Asks for `bytes` of device memory; `host` holds them once a later mark is reached. False, and nothing is
  /// asked for, where more would be under way than pinned memory is taken for, or to be had.
  [[nodiscard]] bool download_later(cudaStream_t stream, void* host, const void* device, size_t bytes);
  /// Gives back the pinned memory that waits for its next use.
  void drop();

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
    size_t block;  // bytes of `pinned`
  };
  void deliver(uint64_t up_to);

  uint64_t last_ = 0;     // number of the last mark
  uint64_t reached_ = 0;  // the largest that was seen to be reached
  std::deque<Place> places_;
  std::deque<Readback> readbacks_;
  std::vector<cudaEvent_t> free_events_;
  std::multimap<size_t, void*> free_pinned_;  // by size
  size_t pinned_bytes_ = 0;                   // in use and free
};

}  // namespace headlight::kernels::cuda
