// See pretokenizer.h.
#include "core/text/pretokenizer.h"

#include <bit>
#include <cstdint>
#include <cstring>

#include "core/text/unicode_class.h"

namespace headlight {

namespace {

constexpr std::string_view kGpt2Regex =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kGpt4Regex =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
/// The same language as it stands in other files: possessive repeats, the contractions in another order.
constexpr std::string_view kGpt4Spellings[] = {
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+)",
    R"('(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s)",
};

struct Character {
  CharClass is;
  uint32_t length;
};

constexpr bool is_white(CharClass c) { return c == CharClass::space || c == CharClass::newline; }

/// Walks the bytes of one text.
class Walker {
 public:
  Walker(const UnicodeClasses& classes, std::string_view text)
      : classes_(classes),
        begin_(reinterpret_cast<const unsigned char*>(text.data())),
        end_(begin_ + text.size()) {}

  [[nodiscard]] const unsigned char* at(size_t offset) const { return begin_ + offset; }
  [[nodiscard]] size_t offset(const unsigned char* p) const { return static_cast<size_t>(p - begin_); }
  [[nodiscard]] const unsigned char* end() const { return end_; }

  [[nodiscard]] Character character(const unsigned char* p) const {
    if (*p < 0x80) return {classes_.ascii(*p), 1};
    return beyond_ascii(p);
  }

  /// End of the run of one class from p.
  [[nodiscard]] const unsigned char* run(const unsigned char* p, CharClass is) const {
    while (p < end_) {
      const Character c = character(p);
      if (c.is != is) break;
      p += c.length;
    }
    return p;
  }

  /// White space from p: its end, where its last character starts, and the end of its last line break (null
  /// without one).
  struct White {
    const unsigned char *end, *last, *line_break;
  };
  [[nodiscard]] White white(const unsigned char* p) const {
    White w{p, p, nullptr};
    while (w.end < end_) {
      const Character c = character(w.end);
      if (!is_white(c.is)) break;
      w.last = w.end;
      w.end += c.length;
      if (c.is == CharClass::newline) w.line_break = w.end;
    }
    return w;
  }

  /// \s+(?!\S)|\s+ : all of it before the end of the text; otherwise all but the last, which belongs to what
  /// follows, unless it is alone.
  [[nodiscard]] const unsigned char* white_end(const unsigned char* p, const White& w) const {
    return w.end == end_ || w.last == p ? w.end : w.last;
  }

  /// Bytes of a contraction's letters at p, behind the apostrophe: 0 where there is none.
  [[nodiscard]] size_t contraction(const unsigned char* p, bool any_case) const {
    if (p == end_) return 0;
    const auto letter = [&](const unsigned char* q) {
      return static_cast<unsigned char>(any_case && *q >= 'A' && *q <= 'Z' ? *q + 32 : *q);
    };
    const unsigned char first = letter(p);
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return 1;
    if (end_ - p < 2) return 0;
    // ſ, the long s, is an s in any case.
    if (any_case && p[0] == 0xC5 && p[1] == 0xBF) return 2;
    const unsigned char second = letter(p + 1);
    const bool two = ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
    return two ? 2 : 0;
  }

 private:
  [[nodiscard]] Character beyond_ascii(const unsigned char* p) const {
    const auto left = static_cast<size_t>(end_ - p);
    const auto part = [&](size_t i) { return i < left && (p[i] & 0xC0) == 0x80; };
    const uint32_t first = *p;
    const Character stray{CharClass::other, 1};
    if (first < 0xC2 || first > 0xF4 || !part(1)) return stray;
    const auto bits = [&](size_t i) { return static_cast<uint32_t>(p[i] & 0x3F); };
    if (first < 0xE0) return {classes_.of((first & 0x1F) << 6 | bits(1)), 2};
    if (!part(2)) return stray;
    if (first < 0xF0) {
      const uint32_t code = (first & 0x0F) << 12 | bits(1) << 6 | bits(2);
      if (code < 0x800 || (code >= 0xD800 && code <= 0xDFFF)) return stray;
      return {classes_.of(code), 3};
    }
    if (!part(3)) return stray;
    const uint32_t code = (first & 0x07) << 18 | bits(1) << 12 | bits(2) << 6 | bits(3);
    if (code < 0x10000 || code > 0x10FFFF) return stray;
    return {classes_.of(code), 4};
  }

