// See tokenizer.h.
#include "core/text/tokenizer.h"

#include <algorithm>
#include <iterator>
#include <system_error>
#include <utility>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/bpe_files.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/char_tokenizer.h"
#include "core/text/word_tokenizer.h"

namespace headlight {

namespace {

bool is_there(const std::filesystem::path& file) {
  std::error_code ignored;
  return std::filesystem::exists(file, ignored);
}

/// The vocabulary's file and the merges', under the names of either release.
constexpr std::pair<const char*, const char*> kPairs[] = {{kVocabJson, kMergesTxt},
                                                          {kEncoderJson, kVocabBpe}};

}  // namespace

bool has_tokenizer(const std::filesystem::path& folder) {
  if (is_there(folder / CharTokenizer::file_name) || is_there(folder / WordTokenizer::file_name)) return true;
  if (is_there(folder / kTokenizerJson)) return true;
  return std::any_of(std::begin(kPairs), std::end(kPairs), [&](const auto& names) {
    return is_there(folder / names.first) || is_there(folder / names.second);
  });
}

void remove_tokenizers(const std::filesystem::path& folder) {
  std::error_code ignored;
  for (const char* name : {CharTokenizer::file_name, WordTokenizer::file_name, kTokenizerJson}) {
    std::filesystem::remove(folder / name, ignored);
  }
  for (const auto& [vocab, merges] : kPairs) {
    std::filesystem::remove(folder / vocab, ignored);
    std::filesystem::remove(folder / merges, ignored);
  }
}

std::shared_ptr<const Tokenizer> load_tokenizer(const std::filesystem::path& folder) {
  const std::filesystem::path characters = folder / CharTokenizer::file_name;
  const std::filesystem::path words = folder / WordTokenizer::file_name;
  const std::filesystem::path json = folder / kTokenizerJson;
  if (is_there(characters)) return std::make_shared<CharTokenizer>(CharTokenizer::load(characters));
  if (is_there(words)) return std::make_shared<WordTokenizer>(WordTokenizer::load(words));
  if (is_there(json)) return std::make_shared<BpeTokenizer>(read_tokenizer_json(json), json.string());
  for (const auto& [vocab_name, merges_name] : kPairs) {
    const std::filesystem::path vocab = folder / vocab_name, merges = folder / merges_name;
    if (is_there(vocab) != is_there(merges)) {
      fail("{} holds {} without {}; both make one tokenizer", folder.string(),
           is_there(vocab) ? vocab_name : merges_name, is_there(vocab) ? merges_name : vocab_name);
    }
    if (is_there(vocab))
      return std::make_shared<BpeTokenizer>(read_vocab_and_merges(vocab, merges), vocab.string());
  }
  fail("{} holds no tokenizer that Headlight reads ({}, {}, {}, or {} with {})", folder.string(),
       CharTokenizer::file_name, WordTokenizer::file_name, kTokenizerJson, kVocabJson, kMergesTxt);
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
