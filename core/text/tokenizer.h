// What every tokenizer can do: text to ids and back. Characters and words live beside this file; the corpus,
// the prompt and the command line know only this class.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headlight {

/// A piece of a prompt that the vocabulary lacks.
struct UnknownText {
  size_t offset = 0;  ///< first byte in the text that was encoded
  std::string text;   ///< the character or word itself
  bool operator==(const UnknownText&) const = default;
};

/// Ids of what is known, and a list of what is not: the caller tells the user, nothing vanishes in silence.
struct Encoded {
  static constexpr size_t most_unknown = 1000;  ///< so that a whole book in another script stays a short list
  std::vector<int32_t> ids;
  std::vector<UnknownText> unknown;  ///< the first most_unknown of them, in order
  size_t unknown_count = 0;          ///< all of them

  void add_unknown(size_t offset, std::string_view text);
};

/// Immutable once made, so that threads share it.
class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  /// Ids of `text`. Characters and words throw Error when it is not valid UTF-8; subwords take any bytes.
  [[nodiscard]] virtual Encoded encode(std::string_view text) const = 0;
  /// Text of `ids`; of subwords the bytes, which need not be UTF-8. Throws Error naming an id outside [0,
  /// vocab_size).
  [[nodiscard]] virtual std::string decode(std::span<const int32_t> ids) const = 0;
  /// Text of one token, with its leading space if it has one: " cat". Throws Error on an id outside the
  /// vocabulary.
  [[nodiscard]] virtual std::string token_text(int32_t id) const = 0;
  [[nodiscard]] virtual int64_t vocab_size() const = 0;
  /// "characters", "words" or "subwords": what a sentence calls the tokens.
  [[nodiscard]] virtual std::string_view kind() const = 0;
  /// Writes the tokenizer's file into an existing folder, atomically. Throws Error naming the file.
  virtual void save(const std::filesystem::path& folder) const = 0;
};

/// True when the folder holds files of a tokenizer, readable or not.
[[nodiscard]] bool has_tokenizer(const std::filesystem::path& folder);

/// Removes the files of every kind of tokenizer, so that another one can be saved there.
void remove_tokenizers(const std::filesystem::path& folder);

/// Reads whichever tokenizer files the folder holds: Headlight's own, tokenizer.json, vocab.json with
/// merges.txt, or encoder.json with vocab.bpe. Throws Error naming the folder and the files that it looked
/// for.
[[nodiscard]] std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& folder);

/// One sentence that tells which characters or words the vocabulary lacks; empty when it lacks none.
[[nodiscard]] std::string describe_unknown(const Encoded& encoded, const Tokenizer& tokenizer);

/// Ids of a text that must be known as a whole. Throws Error with describe_unknown's sentence.
[[nodiscard]] std::vector<int32_t> encode_all(const Tokenizer& tokenizer, std::string_view text);

}  // namespace headlight
