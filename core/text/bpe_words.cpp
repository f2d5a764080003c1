// See bpe_words.h.
#include "core/text/bpe_words.h"

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/byte_alphabet.h"

namespace headlight {

void BpeWords::add_vocabulary(const nlohmann::json& vocab) {
  ids_.reserve(vocab.size());
  for (const auto& [word, id] : vocab.items()) add(word, id);
}

void BpeWords::add(const std::string& word, const nlohmann::json& id) {
  // No file holds as many tokens as there are ids, so a larger one is wrong whatever else the file says.
  if (!id.is_number_unsigned() || id.get<uint64_t>() > INT32_MAX) {
    fail("{}: the id of the token {} is {}, not a whole number from 0", where_, quote(word),
         printable(id.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)));
  }
  if (word.empty()) fail("{} has a token without text, with the id {}", where_, id.get<uint64_t>());
  if (!ids_.emplace(word, id.get<int32_t>()).second) fail("{} has the token {} twice", where_, quote(word));
}

void BpeWords::complete() {
  words_.assign(ids_.size(), {});
  for (const auto& [word, id] : ids_) {
    const auto index = static_cast<size_t>(id);
    if (index >= words_.size()) {
      fail("{} has {} tokens, but {} has the id {}; ids run from 0 to {} without gaps", where_, words_.size(),
           quote(word), id, words_.size() - 1);
    }
    if (!words_[index].empty()) {
      fail("{} gives the id {} to both {} and {}", where_, id, quote(std::min(words_[index], word)),
           quote(std::max(words_[index], word)));
    }
    words_[index] = word;
  }
}

int32_t BpeWords::find(const std::string& word) const {
  const auto found = ids_.find(word);
  return found == ids_.end() ? -1 : found->second;
}

BpeMerge BpeWords::merge(const std::string& left, const std::string& right, const std::string& place,
                         std::string_view merges_where) const {
  const auto known = [&](const std::string& word) {
    const int32_t id = find(word);
    if (id < 0) {
      fail(
          "{}: {} needs the token {}, which the vocabulary of {} lacks; the two belong to different "
          "tokenizers",
          merges_where, place, quote(word), where_);
    }
    return id;
  };
  return {known(left), known(right), known(left + right)};
}

std::vector<std::string> BpeWords::bytes(const std::vector<AddedToken>& added) const {
  std::vector<std::string> tokens(words_.size());
  for (const AddedToken& token : added)
    tokens[static_cast<size_t>(token.id)] = words_[static_cast<size_t>(token.id)];
  for (size_t id = 0; id < words_.size(); ++id) {
    if (!tokens[id].empty()) continue;
    std::optional<std::string> spelled = from_alphabet(words_[id]);
    if (!spelled) {
      fail(
          "{}: the token {} (id {}) is not written in GPT-2's byte alphabet; Headlight reads byte-level BPE "
          "only",
          where_, quote(words_[id]), id);
    }
    tokens[id] = std::move(*spelled);
  }
  return tokens;
}

}  // namespace headlight
