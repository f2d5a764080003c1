// Learning merges: the rule by hand and by brute force, the reference's merges, steps that a view can show.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/io/json.h"
#include "core/text/bpe_files.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/bpe_trainer.h"
#include "tests/support/error_text.h"
#include "tests/support/paths.h"

namespace headlight {
namespace {

using test::error_of;

TEST(BpeTrainer, LearnsTheMostFrequentPairFirst) {
  BpeTrainer trainer("the then there, the", SplitPattern::gpt2);
  const auto text = [&](int32_t id) { return trainer.tokens()[static_cast<size_t>(id)]; };
  const int64_t before = trainer.token_count();
  const std::vector<PairCount> pairs = trainer.frequent_pairs(3);
  ASSERT_EQ(pairs.size(), 3u);
  // "th" and "he" stand four times each; e < h < t by id, so "he" comes first.
  EXPECT_EQ(pairs[0].count, 4);
  EXPECT_EQ(text(pairs[0].left) + text(pairs[0].right), "he");
  EXPECT_EQ(text(pairs[1].left) + text(pairs[1].right), "th");
  const auto first = trainer.learn();
  ASSERT_TRUE(first);
  EXPECT_EQ(first->merge.left, pairs[0].left);
  EXPECT_EQ(first->count, 4);
  EXPECT_EQ(text(first->merge.merged), "he");
  EXPECT_EQ(trainer.token_count(), before - 4);
  const auto second = trainer.learn();
  EXPECT_EQ(text(second->merge.merged), "the");
  EXPECT_EQ(text(trainer.learn()->merge.merged), " the");  // three of them
  while (trainer.learn()) {
  }
  for (const PairCount& pair : trainer.frequent_pairs(100)) EXPECT_LT(pair.count, 2);
}

/// The rule without bookkeeping: all pairs counted afresh before each merge.
std::vector<BpeMerge> learned_by_rule(std::string_view text, SplitPattern pattern, size_t most) {
  const BpeTrainer start("", pattern);
  std::vector<std::string> tokens = start.tokens();
  const PreTokenizer cutter(pattern);
  std::vector<std::vector<int32_t>> words;
  const auto id_of = [&](const std::string& bytes) {
    return static_cast<int32_t>(std::find(tokens.begin(), tokens.end(), bytes) - tokens.begin());
  };
  for (size_t at = 0; at < text.size();) {
    const size_t end = cutter.piece_end(text, at);
    words.emplace_back();
    for (; at < end; ++at) words.back().push_back(id_of(std::string(1, text[at])));
  }
  std::vector<BpeMerge> merges;
  while (merges.size() < most) {
    std::map<std::pair<int32_t, int32_t>, int64_t> counts;
    for (const auto& word : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) counts[{word[i], word[i + 1]}] += 1;
    }
    const auto best = std::max_element(counts.begin(), counts.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    if (best == counts.end() || best->second < 2) break;
    const auto [left, right] = best->first;
    const std::string made = tokens[static_cast<size_t>(left)] + tokens[static_cast<size_t>(right)];
    if (static_cast<size_t>(id_of(made)) == tokens.size()) tokens.push_back(made);
    merges.push_back({left, right, id_of(made)});
    for (auto& word : words) {
      for (size_t i = 0; i + 1 < word.size(); ++i) {
        if (word[i] != left || word[i + 1] != right) continue;
        word[i] = merges.back().merged;
        word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

TEST(BpeTrainer, FollowsTheRule) {
  Random random(5);
  for (int i = 0; i < 60; ++i) {
    std::string text;
    const uint64_t letters = 2 + random.below(4);
    for (uint64_t n = 40 + random.below(400); n > 0; --n) {
      text += random.below(6) == 0 ? ' ' : static_cast<char>('a' + random.below(letters));
    }
    BpeTrainer trainer(text, SplitPattern::gpt2);
    while (trainer.merges().size() < 60 && trainer.learn()) {
    }
    // Counts that several merges changed may differ from a fresh count only in runs of one letter, where
    // pairs overlap.
    EXPECT_EQ(trainer.merges(), learned_by_rule(text, SplitPattern::gpt2, 60)) << text;
  }
}

TEST(BpeTrainer, LearnsWhatTheReferenceLearns) {
  const auto golden = test::golden_folder() / "tokenizers";
  const auto text = read_json_file(golden / "cases.json", "golden")["trained_on"].get<std::string>();
  for (const auto& [name, pattern] :
       {std::pair{"gpt2.json", SplitPattern::gpt2}, {"gpt4.json", SplitPattern::gpt4}}) {
    EXPECT_EQ(train_bpe(text, 500, pattern), read_tokenizer_json(golden / name)) << name;
  }
}

TEST(BpeTrainer, CutsItsTextAsItsTokenizerDoes) {
  const std::string text =
      "The cat sat on the mat. Trăm năm trong cõi người ta, trăm năm ta trong cõi người.";
  BpeTrainer trainer(text, SplitPattern::gpt2);
  do {
    EXPECT_EQ(static_cast<int64_t>(BpeTokenizer(trainer.model(false)).encode(text).ids.size()),
              trainer.token_count());
  } while (trainer.learn());
}

TEST(BpeTrainer, StopsWhereItIsTold) {
  const std::string text = "abcabcabcabc abcabc bcbc";
  EXPECT_EQ(train_bpe(text, 257, SplitPattern::gpt2).merges.size(), 0u);
  EXPECT_EQ(train_bpe(text, 260, SplitPattern::gpt2).tokens.size(), 260u);
  EXPECT_EQ(train_bpe(text, 260, SplitPattern::gpt2).tokens.back(), "<|endoftext|>");
  EXPECT_LT(train_bpe(text, 50'000, SplitPattern::gpt2).tokens.size(), 300u);
  EXPECT_EQ(BpeTrainer(text, SplitPattern::gpt2, 1000).learn(), std::nullopt);
  EXPECT_SAYS(error_of([] { return train_bpe("", 300, SplitPattern::gpt2); }), "an empty text");
  EXPECT_SAYS(error_of([] { return train_bpe("a", 256, SplitPattern::gpt2); }), "need 257 tokens");
}

}  // namespace
}  // namespace headlight
