// Where the buffers of a program lie in one arena. Buffers whose lives do not overlap share memory, and an op
// may write over an input that nothing needs afterwards; recordings are copied out right behind a step, so
// that a watcher changes nothing here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/tape/program.h"

namespace headlight {

struct MemoryPlan {
  static constexpr size_t elsewhere = SIZE_MAX;   ///< parameters, moments and state live outside the arena
  static constexpr size_t absent = SIZE_MAX - 1;  ///< an optional output that nobody wants
  std::vector<size_t> offsets;                    ///< by buffer: byte offset, elsewhere or absent
  /// By buffer: the parameter, moment or state whose memory an in-place update writes, else no_buffer.
  std::vector<BufferId> in_place_of;
  size_t bytes = 0;
};

/// Buffers that whoever runs `program` reads behind its last step (loss, gradient norms, logits), by buffer;
/// `steps`: where the run ends early, negative: nowhere.
[[nodiscard]] std::vector<bool> lasting_buffers(const Program& program, int steps = -1);

/// `kept`: buffers that stay readable until the last step (by buffer). `wanted`: buffers that somebody looks
/// at, so that optional outputs among them are written. update_in_place: update steps write over parameters
/// and moments. `steps`: only so many are run, and what later ones write is absent; negative: all.
[[nodiscard]] MemoryPlan plan_memory(const Program& program, const std::vector<bool>& kept,
                                     const std::vector<bool>& wanted, bool update_in_place, int steps = -1);

}  // namespace headlight
