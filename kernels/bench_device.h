// What benchmarks of large arrays share: device memory with numbers in it, and a kernel's time by the
// backend's own clock. Private to kernels/; used by calibrate_device.cpp and bench_memory.cpp.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>
#include <vector>

#include "kernels/backend.h"

namespace headlight::kernels {

/// Device memory with numbers between −1 and 1, read as bfloat16 or as fp32: zeros would draw less power, and
/// so be faster. Throws std::bad_alloc.
class Filled {
 public:
  Filled(Backend& backend, size_t bytes) : backend_(backend), memory_(backend.allocate(bytes)) {
    if (memory_ == nullptr) throw std::bad_alloc();
    constexpr size_t kDrawn = size_t{1} << 20;
    std::vector<bfloat16> values(std::min(bytes, kDrawn) / sizeof(bfloat16));
    uint32_t bits = 1;
    for (bfloat16& value : values) {
      bits = bits * 1664525U + 1013904223U;
      value = from_float<bfloat16>(static_cast<float>(bits >> 8) * (1.0F / 8388608.0F) - 1.0F);
    }
    size_t done = values.size() * sizeof(bfloat16);
    backend.upload(memory_, values.data(), done);
    // The rest repeats it.
    while (done < bytes) {
      const size_t count = std::min(done, bytes - done);
      backend.copy(static_cast<char*>(memory_) + done, memory_, count);
      done += count;
    }
  }
  Filled(const Filled&) = delete;
  Filled& operator=(const Filled&) = delete;
  ~Filled() { backend_.release(memory_); }
  template <class E>
  [[nodiscard]] E* of() const {
    return static_cast<E*>(memory_);
  }

 private:
  Backend& backend_;
  void* memory_;
};

/// Median of the seconds of `call`, which is called once before.
template <class Call>
double median_seconds(Backend& backend, const Call& call) {
  constexpr size_t kRuns = 9;
  call();
  const std::unique_ptr<Stopwatch> watch = backend.stopwatch();
  for (size_t i = 0; i < kRuns; ++i) {
    watch->begin();
    call();
    watch->end();
  }
  std::vector<double> seconds = watch->seconds();
  std::nth_element(seconds.begin(), seconds.begin() + kRuns / 2, seconds.end());
  return seconds[kRuns / 2];
}

}  // namespace headlight::kernels
