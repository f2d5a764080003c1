// See byte_alphabet.h.
#include "core/text/byte_alphabet.h"

#include <array>

#include "core/base/utf8.h"

namespace headlight {

namespace {

struct Alphabet {
  std::array<char32_t, 256> character{};
  std::array<uint8_t, 256> byte_of_rank{};
  std::array<int16_t, 512> byte_of_character{};

  Alphabet() {
    byte_of_character.fill(-1);
    const auto printable = [](size_t b) { return (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD); };
    char32_t next = 0x100;
    for (size_t b = 0; b < 256; ++b) {
      character[b] = printable(b) ? static_cast<char32_t>(b) : next++;
      byte_of_character[character[b]] = static_cast<int16_t>(b);
    }
    size_t rank = 0;
    for (const int16_t b : byte_of_character) {
      if (b >= 0) byte_of_rank[rank++] = static_cast<uint8_t>(b);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet made;
  return made;
}

}  // namespace

char32_t alphabet_character(uint8_t byte) { return alphabet().character[byte]; }

uint8_t alphabet_byte(int32_t rank) { return alphabet().byte_of_rank[static_cast<size_t>(rank)]; }

std::string to_alphabet(std::string_view bytes) {
  std::string word;
  for (const char c : bytes) append_utf8(word, alphabet_character(static_cast<uint8_t>(c)));
  return word;
}

std::optional<std::string> from_alphabet(std::string_view word) {
  std::string bytes;
  for (size_t i = 0; i < word.size(); i += utf8_length_at(word, i)) {
    const char32_t c = utf8_code_point_at(word, i);
    if (c >= alphabet().byte_of_character.size()) return std::nullopt;
    const int16_t byte = alphabet().byte_of_character[c];
    if (byte < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

}  // namespace headlight
