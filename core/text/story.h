// The built-in stories: an endless supply of text whose grammar is known, so that its true entropy is too.
// The default corpus of the window and of `headlight train` without --text.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/random.h"
#include "core/text/corpus.h"
#include "core/text/word_tokenizer.h"

namespace headlight {

/// How a story is made. A cast of 4 animals is drawn from 14; each is given, for this story only, a deed: a
/// verb that no other of the cast has, drawn from 6 that need a place ("sat on the mat", with a place of its
/// own drawn from 12; the preposition belongs to the verb) and 6 that do not ("ran"). Then sentences follow
/// without end, "The cat sat on the mat. The dog ran. …": the first is about any of the cast, each later one
/// about any of the cast but the animal of the sentence before. So the first mention of an animal is a
/// surprise, and all that follows a second mention is certain to whoever looks back: it takes an induction
/// head. A corpus holds the first T + 1 tokens of each story.
///
/// Entropy. All draws are uniform and without replacement, so they may be drawn when first mentioned without
/// changing the distribution. After n animals of the cast have been named, d of them with a place, the next
/// sentence is about
///   a new animal with probability (4 − n)/3 (1 for the first sentence), each of the 14 − n alike,
///     whose verb is each of the 12 − n unused ones alike, and whose place each of the 12 − d unused ones;
///   each animal seen, but the last, with probability 1/3.
/// Every other token is certain. At the start of a sentence, all that the future depends on is thus n, d and
/// whether the last animal has a place; position_entropy() pushes the exact distribution over these states
/// from sentence to sentence and adds up the entropy of each token on the way. Windows start where stories
/// start, so a model sees the whole story so far, no model can have a smaller expected loss at that position,
/// and the mean over positions is the floor.
class StoryGrammar {
 public:
  StoryGrammar();
  static constexpr int64_t cast_size = 4;

  /// 48 words; "The" begins a story, " The" a later sentence.
  [[nodiscard]] const std::shared_ptr<const WordTokenizer>& tokenizer() const { return tokenizer_; }

  /// `stories` stories of `length` tokens each, one after the other.
  [[nodiscard]] std::vector<int32_t> generate(Random& random, int64_t stories, int64_t length) const;

  /// Probability of each token of the vocabulary after `prefix`, the first tokens of a story ([V]; all 0 when
  /// no story begins so). With an empty prefix "The" has probability 1.
  [[nodiscard]] std::vector<double> next_probabilities(std::span<const int32_t> prefix) const;

  /// ln p(token i + 1 | tokens 0…i) for each target of a window that starts a story ([size − 1]); −∞ where
  /// the grammar does not allow the token, and after it.
  [[nodiscard]] std::vector<double> true_log_probs(std::span<const int32_t> window) const;
  /// Their sum.
  [[nodiscard]] double true_log_prob(std::span<const int32_t> window) const;

  /// Entropy in nats of target i given the story so far, for i in [0, T): exact, not sampled.
  [[nodiscard]] std::vector<double> position_entropy(int64_t T) const;

 private:
  std::shared_ptr<const WordTokenizer> tokenizer_;
};

/// About `tokens` tokens of stories of T + 1 tokens, with their entropy floor. T ≥ 1.
[[nodiscard]] Corpus stories_corpus(uint64_t seed, int64_t tokens, int64_t T);

}  // namespace headlight
