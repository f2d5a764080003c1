// See utf8.h.
#include "core/base/utf8.h"

#include <fmt/format.h>

#include <cstdint>

namespace headlight {

namespace {

uint32_t byte_at(std::string_view text, size_t i) { return static_cast<unsigned char>(text[i]); }

bool is_continuation(std::string_view text, size_t i) {
  return i < text.size() && (byte_at(text, i) & 0xC0u) == 0x80u;
}

/// Bytes of the valid code point at `i`, or 0 when there is none.
size_t checked_length(std::string_view text, size_t i) {
  const uint32_t first = byte_at(text, i);
  if (first < 0x80) return 1;
  if (first < 0xC2 || first > 0xF4 || !is_continuation(text, i + 1)) return 0;  // C0, C1: overlong
  if (first < 0xE0) return 2;
  const uint32_t second = byte_at(text, i + 1);
  if (!is_continuation(text, i + 2)) return 0;
  if (first < 0xF0) {
    const bool overlong = first == 0xE0 && second < 0xA0;
    const bool surrogate = first == 0xED && second > 0x9F;
    return overlong || surrogate ? 0 : 3;
  }
  const bool overlong = first == 0xF0 && second < 0x90;
  const bool too_high = first == 0xF4 && second > 0x8F;
  return overlong || too_high || !is_continuation(text, i + 3) ? 0 : 4;
}

}  // namespace

size_t valid_utf8_length(std::string_view text) {
  size_t i = 0;
  while (i < text.size()) {
    const size_t length = checked_length(text, i);
    if (length == 0) break;
    i += length;
  }
  return i;
}

size_t utf8_length_at(std::string_view text, size_t offset) {
  const uint32_t first = byte_at(text, offset);
  return first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
}

char32_t utf8_code_point_at(std::string_view text, size_t offset) {
  const size_t length = utf8_length_at(text, offset);
  if (length == 1) return byte_at(text, offset);
  uint32_t code = byte_at(text, offset) & (0x7Fu >> length);
  for (size_t i = 1; i < length; ++i) code = (code << 6) | (byte_at(text, offset + i) & 0x3Fu);
  return code;
}

void append_utf8(std::string& out, char32_t code_point) {
  const auto push = [&out](uint32_t byte) { out.push_back(static_cast<char>(byte)); };
  const uint32_t c = code_point;
  if (c < 0x80) {
    push(c);
  } else if (c < 0x800) {
    push(0xC0 | (c >> 6));
    push(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    push(0xE0 | (c >> 12));
    push(0x80 | ((c >> 6) & 0x3F));
    push(0x80 | (c & 0x3F));
  } else {
    push(0xF0 | (c >> 18));
    push(0x80 | ((c >> 12) & 0x3F));
    push(0x80 | ((c >> 6) & 0x3F));
    push(0x80 | (c & 0x3F));
  }
}

std::string printable(std::string_view text, size_t longest) {
  std::string out;
  size_t i = 0;
  while (i < text.size() && i < longest) {
    const size_t length = checked_length(text, i);
    const uint32_t first = byte_at(text, i);
    if (length == 0 || first < 0x20 || first == 0x7F) {
      out += fmt::format("\\x{:02X}", first);
      i += 1;
    } else {
      out += text.substr(i, length);
      i += length;
    }
  }
  if (i < text.size()) out += "…";
  return out;
}

std::string quote(std::string_view text, size_t longest) { return "“" + printable(text, longest) + "”"; }

}  // namespace headlight
