// The stories: their grammar, and their entropy floor found in three independent ways: pushed through the
// states (position_entropy), summed over every story there is (short ones), and averaged over many told
// stories.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "core/text/story.h"

namespace headlight {
namespace {

const StoryGrammar& grammar() {
  static const StoryGrammar the_grammar;
  return the_grammar;
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

TEST(Story, ReadsAsEnglishWhoseAnimalsKeepTheirDeeds) {
  Random random(11);
  for (int round = 0; round < 50; ++round) {
    const std::vector<int32_t> story = grammar().generate(random, 1, 200);
    const std::string text = grammar().tokenizer()->decode(story);
    EXPECT_EQ(text.substr(0, 4), "The ");
    std::map<std::string, std::string> deeds;
    std::set<std::string> different;
    std::string last;
    for (size_t start = 0; start < text.size();) {
      const size_t end = text.find('.', start);
      if (end == std::string::npos) break;
      const std::string sentence = text.substr(start, end - start);  // "The cat sat on the mat"
      const size_t space = sentence.find(' ', 4);
      const std::string animal = sentence.substr(0, space), deed = sentence.substr(space);
      EXPECT_NE(animal, last) << text;
      last = animal;
      const auto [known, is_new] = deeds.emplace(animal, deed);
      EXPECT_EQ(known->second, deed) << text;
      EXPECT_EQ(different.insert(deed).second, is_new) << text;
      start = end + 2;
    }
    EXPECT_EQ(deeds.size(), 4u) << text;
  }
}

TEST(Story, ProbabilitiesAreDistributions) {
  Random random(2);
  for (int round = 0; round < 20; ++round) {
    const std::vector<int32_t> story = grammar().generate(random, 1, 65);
    for (size_t n = 0; n < story.size(); ++n) {
      const std::vector<double> p = grammar().next_probabilities(std::span(story).first(n));
      EXPECT_NEAR(std::accumulate(p.begin(), p.end(), 0.0), 1.0, 1e-12);
      EXPECT_GT(p[static_cast<size_t>(story[n])], 0.0) << "what is told must be possible";
    }
  }
}

TEST(Story, SecondMentionIsCertain) {
  const auto ids = [](const char* text) { return encode_all(*grammar().tokenizer(), text); };
  const auto probability = [&](const char* prefix, const char* next) {
    return grammar().next_probabilities(ids(prefix))[static_cast<size_t>(ids(next).at(0))];
  };
  const char* told = "The cat sat on the mat. The dog ran. The cat";
  EXPECT_EQ(probability(told, " sat"), 1.0);
  EXPECT_EQ(probability("The cat sat on the mat. The dog ran. The cat sat on the", " mat"), 1.0);
  EXPECT_EQ(probability("The cat sat on the mat. The dog ran. The", " cat"), 1.0 / 3);
  EXPECT_EQ(probability("The cat sat on the mat. The dog ran. The", " dog"), 0.0);  // not twice in a row
  EXPECT_DOUBLE_EQ(probability("The cat sat on the mat. The dog ran. The", " fox"), 2.0 / 3 / 12);
  EXPECT_DOUBLE_EQ(probability("The cat sat on the mat. The dog", " ran"), 1.0 / 11);
  EXPECT_EQ(probability("The cat sat on the mat. The dog", " sat"), 0.0);
  EXPECT_DOUBLE_EQ(probability("The cat sat on the mat. The dog hid under the", " box"), 1.0 / 11);
}

TEST(Story, WhatTheGrammarForbidsHasNoProbability) {
  const auto ids = encode_all(*grammar().tokenizer(), "The cat sat under the mat");
  const std::vector<double> log_p = grammar().true_log_probs(ids);
  EXPECT_DOUBLE_EQ(log_p[0], std::log(1.0 / 14));
  EXPECT_DOUBLE_EQ(log_p[1], std::log(1.0 / 12));
  for (size_t i = 2; i < log_p.size(); ++i) EXPECT_EQ(log_p[i], -INFINITY);
  EXPECT_EQ(grammar().true_log_prob(ids), -INFINITY);
  const std::vector<double> none = grammar().next_probabilities(ids);
  EXPECT_EQ(std::accumulate(none.begin(), none.end(), 0.0), 0.0);
  EXPECT_EQ(grammar().true_log_prob(std::vector<int32_t>{0, 999, -1}), -INFINITY);
}

TEST(Story, ToldStoriesFollowTheStatedProbabilities) {
  // χ² of the second animal, its verb and the choice after two sentences, over stories told by drawing all
  // facts first.
  Random random(77);
  constexpr int64_t stories = 40'000, length = 9;
  const std::vector<int32_t> told = grammar().generate(random, stories, length);
  std::map<std::vector<int32_t>, std::map<int32_t, double>> observed;
  std::map<std::vector<int32_t>, double> total;
  // Contexts are grouped by the shape that the probabilities depend on; each is small enough to be seen
  // often.
  for (int64_t i = 0; i < stories; ++i) {
    const std::span story = std::span(told).subspan(static_cast<size_t>(i * length), length);
    for (const size_t n : {1, 2}) {
      const std::vector<int32_t> context(story.begin(), story.begin() + static_cast<std::ptrdiff_t>(n));
      observed[context][story[n]] += 1;
      total[context] += 1;
    }
  }
  for (const auto& [context, counts] : observed) {
    const std::vector<double> p = grammar().next_probabilities(context);
    double chi2 = 0;
    int cells = 0;
    for (size_t token = 0; token < p.size(); ++token) {
      const auto found = counts.find(static_cast<int32_t>(token));
      const double count = found == counts.end() ? 0 : found->second;
      if (p[token] == 0) {
        EXPECT_EQ(count, 0);
        continue;
      }
      const double expected = p[token] * total[context];
      chi2 += (count - expected) * (count - expected) / expected;
      cells += 1;
    }
    EXPECT_LT(chi2, 45.0) << "with " << cells << " cells";  // p < 1e-5 at 13 degrees of freedom
  }
}

TEST(Story, FloorAgreesWithEveryStoryThereIs) {
  // Entropy of target i, summed over all prefixes of 9 tokens.
  constexpr size_t T = 9;
  std::vector<double> entropy(T, 0.0);
  double mass_at_end = 0;
  const std::function<void(std::vector<int32_t>&, double)> walk = [&](std::vector<int32_t>& prefix,
                                                                      double mass) {
    if (prefix.size() == T + 1) {
      mass_at_end += mass;
      return;
    }
    const std::vector<double> p = grammar().next_probabilities(prefix);
    for (size_t token = 0; token < p.size(); ++token) {
      if (p[token] == 0) continue;
      if (!prefix.empty()) entropy[prefix.size() - 1] -= mass * p[token] * std::log(p[token]);
      prefix.push_back(static_cast<int32_t>(token));
      walk(prefix, mass * p[token]);
      prefix.pop_back();
    }
  };
  std::vector<int32_t> prefix;
  walk(prefix, 1.0);
  EXPECT_NEAR(mass_at_end, 1.0, 1e-9);
  const std::vector<double> pushed = grammar().position_entropy(T);
  for (size_t i = 0; i < T; ++i) EXPECT_NEAR(entropy[i], pushed[i], 1e-9) << i;
}

TEST(Story, FloorAgreesWithALongSample) {
  for (const int64_t T : {8, 64, 200}) {
    Random random(static_cast<uint64_t>(T));
    constexpr int64_t stories = 8000;
    const int64_t length = T + 1;
    const std::vector<int32_t> told = grammar().generate(random, stories, length);
    std::vector<double> loss(static_cast<size_t>(T), 0.0);
    for (int64_t i = 0; i < stories; ++i) {
      const auto log_p = grammar().true_log_probs(
          std::span(told).subspan(static_cast<size_t>(i * length), static_cast<size_t>(length)));
      for (size_t t = 0; t < log_p.size(); ++t) loss[t] -= log_p[t] / stories;
    }
    const std::vector<double> floor = grammar().position_entropy(T);
    EXPECT_NEAR(mean(loss) / mean(floor), 1.0, 0.005) << "T = " << T;
    for (size_t t = 0; t < loss.size(); ++t)
      EXPECT_NEAR(loss[t], floor[t], 0.08) << "T = " << T << ", target " << t;
  }
}

TEST(Story, LookingBackIsWorthIt) {
  // A model that sees only the token before cannot come near the floor: what is left takes attention.
  Random random(4);
  constexpr int64_t stories = 4000;
  const std::vector<int32_t> told = grammar().generate(random, stories, 65);
  std::map<std::pair<int32_t, int32_t>, double> pairs;
  std::map<int32_t, double> firsts;
  for (int64_t i = 0; i < stories; ++i) {
    for (int64_t t = 0; t < 64; ++t) {
      const auto at = static_cast<size_t>(i * 65 + t);
      pairs[{told[at], told[at + 1]}] += 1;
      firsts[told[at]] += 1;
    }
  }
  double bigram = 0;
  for (const auto& [pair, count] : pairs) bigram -= count * std::log(count / firsts[pair.first]);
  bigram /= stories * 64.0;
  const double floor = *stories_corpus(1, 10'000, 64).entropy_floor(64);
  EXPECT_NEAR(floor, 0.54, 0.01);
  EXPECT_GT(bigram, 2 * floor);
}

TEST(Story, CorpusFloorIsTheMeanOverItsWindows) {
  const Corpus corpus = stories_corpus(9, 400'000, 64);
  std::vector<int32_t> window(65);
  double loss = 0;
  const int64_t windows = corpus.eval_windows(64);
  for (int64_t i = 0; i < windows; ++i) {
    corpus.eval_window(i, 64, window.data(), window.data() + 1);
    loss -= grammar().true_log_prob(window) / 64;
  }
  EXPECT_NEAR(loss / static_cast<double>(windows), *corpus.entropy_floor(64),
              0.02 * *corpus.entropy_floor(64));
}

}  // namespace
}  // namespace headlight
