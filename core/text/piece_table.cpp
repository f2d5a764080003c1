// See piece_table.h.
#include "core/text/piece_table.h"

#include <bit>

namespace headlight {

PieceTable::PieceTable(size_t count) {
  slots_.resize(std::bit_ceil(2 * count + 2));
  shift_ = 64 - std::countr_zero(slots_.size());
}

void PieceTable::add(std::string_view text, int32_t id) {
  const uint64_t key = key_of(text);
  size_t at = first_slot(key);
  while (slots_[at].id != absent) at = (at + 1) & (slots_.size() - 1);
  slots_[at] = {key, id};
  const auto index = static_cast<size_t>(id);
  if (texts_.size() <= index) texts_.resize(index + 1);
  texts_[index] = text;
}

int32_t PieceTable::find(std::string_view piece) const {
  const uint64_t key = key_of(piece);
  for (size_t at = first_slot(key);; at = (at + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[at];
    if (slot.id == absent) return absent;
    if (slot.key == key && (is_exact(piece) || texts_[static_cast<size_t>(slot.id)] == piece)) return slot.id;
  }
}

}  // namespace headlight
