// How a text is cut into pieces before byte pairs are merged: merges never cross the border of a piece.
// Written by hand after the published patterns; the BPE tokenizer and its trainer walk a text with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace headlight {

class UnicodeClasses;

/// `gpt2`: contractions, and runs of letters, numbers or other characters with one space before them.
/// `gpt4`: GPT-4's (cl100k_base) and Llama 3's, which is the same text: contractions in any case, numbers of
/// at most three digits, one character that is no letter before a word, line breaks at the end of
/// punctuation.
enum class SplitPattern : uint8_t { gpt2, gpt4 };

/// Cuts any bytes; a byte that belongs to no valid UTF-8 character counts as a character that is neither
/// letter, number nor space. Never throws.
class PreTokenizer {
 public:
  explicit PreTokenizer(SplitPattern pattern);
  [[nodiscard]] SplitPattern pattern() const { return pattern_; }
  /// End of the piece that starts at `offset` < text.size(): larger than `offset`.
  [[nodiscard]] size_t piece_end(std::string_view text, size_t offset) const;

 private:
  SplitPattern pattern_;
  const UnicodeClasses* classes_;
};

/// The last place in `text` where a piece ends whatever follows and whatever stands before: between an ASCII
/// letter and a space, or behind a single line break between visible characters. 0 when there is none. Lets a
/// stream be encoded in parts.
[[nodiscard]] size_t safe_cut(std::string_view text);

/// The regular expression that tokenizer.json files write for a pattern.
[[nodiscard]] std::string_view pattern_regex(SplitPattern pattern);
/// The pattern that a regular expression from a file means; nothing for another one.
[[nodiscard]] std::optional<SplitPattern> pattern_from_regex(std::string_view regex);

}  // namespace headlight
