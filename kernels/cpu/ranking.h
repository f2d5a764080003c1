// The largest values of a row by rank_key; used by inspection_top.cpp and best.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>

#include "kernels/inspection.h"

namespace headlight::kernels::cpu {

/// The keys of the k largest values, largest first. Candidates wait in a heap, so that a value that is not
/// among the first k costs one comparison.
inline void rank_row(uint64_t* keys, const float* row, int64_t V, int64_t k) {
  // The heap's first is the least of those kept.
  const std::greater<> order;
  for (int64_t j = 0; j < k; ++j) keys[j] = rank_key(row[j], static_cast<uint32_t>(j));
  std::make_heap(keys, keys + k, order);
  for (int64_t j = k; j < V; ++j) {
    const uint64_t key = rank_key(row[j], static_cast<uint32_t>(j));
    if (key < keys[0]) continue;
    std::pop_heap(keys, keys + k, order);
    keys[k - 1] = key;
    std::push_heap(keys, keys + k, order);
  }
  std::sort_heap(keys, keys + k, order);
}

}  // namespace headlight::kernels::cpu
