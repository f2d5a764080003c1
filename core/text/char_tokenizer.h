// One token for each character (Unicode code point) of a text: the sorted set, as the course's mini model has
// it (S11).
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/text/tokenizer.h"

namespace headlight {

class CharTokenizer final : public Tokenizer {
 public:
  static constexpr const char* file_name = "headlight_characters.json";
  /// No writing system needs more; a text above it is not a text.
  static constexpr int64_t max_vocabulary = 65536;

  /// The sorted set of the text's code points. Throws Error when the text is empty, not UTF-8, or has too
  /// many.
  [[nodiscard]] static CharTokenizer from_text(std::string_view text);
  /// From distinct code points in the order of their ids. Throws Error on a repeated or invalid one.
  explicit CharTokenizer(std::vector<char32_t> characters);
  /// Reads file_name. Throws Error naming the file and what is wrong with it.
  [[nodiscard]] static CharTokenizer load(const std::filesystem::path& file);

  [[nodiscard]] Encoded encode(std::string_view text) const override;
  [[nodiscard]] std::string decode(std::span<const int32_t> ids) const override;
  [[nodiscard]] std::string token_text(int32_t id) const override;
  [[nodiscard]] int64_t vocab_size() const override { return static_cast<int64_t>(characters_.size()); }
  [[nodiscard]] std::string_view kind() const override { return "characters"; }
  void save(const std::filesystem::path& folder) const override;

 private:
  std::vector<char32_t> characters_;
  std::unordered_map<char32_t, int32_t> ids_;
};

}  // namespace headlight
