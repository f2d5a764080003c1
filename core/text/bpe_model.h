// What a byte-level BPE tokenizer knows: its tokens, its merges in the order in which they were learned, and
// how text is cut before merging. Files are read into it and written from it; the trainer makes one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/text/pretokenizer.h"

namespace headlight {

/// Two neighbouring tokens that become one. The lower a merge stands in its list, the earlier it is applied.
struct BpeMerge {
  int32_t left = 0, right = 0, merged = 0;
  bool operator==(const BpeMerge&) const = default;
};

/// A token that is found in the text as it stands, before any cutting: "<|endoftext|>".
struct AddedToken {
  int32_t id = 0;
  bool special = true;  ///< a mark rather than text: kept in files, of no account for encoding
  bool operator==(const AddedToken&) const = default;
};

struct BpeModel {
  std::vector<std::string> tokens;  ///< bytes of each token by id
  std::vector<BpeMerge> merges;     ///< by rank
  std::vector<AddedToken> added;    ///< by id
  SplitPattern pattern = SplitPattern::gpt2;
  /// A piece that is a token as a whole is that token, whatever the merges would make of it (Llama 3).
  bool whole_pieces = false;
  /// The "post_processor" of a tokenizer.json as JSON text, kept for writing; empty: GPT-2's.
  std::string post_processor;
  bool operator==(const BpeModel&) const = default;
};

/// Throws Error unless the model holds together: all 256 bytes are tokens, every merge's parts are tokens and
/// make its product, no merge stands twice, added tokens have text. `where` names the source:
/// "out/tokenizer.json".
void validate(const BpeModel& model, std::string_view where);

}  // namespace headlight
