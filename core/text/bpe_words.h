// Tokens as files spell them, with their ids: what both readers of byte-level BPE files share.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/text/bpe_model.h"

namespace headlight {

/// The words of a vocabulary by id and the ids by word. `where` names the file in sentences.
class BpeWords {
 public:
  explicit BpeWords(std::string_view where) : where_(where) {}

  /// Takes an object of words and ids, which may have gaps until `complete`. Throws Error on what is no id.
  void add_vocabulary(const nlohmann::json& vocab);
  /// Adds one word. Throws Error when the word or the id is there already.
  void add(const std::string& word, const nlohmann::json& id);
  /// Throws Error unless the ids are 0…n−1.
  void complete();

  [[nodiscard]] const std::vector<std::string>& words() const { return words_; }
  [[nodiscard]] size_t size() const { return ids_.size(); }
  /// -1 for an unknown word.
  [[nodiscard]] int32_t find(const std::string& word) const;

  /// The merge of two words, whose product must be a word. `place` names it: "line 3", "merge 3". Throws
  /// Error.
  [[nodiscard]] BpeMerge merge(const std::string& left, const std::string& right, const std::string& place,
                               std::string_view merges_where) const;

  /// Bytes of each token: the word itself for added tokens, otherwise what it spells in the byte alphabet.
  /// Throws Error naming a word that does not.
  [[nodiscard]] std::vector<std::string> bytes(const std::vector<AddedToken>& added) const;

 private:
  std::string where_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<std::string> words_;  ///< by id, filled by complete()
};

}  // namespace headlight