  const UnicodeClasses& classes_;
  const unsigned char* begin_;
  const unsigned char* end_;
};

size_t gpt2_end(const Walker& text, size_t offset) {
  const unsigned char* const start = text.at(offset);
  if (*start == '\'') {
    if (const size_t letters = text.contraction(start + 1, false)) return offset + 1 + letters;
  }
  const unsigned char* word = start;
  Character c = text.character(start);
  if (*start == ' ' && start + 1 < text.end()) {
    const Character next = text.character(start + 1);
    if (!is_white(next.is)) {
      word = start + 1;
      c = next;
    }
  }
  if (is_white(c.is)) return text.offset(text.white_end(start, text.white(start)));
  return text.offset(text.run(word + c.length, c.is));
}

size_t gpt4_end(const Walker& text, size_t offset) {
  const unsigned char* const start = text.at(offset);
  if (*start == '\'') {
    if (const size_t letters = text.contraction(start + 1, true)) return offset + 1 + letters;
  }
  const Character c = text.character(start);
  const unsigned char* const behind = start + c.length;
  if (c.is == CharClass::letter) return text.offset(text.run(behind, CharClass::letter));
  if (c.is == CharClass::number) {
    const unsigned char* p = behind;
    for (int digits = 1; digits < 3 && p < text.end(); ++digits) {
      const Character next = text.character(p);
      if (next.is != CharClass::number) break;
      p += next.length;
    }
    return text.offset(p);
  }
  Character next{CharClass::newline, 0};
  if (behind < text.end()) next = text.character(behind);
  if (next.is == CharClass::letter && c.is != CharClass::newline) {
    return text.offset(text.run(behind + next.length, CharClass::letter));
  }
  if (c.is == CharClass::other || (*start == ' ' && next.is == CharClass::other)) {
    return text.offset(text.run(text.run(behind, CharClass::other), CharClass::newline));
  }
  const Walker::White white = text.white(start);
  if (white.line_break != nullptr) return text.offset(white.line_break);
  return text.offset(text.white_end(start, white));
}

/// A flag (the upper bit) for each of eight bytes that is no ASCII letter.
constexpr uint64_t not_letters(uint64_t bytes) {
  constexpr uint64_t ones = 0x0101010101010101u, upper = 0x80 * ones;
  const uint64_t small = (bytes | 0x20 * ones) & ~upper;
  const uint64_t from_a = small + (0x80 - 'a') * ones, beyond_z = small + (0x7F - 'z') * ones;
  return upper & (bytes | ~from_a | beyond_z);
}

/// End of a word of ASCII letters, with or without a space before it, when it stands at `offset` and a
/// character that is no letter in any script follows within the text: the same in all patterns, and most of a
/// common text. 0 when it is not so simple.
size_t plain_word_end(std::string_view text, size_t offset) {
  size_t at = offset + (text[offset] == ' ' ? 1 : 0);
  const size_t first = at;
  while (at + 8 <= text.size()) {
    uint64_t bytes = 0;
    std::memcpy(&bytes, text.data() + at, 8);
    if constexpr (std::endian::native == std::endian::big) bytes = __builtin_bswap64(bytes);
    const uint64_t stops = not_letters(bytes);
    if (stops == 0) {
      at += 8;
      continue;
    }
    at += static_cast<size_t>(std::countr_zero(stops)) / 8;
    return at > first && static_cast<unsigned char>(text[at]) < 0x80 ? at : 0;
  }
  return 0;
}

}  // namespace

PreTokenizer::PreTokenizer(SplitPattern pattern) : pattern_(pattern), classes_(&UnicodeClasses::get()) {}

size_t PreTokenizer::piece_end(std::string_view text, size_t offset) const {
  if (const size_t end = plain_word_end(text, offset); end > 0) return end;
  const Walker walker(*classes_, text);
  return pattern_ == SplitPattern::gpt2 ? gpt2_end(walker, offset) : gpt4_end(walker, offset);
}

size_t safe_cut(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto visible = [](unsigned char c) { return c > ' ' && c < 0x7F; };
  for (size_t cut = text.size(); cut-- > 1;) {
    const auto small = static_cast<unsigned char>(at(cut - 1) | 0x20);
    if (at(cut) == ' ' && small >= 'a' && small <= 'z') return cut;
    // Of the characters that begin with the bytes E4…EC none is white space.
    const bool goes_on = visible(at(cut)) || (at(cut) >= 0xE4 && at(cut) <= 0xEC);
    if (at(cut - 1) == '\n' && goes_on && cut > 1 && visible(at(cut - 2))) return cut;
  }
  return 0;
}

std::string_view pattern_regex(SplitPattern pattern) {
  return pattern == SplitPattern::gpt2 ? kGpt2Regex : kGpt4Regex;
}

std::optional<SplitPattern> pattern_from_regex(std::string_view regex) {
  if (regex == kGpt2Regex) return SplitPattern::gpt2;
  if (regex == kGpt4Regex) return SplitPattern::gpt4;
  for (const std::string_view spelling : kGpt4Spellings) {
    if (regex == spelling) return SplitPattern::gpt4;
  }
  return std::nullopt;
}

}  // namespace headlight
