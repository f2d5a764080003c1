// What a CPU kernel runs on: the pool, memory for intermediate values, and loops over elements and rows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <new>
#include <vector>

#include "kernels/cpu/pool.h"
#include "kernels/kernels.h"

namespace headlight::kernels::cpu {

/// Grows to what was asked for and keeps it; its contents do not survive growing. 64-byte aligned.
class Scratch {
 public:
  /// Throws std::bad_alloc when there is not enough memory.
  float* reserve(int64_t floats) {
    if (floats > floats_) {
      memory_.reset();
      floats_ = 0;
      const size_t bytes = (static_cast<size_t>(floats) * sizeof(float) + 63) / 64 * 64;
      memory_.reset(static_cast<float*>(std::aligned_alloc(64, bytes)));
      if (!memory_) throw std::bad_alloc();
      floats_ = floats;
    }
    return memory_.get();
  }
  [[nodiscard]] float* data() const { return memory_.get(); }

 private:
  struct Free {
    void operator()(float* memory) const { std::free(memory); }
  };
  std::unique_ptr<float, Free> memory_;
  int64_t floats_ = 0;
};

/// The Context of the CPU backend.
class CpuContext final : public Context {
 public:
  explicit CpuContext(int threads) : pool(threads), slots_(static_cast<size_t>(pool.threads())) {}

  /// Floats that all chunks of one kernel share, valid until the next kernel.
  float* workspace(int64_t floats) { return workspace_.reserve(floats); }
  /// fp32 copy of operand `index` of a kernel on 16-bit elements, kept from call to call.
  float* widened(size_t index, int64_t floats) {
    if (index >= widened_.size()) widened_.resize(index + 1);
    return widened_[index].reserve(floats);
  }
  /// Makes sure that each slot of the pool has as many floats of its own; called before the loop that uses
  /// them.
  void reserve_slots(int64_t floats) {
    for (Scratch& slot : slots_) slot.reserve(floats);
  }
  [[nodiscard]] float* slot(int index) const { return slots_[static_cast<size_t>(index)].data(); }

  /// Frees all of these; they grow again when they are needed.
  void release_scratch() {
    workspace_ = {};
    widened_.clear();
    for (Scratch& slot : slots_) slot = {};
  }

  Pool pool;

 private:
  Scratch workspace_;
  std::vector<Scratch> widened_;
  std::vector<Scratch> slots_;
};

inline CpuContext& on_cpu(Context& context) { return static_cast<CpuContext&>(context); }

inline int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Elements of a chunk of a loop that waits for memory: some 50 µs.
inline constexpr int64_t kStreamChunk = 32768;
/// The same for a loop with an exp in each element.
inline constexpr int64_t kMathChunk = 16384;

/// Calls body(begin, end) over [0, n) in chunks of a fixed size.
template <class Body>
void for_elements(Context& context, int64_t n, int64_t chunk, const Body& body) {
  on_cpu(context).pool.run(divide_up(n, chunk), [&](int64_t index, int /*slot*/) {
    body(index * chunk, std::min(n, (index + 1) * chunk));
  });
}

/// Calls body(index, slot) for each index in [0, n), `together` of them in a chunk.
template <class Body>
void for_chunks(CpuContext& cpu, int64_t n, int64_t together, const Body& body) {
  cpu.pool.run(divide_up(n, together), [&](int64_t chunk, int slot) {
    const int64_t end = std::min(n, (chunk + 1) * together);
    for (int64_t index = chunk * together; index < end; ++index) body(index, slot);
  });
}

/// How many rows of `width` elements make a chunk of about `elements`.
inline int64_t rows_in_chunk(int64_t width, int64_t elements) {
  return std::max<int64_t>(1, elements / std::max<int64_t>(1, width));
}

/// Calls body(begin, end) over rows [0, rows) of `width` elements in chunks of about `elements` elements.
template <class Body>
void for_rows(Context& context, int64_t rows, int64_t width, int64_t elements, const Body& body) {
  for_elements(context, rows, rows_in_chunk(width, elements), body);
}

}  // namespace headlight::kernels::cpu
