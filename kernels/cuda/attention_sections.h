// In which order blocks take the tiles of a fused attention on Hopper. Included by attention_hopper*.cu.
#pragma once

#include <algorithm>

#include "kernels/cuda/context.h"

namespace headlight::kernels::cuda {

/// Heads by sections, so that the L2 cache holds the rows that a section's blocks walk over; in a section
/// tile by tile, each of all its heads, so that the longest tiles can come first.
struct Sections {
  int heads;     ///< of the batch
  int tiles;     ///< of a head
  int together;  ///< heads of a section

  struct Item {
    int head;  ///< of the batch
    int rank;  ///< of the tile in its head, in the order of the walk
  };
  __host__ __device__ int count() const { return heads * tiles; }
  /// The place of block `index` of count().
  __device__ Item at(int index) const {
    const int section = index / (together * tiles);
    const int in_section = index % (together * tiles);
    const int size = min(together, heads - section * together);
    return {section * together + in_section % size, in_section / size};
  }
};

/// For heads whose blocks walk over `bytes` bytes.
inline Sections sections_of(int64_t heads, int tiles, int64_t bytes) {
  constexpr int64_t kHeld = int64_t{24} << 20;  // of an L2 cache of 50 MiB
  return {static_cast<int>(heads), tiles, static_cast<int>(std::clamp<int64_t>(kHeld / bytes, 1, heads))};
}

}  // namespace headlight::kernels::cuda
