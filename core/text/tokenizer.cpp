// See tokenizer.h.
#include "core/text/tokenizer.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/char_tokenizer.h"
#include "core/text/word_tokenizer.h"

namespace headlight {

std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  const std::filesystem::path characters = folder / CharTokenizer::file_name;
  const std::filesystem::path words = folder / WordTokenizer::file_name;
  std::error_code error;
  if (std::filesystem::exists(characters, error)) {
    return std::make_shared<CharTokenizer>(CharTokenizer::load(characters));
  }
  if (std::filesystem::exists(words, error))
    return std::make_shared<WordTokenizer>(WordTokenizer::load(words));
  fail("{} holds no tokenizer that Headlight reads ({} or {})", folder.string(), CharTokenizer::file_name,
       WordTokenizer::file_name);
}

void Encoded::add_unknown(size_t offset, std::string_view text) {
  unknown_count += 1;
  if (unknown.size() < most_unknown) unknown.push_back({offset, std::string(text)});
}

std::string describe_unknown(const Encoded& encoded, const Tokenizer& tokenizer) {
  if (encoded.unknown.empty()) return "";
  std::vector<std::string_view> distinct;
  for (const UnknownText& unknown : encoded.unknown) {
    if (std::find(distinct.begin(), distinct.end(), unknown.text) == distinct.end())
      distinct.push_back(unknown.text);
  }
  // A few of them are enough to see what is wrong.
  constexpr size_t shown_most = 6;
  std::vector<std::string> shown;
  for (size_t i = 0; i < std::min(distinct.size(), shown_most); ++i) shown.push_back(quote(distinct[i]));
  const bool many = distinct.size() > 1;
  return fmt::format(
      "the model's vocabulary of {} {} lacks {}{} (first at byte {}); leave {} out, or train on a text that "
      "has {}",
      tokenizer.vocab_size(), tokenizer.kind(), fmt::join(shown, ", "),
      distinct.size() > shown.size() ? " and others" : "", encoded.unknown.front().offset,
      many ? "them" : "it", many ? "them" : "it");
}

std::vector<int32_t> encode_all(const Tokenizer& tokenizer, std::string_view text) {
  Encoded encoded = tokenizer.encode(text);
  if (!encoded.unknown.empty()) fail("{}", describe_unknown(encoded, tokenizer));
  return std::move(encoded.ids);
}

}  // namespace headlight
