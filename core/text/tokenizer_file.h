// What our own tokenizers share: checks of text and ids, and the JSON file that is a list of token texts in
// id order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace headlight {

/// Throws Error naming the first byte that is not UTF-8. `what` is the subject: "the prompt".
void check_utf8(std::string_view text, std::string_view what);

/// Throws Error unless 0 ≤ id < vocab_size.
void check_token(int32_t id, int64_t vocab_size);

/// Writes {"format": "headlight tokenizer", "kind": kind, "tokens": […]}.
void save_token_texts(const std::filesystem::path& file, std::string_view kind,
                      const std::vector<std::string>& texts);

/// Reads such a file. Throws Error naming the file and what is wrong: another kind, an empty list, more than
/// `most` tokens, a token that is no string or empty.
[[nodiscard]] std::vector<std::string> load_token_texts(const std::filesystem::path& file,
                                                        std::string_view kind, int64_t most);

}  // namespace headlight
