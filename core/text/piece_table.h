// Which pieces of text are a token as a whole: most words of a common text, found with one look instead of
// merging.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace headlight {

/// Short pieces are their own key; longer ones are hashed and then compared.
class PieceTable {
 public:
  static constexpr int32_t absent = -1;

  /// Room for `count` pieces.
  explicit PieceTable(size_t count);
  /// `text` must outlive the table and be new to it.
  void add(std::string_view text, int32_t id);
  [[nodiscard]] int32_t find(std::string_view piece) const;

  /// Equal for equal texts; distinct ones of at most seven bytes differ.
  [[nodiscard]] static uint64_t key_of(std::string_view piece);
  /// True when the key alone tells that two texts are equal.
  [[nodiscard]] static bool is_exact(std::string_view piece) { return piece.size() < 8; }

 private:
  struct Slot {
    uint64_t key = 0;
    int32_t id = absent;
  };
  [[nodiscard]] size_t first_slot(uint64_t key) const { return (key * 0x9E3779B97F4A7C15u) >> shift_; }

  std::vector<Slot> slots_;              ///< open addressing, a power of two, at most half full
  std::vector<std::string_view> texts_;  ///< by id
  int shift_ = 0;
};

inline uint64_t PieceTable::key_of(std::string_view piece) {
  uint64_t word = 0;
  if (is_exact(piece)) {
    // Two overlapping halves read what a loop over bytes would, without a branch for each length.
    const char* p = piece.data();
    const size_t n = piece.size();
    if (n >= 4) {
      uint32_t head = 0, tail = 0;
      std::memcpy(&head, p, 4);
      std::memcpy(&tail, p + n - 4, 4);
      word = head | static_cast<uint64_t>(tail) << (8 * (n - 4));
    } else if (n > 0) {
      const auto byte = [p](size_t i) { return static_cast<uint64_t>(static_cast<unsigned char>(p[i])); };
      word = byte(0) | byte(n / 2) << (8 * (n / 2)) | byte(n - 1) << (8 * (n - 1));
    }
    return word | static_cast<uint64_t>(n) << 56;
  }
  uint64_t key = piece.size();
  size_t i = 0;
  const auto mix = [&key](uint64_t w) {
    key = (key ^ w) * 0xD6E8FEB86659FD93u;
    key ^= key >> 32;
  };
  for (; i + 8 <= piece.size(); i += 8) {
    std::memcpy(&word, piece.data() + i, 8);
    mix(word);
  }
  std::memcpy(&word, piece.data() + piece.size() - 8, 8);
  mix(word);
  return key | uint64_t{1} << 63;  // no short piece has this bit
}

}  // namespace headlight
