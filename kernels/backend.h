// A backend as the core sees it: its kernels, its memory, its name. Made by make_cpu_backend or
// make_cuda_backend; everything else in kernels/ is private to a backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "kernels/inference.h"
#include "kernels/inspection.h"
#include "kernels/kernels.h"

namespace headlight::kernels {

struct TrainingKernels;

/// Kernel calls that a backend has recorded, to be given again in one piece: a CUDA graph.
class Recording {
 public:
  Recording() = default;
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  virtual ~Recording() = default;
};

/// Times pieces of a backend's work by clocks that stand in the order of the work, so that nothing waits to
/// be timed.
class Stopwatch {
 public:
  Stopwatch() = default;
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;
  virtual ~Stopwatch() = default;

  /// A piece goes from behind what was given before begin() to behind what was given before end().
  virtual void begin() = 0;
  virtual void end() = 0;
  /// Seconds of each piece since the last call of seconds() or drop(); waits until the last one is done.
  [[nodiscard]] virtual std::vector<double> seconds() = 0;
  /// Forgets the pieces that were timed so far.
  virtual void drop() = 0;
};

/// One device with its kernels and memory. Calls on one Backend come from one thread at a time.
class Backend {
 public:
  Backend(const Backend&) = delete;
  Backend& operator=(const Backend&) = delete;
  virtual ~Backend() = default;

  /// "cpu" or "cuda".
  [[nodiscard]] virtual std::string kind() const = 0;
  /// For people: "CPU ×2 (AVX-512)", "NVIDIA H200".
  [[nodiscard]] virtual std::string description() const = 0;
  /// Threads that kernels use (1 on a GPU).
  [[nodiscard]] virtual int threads() const = 0;
  [[nodiscard]] virtual const Kernels& kernels() const = 0;
  [[nodiscard]] virtual const TypedKernels<bfloat16>& bfloat16_kernels() const = 0;
  [[nodiscard]] virtual const TypedKernels<float16>& float16_kernels() const = 0;
  /// The table for elements of type E: float, bfloat16 or float16.
  template <class E>
  [[nodiscard]] const TypedKernels<E>& typed() const {
    if constexpr (std::is_same_v<E, bfloat16>) {
      return bfloat16_kernels();
    } else if constexpr (std::is_same_v<E, float16>) {
      return float16_kernels();
    } else {
      return kernels();
    }
  }
  /// What inference with a cache and packed weights needs; null where the backend does not have it.
  [[nodiscard]] virtual const InferenceKernels* inference() const { return nullptr; }
  /// Joint steps of training (training.h); null where they gain nothing.
  [[nodiscard]] virtual const TrainingKernels* training() const { return nullptr; }
  /// What looking at values takes.
  [[nodiscard]] virtual const InspectionKernels& inspection() const = 0;
  [[nodiscard]] virtual Context& context() = 0;

  /// Memory of the device, 64-byte aligned, not cleared. Returns null when there is not enough.
  [[nodiscard]] virtual void* allocate(size_t bytes) = 0;
  /// Bytes that could be allocated and used now; 0 where that is not known.
  [[nodiscard]] virtual size_t available_bytes() const { return 0; }
  /// Gives back what is kept to be used again (workspaces, a pool of freed memory): called when memory is
  /// short.
  virtual void release_caches() {}
  virtual void release(void* memory) = 0;
  /// Memory of the device whose last owner may be any thread, and may outlive the backend: what pictures are
  /// drawn from (texture_writer.h). Null when there is not enough, and where the device is the host.
  [[nodiscard]] virtual std::shared_ptr<void> allocate_shared(size_t /*bytes*/) { return nullptr; }
  /// Host to device, before everything that is given later; `host` may change on return.
  virtual void upload(void* device, const void* host, size_t bytes) = 0;
  /// Device to host; waits until the data is there.
  virtual void download(void* host, const void* device, size_t bytes) = 0;
  virtual void copy(void* to, const void* from, size_t bytes) = 0;
  virtual void clear(void* device, size_t bytes) = 0;
  /// Waits until every kernel called so far is done.
  virtual void synchronize() = 0;

  /// A place behind all work given so far, and whether that work is done; `wait`: after waiting for it. A
  /// backend that works at once needs no more than these.
  [[nodiscard]] virtual uint64_t mark() { return 0; }
  [[nodiscard]] virtual bool reached(uint64_t /*mark*/, bool /*wait*/) { return true; }
  /// Records the kernels that `work` calls, without running them; null where the backend does not record or
  /// these calls cannot be recorded. `work` has run once before, so that nothing in it is done for the first
  /// time, and calls kernels alone: no memory is allocated, nothing uploaded or downloaded.
  [[nodiscard]] virtual std::unique_ptr<Recording> record(const std::function<void()>& /*work*/) {
    return nullptr;
  }
  /// Runs what was recorded, on the memory that it named then.
  virtual void replay(Recording& /*recording*/) {}
  /// A stopwatch for this backend's work; the backend outlives it.
  [[nodiscard]] virtual std::unique_ptr<Stopwatch> stopwatch() = 0;
  /// Device to host in the order of the work: `host` holds the bytes once a later mark is reached.
  virtual void download_later(void* host, const void* device, size_t bytes) { download(host, device, bytes); }

 protected:
  Backend() = default;
};

/// The CPU. threads ≤ 0: one for each core. While training shares the machine with a window, the pool's
/// workers run at a lower priority (nice 10).
[[nodiscard]] std::unique_ptr<Backend> make_cpu_backend(int threads = 0);

/// The first CUDA device, or null with a sentence in `why_not`: no driver, no device, or a build without
/// CUDA.
[[nodiscard]] std::unique_ptr<Backend> make_cuda_backend(std::string& why_not);

/// One device for `headlight info`.
struct DeviceInfo {
  std::string kind;         ///< "cpu" or "cuda"
  std::string name;         ///< as the vendor calls it
  std::string detail;       ///< instruction sets, or compute capability and driver
  size_t memory_bytes = 0;  ///< total
};
[[nodiscard]] DeviceInfo describe_cpu();
/// CUDA devices; empty with a sentence in `why_not` where there are none.
[[nodiscard]] std::vector<DeviceInfo> describe_cuda(std::string& why_not);

/// fp32 FMA peak of this process in FLOP/s with `threads` threads and read bandwidth in bytes/s; measured in
/// registers and over a buffer far larger than the caches. What benchmarks divide by.
struct Calibration {
  double fma_flops = 0;
  double read_bytes = 0;
};
[[nodiscard]] Calibration calibrate_cpu(Backend& backend);

}  // namespace headlight::kernels
