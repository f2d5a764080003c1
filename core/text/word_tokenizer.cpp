// See word_tokenizer.h.
#include "core/text/word_tokenizer.h"

#include <utf8proc.h>

#include <set>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/tokenizer_file.h"

namespace headlight {

namespace {

bool is_word_character(char32_t c) {
  if (c == U'\'' || c == U'’') return true;
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
      return true;
    default:
      return false;
  }
}

bool is_white_space(char32_t c) {
  if (c >= 0x09 && c <= 0x0D) return true;
  const utf8proc_category_t category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP;
}

/// The piece of valid UTF-8 that starts at `offset`: see the class comment.
std::string_view piece_at(std::string_view text, size_t offset) {
  size_t end = offset;
  if (text[end] == ' ' && end + 1 < text.size() && !is_white_space(utf8_code_point_at(text, end + 1)))
    end += 1;
  const bool word = is_word_character(utf8_code_point_at(text, end));
  do {
    end += utf8_length_at(text, end);
  } while (word && end < text.size() && is_word_character(utf8_code_point_at(text, end)));
  return text.substr(offset, end - offset);
}

}  // namespace

WordTokenizer::WordTokenizer(std::vector<std::string> words) : words_(std::move(words)) {
  if (words_.empty()) fail("a vocabulary needs at least one word");
  if (vocab_size() > max_vocabulary) {
    fail(
        "the text has {} different words, more than the {} that a vocabulary may have; use its characters "
        "instead",
        vocab_size(), max_vocabulary);
  }
  for (size_t i = 0; i < words_.size(); ++i) {
    if (words_[i].empty()) fail("word {} of a vocabulary is empty", i);
    check_utf8(words_[i], "a word of the vocabulary");
    if (!ids_.emplace(words_[i], static_cast<int32_t>(i)).second) {
      fail("the word {} stands twice in a vocabulary", quote(words_[i]));
    }
  }
}

WordTokenizer WordTokenizer::from_text(std::string_view text) {
  if (text.empty()) fail("an empty text has no words to learn from");
  check_utf8(text, "the text");
  std::set<std::string> words;
  for (size_t i = 0; i < text.size();) {
    const std::string_view piece = piece_at(text, i);
    words.emplace(piece);
    i += piece.size();
  }
  return WordTokenizer(std::vector<std::string>(words.begin(), words.end()));
}

WordTokenizer WordTokenizer::load(const std::filesystem::path& file) {
  return WordTokenizer(load_token_texts(file, "words", max_vocabulary));
}

int32_t WordTokenizer::find(const std::string& word) const {
  const auto found = ids_.find(word);
  return found == ids_.end() ? -1 : found->second;
}

Encoded WordTokenizer::encode(std::string_view text) const {
  check_utf8(text, "the text");
  Encoded encoded;
  for (size_t i = 0; i < text.size();) {
    const std::string piece(piece_at(text, i));
    const bool spaced = piece.front() == ' ' && piece.size() > 1;
    int32_t id = find(piece);
    if (id < 0) id = find(spaced ? piece.substr(1) : " " + piece);
    if (id >= 0) {
      encoded.ids.push_back(id);
    } else if (!is_white_space(utf8_code_point_at(piece, 0)) || spaced) {
      encoded.add_unknown(i + (spaced ? 1 : 0), spaced ? piece.substr(1) : piece);
    }
    i += piece.size();
  }
  return encoded;
}

std::string WordTokenizer::decode(std::span<const int32_t> ids) const {
  std::string text;
  for (const int32_t id : ids) {
    check_token(id, vocab_size());
    text += words_[static_cast<size_t>(id)];
  }
  return text;
}

std::string WordTokenizer::token_text(int32_t id) const { return decode(std::span(&id, 1)); }

void WordTokenizer::save(const std::filesystem::path& folder) const {
  save_token_texts(folder / file_name, kind(), words_);
}

}  // namespace headlight
