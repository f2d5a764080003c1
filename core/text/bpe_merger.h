// The heart of BPE: merges the bytes of one piece, always the pair with the lowest rank first and among
// equals the leftmost. The tokenizer calls it for pieces that it does not know as a whole; the merge view
// steps through it.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/text/bpe_model.h"

namespace headlight {

/// Immutable once made.
class BpeMerger {
 public:
  /// From a valid model.
  explicit BpeMerger(const BpeModel& model);

  /// Space that merge() works in; kept by the caller so that a long text allocates it once.
  struct Scratch {
    std::vector<int32_t> ids, ranks, next, previous;
    std::vector<uint64_t> heap;
  };
  /// Appends the ids of `piece` to `out`. O(n log n).
  void merge(std::string_view piece, Scratch& scratch, std::vector<int32_t>& out) const;

  /// Rank of the merge of two tokens; no_merge when there is none.
  [[nodiscard]] int32_t rank(int32_t left, int32_t right) const;
  static constexpr int32_t no_merge = INT32_MAX;
  [[nodiscard]] int32_t byte_id(uint8_t byte) const { return byte_ids_[byte]; }
  [[nodiscard]] int32_t merged(int32_t rank) const { return merged_[static_cast<size_t>(rank)]; }

 private:
  void merge_short(std::string_view piece, std::vector<int32_t>& out) const;
  void merge_long(std::string_view piece, Scratch& scratch, std::vector<int32_t>& out) const;

  struct Slot {
    uint64_t pair = UINT64_MAX;  ///< left in the upper half; all ones: empty
    int32_t rank = no_merge;
  };
  std::vector<Slot> slots_;  ///< open addressing, a power of two, at most half full
  int shift_ = 0;
  std::vector<int32_t> merged_;  ///< product by rank
  std::array<int32_t, 256> byte_ids_{};
};

}  // namespace headlight
