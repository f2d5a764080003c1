// Looks at buffers where they lie: digests of heads and statistics are worked out by the backend, and only
// they come to the host. Owned by the executor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "core/model/device_memory.h"
#include "core/run/capture.h"
#include "core/run/run.h"
#include "core/tape/program.h"
#include "kernels/backend.h"

namespace headlight {

class Watcher {
 public:
  /// Takes memory for the largest result that the plan asks for. Throws OutOfMemory. Keeps references.
  Watcher(kernels::Backend& backend, const Program& program, const CapturePlan& plan);

  /// The tokens that patterns of the next run are about.
  void begin(std::span<const int32_t> tokens);
  /// Digests of the heads of a buffer [B,H,Tq,Tk] of the first sequence; `memory`: its elements.
  [[nodiscard]] BufferDigest digest(BufferId id, const void* memory);
  /// Statistics of a whole floating-point buffer.
  [[nodiscard]] BufferStatistics statistics(BufferId id, const void* memory);

 private:
  [[nodiscard]] bool is_pattern(BufferId id) const;
  /// Brings what the backend wrote to the host.
  void fetch(size_t bytes);
  [[nodiscard]] std::byte* results() const;

  kernels::Backend& backend_;
  const Program& program_;
  size_t key_bytes_ = 0;  // at the front of the memory: for each query the key that it may copy from
  DeviceMemory memory_;
  std::vector<std::byte> host_;
  std::vector<int32_t> tokens_;
};

}  // namespace headlight
