// One token for each word with the space before it, or punctuation mark: "The", " cat", " sat", ".". Made for
// the built-in stories, whose vocabulary is a few dozen words.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/text/tokenizer.h"

namespace headlight {

/// Pieces are an optional space and then a run of letters, marks, digits and apostrophes, or one other
/// character. A piece that the vocabulary lacks is tried without (or with) its space, so that "the cat" is
/// understood at the start of a prompt; white space that belongs to no word carries no token. What is still
/// unknown is reported.
class WordTokenizer final : public Tokenizer {
 public:
  static constexpr const char* file_name = "headlight_words.json";
  static constexpr int64_t max_vocabulary = 65536;

  /// From distinct, non-empty token texts in the order of their ids. Throws Error on an empty or repeated
  /// one.
  explicit WordTokenizer(std::vector<std::string> words);
  /// The sorted set of the text's pieces. Throws Error when the text is empty, not UTF-8, or has too many.
  [[nodiscard]] static WordTokenizer from_text(std::string_view text);
  /// Reads file_name. Throws Error naming the file and what is wrong with it.
  [[nodiscard]] static WordTokenizer load(const std::filesystem::path& file);

  [[nodiscard]] Encoded encode(std::string_view text) const override;
  [[nodiscard]] std::string decode(std::span<const int32_t> ids) const override;
  [[nodiscard]] std::string token_text(int32_t id) const override;
  [[nodiscard]] int64_t vocab_size() const override { return static_cast<int64_t>(words_.size()); }
  [[nodiscard]] std::string_view kind() const override { return "words"; }
  void save(const std::filesystem::path& folder) const override;

 private:
  /// Id of exactly this token text, or -1.
  [[nodiscard]] int32_t find(const std::string& word) const;

  std::vector<std::string> words_;
  std::unordered_map<std::string, int32_t> ids_;
};

}  // namespace headlight
