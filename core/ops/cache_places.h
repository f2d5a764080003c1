// Which places of a cache a recorded step read and wrote; the cached ops' explain() use it.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/tape/op.h"

namespace headlight::ops {

/// Of one sequence: [0, first) were in use before the step, [first, used) are new.
struct Places {
  int64_t first = 0, used = 0;
  Places(const CellReader& run, BufferId positions, BufferId counts, int64_t b)
      : first(static_cast<int64_t>(run.value(positions, b))),
        used(first + static_cast<int64_t>(run.value(counts, b))) {}
  /// Places that the query of new token i reads.
  [[nodiscard]] int64_t seen(int64_t i) const { return std::min(used, first + i + 1); }
};

/// Offset of place j of query head h in a cache [B,G,S,D] that H query heads share.
[[nodiscard]] inline int64_t cache_offset(const Shape& cache, int64_t H, int64_t b, int64_t h, int64_t j,
                                          int64_t d) {
  return cache.offset({b, h / (H / cache.size(1)), j, d});
}

}  // namespace headlight::ops
