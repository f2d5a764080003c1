// What the Tokens view shows, worked out without ImGui: a text cut into byte-pair tokens after some merges,
// the pairs that could be merged next, and the merges so far; learned on the text itself, or the opened
// model's own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine/snapshot.h"
#include "core/text/bpe_tokenizer.h"

namespace headlight::app {

/// A longer text is cut to its first characters within so many bytes: a class reads a sentence.
inline constexpr size_t merges_text_bytes = 1200;

struct MergeToken {
  std::string text;   ///< as chips write it
  std::string bytes;  ///< "E1 BA BF"
  int32_t id = 0;
  bool fresh = false;  ///< made by the last merge
  bool next = false;   ///< part of the pair that is merged next
};

/// A pair of neighbours in the text as it is cut now.
struct MergePair {
  std::string left, right;
  int64_t count = 0;  ///< how often it stands in the text
  int64_t rank = -1;  ///< of its merge in the model's list; −1: learned here, or no merge
};

/// A merge that was taken.
struct TakenMerge {
  std::string left, right, merged;
  int64_t count = 0;  ///< how often its pair stood in the text
  int64_t rank = -1;
};

struct MergeScene {
  std::vector<std::vector<MergeToken>> pieces;  ///< merges never cross from one to the next
  std::vector<MergePair> pairs;                 ///< the next one first; at most 40
  int64_t most = 0;                             ///< the largest count of a pair before the first merge
  bool last = false;                            ///< no pair is merged any more
  std::vector<TakenMerge> merges;               ///< up to the step
  int64_t step = 0, steps = 0;                  ///< 0 … steps merges are taken
  int64_t bytes = 0, tokens = 0;
};

/// Merges learned on the text: the most frequent pair first. `step` is brought into range.
[[nodiscard]] MergeScene prepare_learning(std::string_view text, int64_t step);
/// The model's own merges on the text: the lowest rank first, wherever it stands.
[[nodiscard]] MergeScene prepare_own_merges(const BpeTokenizer& tokenizer, std::string_view text,
                                            int64_t step);

/// The model's byte-pair tokenizer; null when its tokens are something else.
[[nodiscard]] const BpeTokenizer* byte_pairs(const Snapshot& snapshot);

}  // namespace headlight::app
