// See char_tokenizer.h.
#include "core/text/char_tokenizer.h"

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/tokenizer_file.h"

namespace headlight {

namespace {
std::string text_of(char32_t character) {
  std::string text;
  append_utf8(text, character);
  return text;
}
}  // namespace

CharTokenizer CharTokenizer::from_text(std::string_view text) {
  if (text.empty()) fail("an empty text has no characters to learn from");
  check_utf8(text, "the text");
  std::vector<bool> present(0x110000);
  for (size_t i = 0; i < text.size(); i += utf8_length_at(text, i))
    present[utf8_code_point_at(text, i)] = true;
  std::vector<char32_t> characters;
  for (char32_t c = 0; c < present.size(); ++c) {
    if (present[c]) characters.push_back(c);
  }
  return CharTokenizer(std::move(characters));
}

CharTokenizer::CharTokenizer(std::vector<char32_t> characters) : characters_(std::move(characters)) {
  if (characters_.empty()) fail("a vocabulary needs at least one character");
  if (vocab_size() > max_vocabulary) {
    fail("the text has {} different characters, more than the {} that a vocabulary may have; is it a text?",
         vocab_size(), max_vocabulary);
  }
  for (size_t i = 0; i < characters_.size(); ++i) {
    const char32_t c = characters_[i];
    if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) {
      fail("U+{:04X} in a vocabulary is not a character", static_cast<uint32_t>(c));
    }
    if (!ids_.emplace(c, static_cast<int32_t>(i)).second) {
      fail("the character {} stands twice in a vocabulary", quote(text_of(c)));
    }
  }
}

CharTokenizer CharTokenizer::load(const std::filesystem::path& file) {
  std::vector<char32_t> characters;
  for (const std::string& text : load_token_texts(file, "characters", max_vocabulary)) {
    if (utf8_length_at(text, 0) != text.size()) {
      fail("token {} in {} is {}, not a single character", characters.size(), file.string(), quote(text));
    }
    characters.push_back(utf8_code_point_at(text, 0));
  }
  return CharTokenizer(std::move(characters));
}

Encoded CharTokenizer::encode(std::string_view text) const {
  check_utf8(text, "the text");
  Encoded encoded;
  encoded.ids.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const size_t length = utf8_length_at(text, i);
    const auto found = ids_.find(utf8_code_point_at(text, i));
    if (found != ids_.end()) {
      encoded.ids.push_back(found->second);
    } else {
      encoded.add_unknown(i, text.substr(i, length));
    }
    i += length;
  }
  return encoded;
}

std::string CharTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    check_token(id, vocab_size());
    append_utf8(text, characters_[static_cast<size_t>(id)]);
  }
  return text;
}

std::string CharTokenizer::token_text(int32_t id) const { return decode(std::span(&id, 1)); }

void CharTokenizer::save(const std::filesystem::path& folder) const {
  std::vector<std::string> texts;
  for (const char32_t c : characters_) texts.push_back(text_of(c));
  save_token_texts(folder / file_name, kind(), texts);
}

}  // namespace headlight
