// See bpe_merger.h.
#include "core/text/bpe_merger.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace headlight {

namespace {

/// Up to here looking through all ranks for the smallest is faster than a heap.
constexpr size_t kShortPiece = 48;

constexpr uint64_t pair_key(int32_t left, int32_t right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

/// Spreads the bits of a pair over the upper ones.
constexpr uint64_t spread(uint64_t key) {
  key = (key ^ (key >> 32)) * 0x9E3779B97F4A7C15u;
  return (key ^ (key >> 29)) * 0xBF58476D1CE4E5B9u;
}

}  // namespace

BpeMerger::BpeMerger(const BpeModel& model) {
  std::vector<bool> added(model.tokens.size());
  for (const AddedToken& token : model.added) added[static_cast<size_t>(token.id)] = true;
  // A byte may be an added token as well; where there are two, text is made of the other one.
  for (const bool wanted : {true, false}) {
    for (size_t id = 0; id < model.tokens.size(); ++id) {
      const std::string& text = model.tokens[id];
      if (added[id] == wanted && text.size() == 1)
        byte_ids_[static_cast<uint8_t>(text[0])] = static_cast<int32_t>(id);
    }
  }
  const size_t size = std::bit_ceil(2 * model.merges.size() + 2);
  slots_.resize(size);
  shift_ = 64 - std::countr_zero(size);
  merged_.reserve(model.merges.size());
  for (const BpeMerge& merge : model.merges) {
    const uint64_t key = pair_key(merge.left, merge.right);
    size_t at = spread(key) >> shift_;
    while (slots_[at].pair != UINT64_MAX) at = (at + 1) & (size - 1);
    slots_[at] = {key, static_cast<int32_t>(merged_.size())};
    merged_.push_back(merge.merged);
  }
}

int32_t BpeMerger::rank(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  for (size_t at = spread(key) >> shift_;; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == key) return slots_[at].rank;
    if (slots_[at].pair == UINT64_MAX) return no_merge;
  }
}

void BpeMerger::merge(std::string_view piece, Scratch& scratch, std::vector<int32_t>& out) const {
  if (piece.size() <= kShortPiece) {
    merge_short(piece, out);
  } else {
    merge_long(piece, scratch, out);
  }
}

void BpeMerger::merge_short(std::string_view piece, std::vector<int32_t>& out) const {
  int32_t ids[kShortPiece], ranks[kShortPiece];  // ranks[i] is of the pair (i, i + 1); the last has none
  size_t count = piece.size();
  for (size_t i = 0; i < count; ++i) ids[i] = byte_id(static_cast<uint8_t>(piece[i]));
  for (size_t i = 0; i < count; ++i) ranks[i] = i + 1 < count ? rank(ids[i], ids[i + 1]) : no_merge;
  while (count > 1) {
    const auto best = static_cast<size_t>(std::min_element(ranks, ranks + count) - ranks);
    if (ranks[best] == no_merge) break;
    ids[best] = merged(ranks[best]);
    count -= 1;
    std::copy(ids + best + 2, ids + count + 1, ids + best + 1);
    std::copy(ranks + best + 2, ranks + count + 1, ranks + best + 1);
    ranks[best] = best + 1 < count ? rank(ids[best], ids[best + 1]) : no_merge;
    if (best > 0) ranks[best - 1] = rank(ids[best - 1], ids[best]);
  }
  out.insert(out.end(), ids, ids + count);
}

void BpeMerger::merge_long(std::string_view piece, Scratch& scratch, std::vector<int32_t>& out) const {
  // A linked list of tokens; a heap of (rank, position of the left one). An entry is stale when the pair at
  // its position has another rank by now.
  std::vector<int32_t>&ids = scratch.ids, &ranks = scratch.ranks, &next = scratch.next,
  &previous = scratch.previous;
  std::vector<uint64_t>& heap = scratch.heap;
  const size_t count = piece.size();
  ids.resize(count);
  ranks.resize(count);
  next.resize(count);
  previous.resize(count);
  heap.clear();
  constexpr int32_t none = -1;
  for (size_t i = 0; i < count; ++i) {
    ids[i] = byte_id(static_cast<uint8_t>(piece[i]));
    next[i] = i + 1 < count ? static_cast<int32_t>(i) + 1 : none;
    previous[i] = static_cast<int32_t>(i) - 1;
  }
  const auto entry = [](int32_t rank_of, int32_t at) {
    return static_cast<uint64_t>(rank_of) << 32 | static_cast<uint32_t>(at);
  };
  const auto look = [&](int32_t at) {
    const auto i = static_cast<size_t>(at);
    ranks[i] = next[i] == none ? no_merge : rank(ids[i], ids[static_cast<size_t>(next[i])]);
    return ranks[i];
  };
  for (size_t i = 0; i < count; ++i) {
    const auto at = static_cast<int32_t>(i);
    if (look(at) != no_merge) heap.push_back(entry(ranks[i], at));
  }
  std::make_heap(heap.begin(), heap.end(), std::greater<>());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end(), std::greater<>());
    const auto best = static_cast<int32_t>(heap.back() >> 32),
               at = static_cast<int32_t>(heap.back() & 0xFFFFFFFF);
    heap.pop_back();
    const auto i = static_cast<size_t>(at);
    if (ranks[i] != best) continue;
    const auto right = static_cast<size_t>(next[i]);
    ids[i] = merged(best);
    ranks[right] = no_merge;
    next[i] = next[right];
    if (next[i] != none) previous[static_cast<size_t>(next[i])] = at;
    for (const int32_t changed : {previous[i], at}) {
      if (changed == none) continue;
      const int32_t new_rank = look(changed);
      if (new_rank == no_merge) continue;
      heap.push_back(entry(new_rank, changed));
      std::push_heap(heap.begin(), heap.end(), std::greater<>());
    }
  }
  for (int32_t at = 0; at != none; at = next[static_cast<size_t>(at)])
    out.push_back(ids[static_cast<size_t>(at)]);
}

}  // namespace headlight
