// Learns byte-pair merges from a text, one at a time: `headlight tokenize --train` runs it to a vocabulary's
// size, the merge view steps it on a class's own sentence.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/text/bpe_model.h"

namespace headlight {

/// Two neighbouring tokens and how often they stand together in the text.
struct PairCount {
  int32_t left = 0, right = 0;
  int64_t count = 0;
  bool operator==(const PairCount&) const = default;
};

/// Starts from the 256 bytes. Each merge takes the most frequent pair; among equals the one with the smaller
/// left id, then the smaller right id: the same text gives the same merges, which are also those of Hugging
/// Face's trainer.
class BpeTrainer {
 public:
  static constexpr const char* end_of_text = "<|endoftext|>";

  /// Cuts `text` with the pattern and counts. A pair below `min_count` is not learned: one that stands once
  /// teaches nothing.
  BpeTrainer(std::string_view text, SplitPattern pattern, int64_t min_count = 2);

  struct Learned {
    BpeMerge merge;
    int64_t count = 0;  ///< how often the pair stood in the text
    bool operator==(const Learned&) const = default;
  };
  /// Learns the next merge; nothing when no pair is frequent enough.
  std::optional<Learned> learn();

  /// The most frequent pairs by the rule above, at most `most` of them; the first is what learn() takes next.
  [[nodiscard]] std::vector<PairCount> frequent_pairs(size_t most) const;
  [[nodiscard]] int64_t min_count() const { return min_count_; }
  /// Tokens in the text as it is cut by now.
  [[nodiscard]] int64_t token_count() const { return token_count_; }
  /// Bytes of the tokens so far by id.
  [[nodiscard]] const std::vector<std::string>& tokens() const { return model_.tokens; }
  [[nodiscard]] const std::vector<BpeMerge>& merges() const { return model_.merges; }
  /// What was learned so far, with `<|endoftext|>` as the last token when wanted.
  [[nodiscard]] BpeModel model(bool with_end_of_text) const;

 private:
  /// A piece of the text, with the tokens that it is made of by now.
  struct Word {
    std::vector<int32_t> ids;
    int64_t count = 0;
  };
  struct Pair {
    int64_t count = 0;
    std::vector<uint32_t> words;  ///< where it stood at some time, perhaps repeatedly
  };
  struct Candidate {
    int64_t count = 0;
    uint64_t pair = 0;
    /// The order of a priority queue: the worse one is "less".
    bool operator<(const Candidate& other) const {
      return count != other.count ? count < other.count : pair > other.pair;
    }
  };
  /// Adds to a pair's count; a gain is noted in gained_.
  void change(int32_t left, int32_t right, int64_t by, uint32_t word);
  void apply(const BpeMerge& merge, uint32_t word);

  BpeModel model_;
  int64_t min_count_ = 2, token_count_ = 0;
  std::unordered_map<std::string, int32_t> ids_;  ///< by bytes: two ways to one text share a token
  std::vector<Word> words_;
  std::unordered_map<uint64_t, Pair> pairs_;
  /// Each pair stands in it at least once with its count or, from before, a larger one.
  std::priority_queue<Candidate> candidates_;
  std::vector<uint64_t> gained_;
};

/// Called now and then with the tokens so far and those wanted.
using TrainProgress = std::function<void(int64_t, int64_t)>;

/// Learns until there are `vocab_size` tokens, `<|endoftext|>` among them, or no pair is frequent enough.
/// Throws Error when the text is empty or vocab_size is below 257.
[[nodiscard]] BpeModel train_bpe(std::string_view text, int64_t vocab_size, SplitPattern pattern,
                                 const TrainProgress& progress = {});

}  // namespace headlight
