// See bpe_model.h.
#include "core/text/bpe_model.h"

#include <limits>
#include <unordered_map>
#include <unordered_set>

#include "core/base/error.h"
#include "core/base/utf8.h"
#include "core/text/added_tokens.h"
#include "core/text/byte_alphabet.h"

namespace headlight {

namespace {

void check_bytes(const BpeModel& model, std::string_view where) {
  std::vector<bool> present(256);
  for (const std::string& token : model.tokens) {
    if (token.size() == 1) present[static_cast<uint8_t>(token[0])] = true;
  }
  for (size_t byte = 0; byte < present.size(); ++byte) {
    if (!present[byte]) {
      fail("{} has no token for the byte \\x{:02X}; a byte-level vocabulary holds all 256", where, byte);
    }
  }
}

/// Files could not tell an added token from another one that is spelled like it in the byte alphabet.
void check_spelling(const BpeModel& model, const std::vector<bool>& added, std::string_view where) {
  std::unordered_map<std::string, int32_t> spelled;
  for (const AddedToken& token : model.added) {
    const std::string& text = model.tokens[static_cast<size_t>(token.id)];
    if (valid_utf8_length(text) != text.size())
      fail("{} adds the token {}, which is not UTF-8 text", where, quote(text));
    if (auto bytes = from_alphabet(text)) spelled.emplace(std::move(*bytes), token.id);
  }
  if (spelled.empty()) return;
  for (size_t id = 0; id < model.tokens.size(); ++id) {
    if (added[id]) continue;
    if (const auto found = spelled.find(model.tokens[id]); found != spelled.end()) {
      fail("{} spells the tokens {} and {} alike; remove the added one", where, id, found->second);
    }
  }
}

}  // namespace

void validate(const BpeModel& model, std::string_view where) {
  const auto size = static_cast<int64_t>(model.tokens.size());
  if (size > std::numeric_limits<int32_t>::max())
    fail("{} has {} tokens, more than ids can name", where, size);
  std::vector<bool> added(model.tokens.size());
  for (const AddedToken& token : model.added) {
    if (token.id < 0 || token.id >= size)
      fail("{} adds a token with the id {}, but has {} tokens", where, token.id, size);
    const auto id = static_cast<size_t>(token.id);
    if (added[id]) fail("{} adds the token {} twice", where, token.id);
    added[id] = true;
    const size_t bytes = model.tokens[id].size();
    if (bytes > AddedTokens::longest_allowed) {
      fail("{} adds the token {} with {} bytes, more than the {} that are allowed", where, token.id, bytes,
           AddedTokens::longest_allowed);
    }
  }
  for (size_t id = 0; id < model.tokens.size(); ++id) {
    if (model.tokens[id].empty()) fail("{} has a token without text, with the id {}", where, id);
  }
  check_bytes(model, where);
  check_spelling(model, added, where);
  std::unordered_set<uint64_t> pairs;
  for (size_t rank = 0; rank < model.merges.size(); ++rank) {
    const BpeMerge& merge = model.merges[rank];
    for (const int32_t id : {merge.left, merge.right, merge.merged}) {
      if (id < 0 || id >= size)
        fail("{}: merge {} names the token {}, but there are {}", where, rank, id, size);
    }
    const auto text = [&](int32_t id) -> const std::string& { return model.tokens[static_cast<size_t>(id)]; };
    if (text(merge.left) + text(merge.right) != text(merge.merged)) {
      fail("{}: merge {} makes {} of {} and {}", where, rank, quote(text(merge.merged)),
           quote(text(merge.left)), quote(text(merge.right)));
    }
    if (!pairs.insert(static_cast<uint64_t>(merge.left) << 32 | static_cast<uint32_t>(merge.right)).second) {
      fail("{} has the merge of {} and {} twice; the second is number {}", where, quote(text(merge.left)),
           quote(text(merge.right)), rank);
    }
  }
}

}  // namespace headlight
