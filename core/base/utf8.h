// UTF-8 by hand: checking, walking by code point, and quoting foreign text inside a sentence. Everything that
// reads text from outside (corpora, prompts, JSON, safetensors) comes through here.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace headlight {

/// Length in bytes of the longest prefix that is valid UTF-8 (no overlong forms, no surrogates, nothing above
/// U+10FFFF); text.size() when all of it is.
[[nodiscard]] size_t valid_utf8_length(std::string_view text);

/// Bytes of the code point that starts at `offset`. The text must be valid UTF-8 and offset must lie at a
/// start.
[[nodiscard]] size_t utf8_length_at(std::string_view text, size_t offset);

/// The code point that starts at `offset`, under the same conditions.
[[nodiscard]] char32_t utf8_code_point_at(std::string_view text, size_t offset);

/// Appends one code point as UTF-8.
void append_utf8(std::string& out, char32_t code_point);

/// `text` shortened to about `longest` bytes at a code point; control characters and bytes that are not UTF-8
/// become \xNN, so that text from a hostile file can stand in a sentence.
[[nodiscard]] std::string printable(std::string_view text, size_t longest = 80);

/// printable() between “ ”.
[[nodiscard]] std::string quote(std::string_view text, size_t longest = 80);

}  // namespace headlight
