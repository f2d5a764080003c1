// GPT-2's byte alphabet: each of the 256 bytes as a printable character, so that vocab.json and merges.txt
// hold tokens as readable words ("Ġcat" for " cat"). Readers, writers and the merge view use it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headlight {

/// The character that stands for a byte: itself when it is printable in Latin-1 and no space, else U+0100 and
/// upwards in the order of the bytes.
[[nodiscard]] char32_t alphabet_character(uint8_t byte);

/// Bytes in the order of their characters: the order of ids 0…255 in GPT-2's vocabulary.
[[nodiscard]] uint8_t alphabet_byte(int32_t rank);

/// Bytes written in the alphabet.
[[nodiscard]] std::string to_alphabet(std::string_view bytes);

/// The bytes that a word in the alphabet (valid UTF-8) stands for; nothing when a character is not in it.
[[nodiscard]] std::optional<std::string> from_alphabet(std::string_view word);

}  // namespace headlight
