// Looks at buffers where they lie: digests of heads and statistics are worked out by the backend, and only
// they come to the host, when the device has got there. Owned by the executor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/model/device_memory.h"
#include "core/run/capture.h"
#include "core/run/run.h"
#include "core/tape/program.h"
#include "kernels/backend.h"

namespace headlight {

/// What the backend was asked to work out: where it leaves the result, until it is asked for the next one,
/// and how its bytes are read.
template <class T>
struct Looked {
  const void* result = nullptr;
  size_t bytes = 0;
  std::function<T(std::span<const std::byte>)> read;
};

class Watcher {
 public:
  /// Takes memory for the largest result that the plan asks for. Throws OutOfMemory. Keeps references.
  Watcher(kernels::Backend& backend, const Program& program, const CapturePlan& plan);

  /// The tokens that patterns of the next run are about.
  void begin(std::span<const int32_t> tokens);
  /// Digests of the heads of a buffer [B,H,Tq,Tk] of the first sequence; `memory`: its elements.
  [[nodiscard]] Looked<BufferDigest> digest(BufferId id, const void* memory);
  /// Statistics of a whole floating-point buffer.
  [[nodiscard]] Looked<BufferStatistics> statistics(BufferId id, const void* memory);

 private:
  [[nodiscard]] bool is_pattern(BufferId id) const;
  [[nodiscard]] std::byte* results() const;

  kernels::Backend& backend_;
  const Program& program_;
  size_t key_bytes_ = 0;  // at the front of the memory: for each query the key that it may copy from
  DeviceMemory memory_;
  std::shared_ptr<const std::vector<int32_t>> tokens_;
};

}  // namespace headlight
