// What a pre-tokenizer asks of a character: letter, number, white space or none of these. One compact table
// over all code points, filled from utf8proc's general categories when it is first needed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace headlight {

/// \p{L}, \p{N}, \s of Unicode 16. `newline` is the white space \r and \n, which the newer patterns treat
/// apart.
enum class CharClass : uint8_t { other, letter, number, space, newline };

/// Two stages: code points in pages of 256, equal pages stored once (about 60 kB instead of 1.1 MB).
class UnicodeClasses {
 public:
  /// The one table of the program.
  [[nodiscard]] static const UnicodeClasses& get();

  [[nodiscard]] CharClass ascii(unsigned char c) const { return ascii_[c]; }
  /// `code_point` up to U+10FFFF.
  [[nodiscard]] CharClass of(char32_t code_point) const {
    return classes_[static_cast<size_t>(pages_[code_point >> 8]) * 256 + (code_point & 0xFF)];
  }

 private:
  UnicodeClasses();

  std::array<CharClass, 128> ascii_{};
  std::array<uint16_t, 0x1100> pages_{};  ///< which page of classes_ holds code points [256 i, 256 i + 256)
  std::vector<CharClass> classes_;
};

}  // namespace headlight
