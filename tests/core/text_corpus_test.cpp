// Corpora: text files good and bad, the split, windows for training and for evaluation.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "core/text/char_tokenizer.h"
#include "core/text/corpus.h"
#include "core/text/story.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::error_of;
using test::TemporaryFolder;

/// A text of `n` characters whose characters differ enough to tell windows apart.
std::string text_of(size_t n) {
  std::string text;
  for (size_t i = 0; text.size() < n; ++i) text += std::to_string(i) + " ";
  text.resize(n);
  return text;
}

TEST(Corpus, ReadsAnyUtf8File) {
  const TemporaryFolder folder;
  const std::string text = "Trăm năm trong cõi người ta,\r\nChữ tài chữ mệnh khéo là ghét nhau.\n";
  const Corpus corpus = Corpus::from_text_file(folder.write("kiều.txt", "\xEF\xBB\xBF" + text));
  EXPECT_EQ(corpus.name(), "kiều.txt");
  std::vector<int32_t> all(corpus.tokens(Split::train).begin(), corpus.tokens(Split::train).end());
  all.insert(all.end(), corpus.tokens(Split::validation).begin(), corpus.tokens(Split::validation).end());
  EXPECT_EQ(corpus.tokenizer()->decode(all), text);  // without the byte order mark
  EXPECT_EQ(corpus.tokens(Split::train).size(), all.size() * 9 / 10);
  EXPECT_FALSE(corpus.entropy_floor(4).has_value());
}

TEST(Corpus, SaysWhatIsWrongWithAFile) {
  const TemporaryFolder folder;
  const auto says = [&](const std::string& name, std::string_view bytes) {
    const auto file = folder.write(name, bytes);
    const std::string sentence = error_of([&] { return Corpus::from_text_file(file); });
    EXPECT_SAYS(sentence, name);
    return sentence;
  };
  EXPECT_SAYS(error_of([&] { return Corpus::from_text_file(folder / "none.txt"); }),
              "none.txt does not exist");
  EXPECT_SAYS(error_of([&] { return Corpus::from_text_file(folder.path()); }), "is a folder");
  EXPECT_SAYS(says("empty.txt", ""), "is empty");
  EXPECT_SAYS(says("mark.txt", "\xEF\xBB\xBF"), "is empty");
  EXPECT_SAYS(says("program", std::string("\x7F"
                                          "ELF\0\0",
                                          6) +
                                  std::string(100, 'x')),
              "byte 4 is zero, as in binary");
  EXPECT_SAYS(says("latin1.txt", "caf\xE9 au lait, longtemps je me suis couch\xE9"),
              "byte 3 is \\xE9; save it as UTF-8");
  EXPECT_SAYS(says("cut.txt", text_of(40) + "\xE1\xBA"), "is not UTF-8 text: byte 40");
  EXPECT_SAYS(says("utf16.txt", std::string("\xFF\xFEh\0i\0", 6)), "is not");
  EXPECT_SAYS(says("short.txt", "too short"), "is too short: it has 9 tokens (characters), and at least 20");
  EXPECT_EQ(error_of([] { return Corpus::from_text("twenty", text_of(20)); }), "no error");
}

TEST(Corpus, RefusesAHugeFileBeforeReadingIt) {
  const TemporaryFolder folder;
  const auto file = folder.write("huge.txt", "");
  std::filesystem::resize_file(file, Corpus::max_file_bytes + 1);  // sparse: takes no room
  const std::string sentence = error_of([&] { return Corpus::from_text_file(file); });
  EXPECT_SAYS(sentence, "huge.txt has 1073741825 bytes, more than the 1073741824");
}

TEST(Corpus, UsesTheTokenizerOfAModel) {
  const TemporaryFolder folder;
  const auto letters = std::make_shared<CharTokenizer>(CharTokenizer::from_text("abc "));
  const Corpus corpus = Corpus::from_text_file(folder.write("abc.txt", "abc abc abc abc abc abc"), letters);
  EXPECT_EQ(corpus.vocab_size(), 4);
  EXPECT_EQ(corpus.tokenizer(), letters);
  const auto file = folder.write("abd.txt", "abd abc abc abc abc abc");
  EXPECT_SAYS(error_of([&] { return Corpus::from_text_file(file, letters); }), "abd.txt does not fit");
  EXPECT_SAYS(error_of([&] { return Corpus::from_text_file(file, letters); }), "lacks “d” (first at byte 2)");
}

TEST(Corpus, RefusesIdsOutsideTheVocabulary) {
  const auto letters = std::make_shared<CharTokenizer>(CharTokenizer::from_text("ab"));
  std::vector<int32_t> ids(30, 1);
  ids[7] = 2;
  EXPECT_SAYS(error_of([&] { return Corpus("x", letters, ids); }), "there is no token 2");
}

TEST(Corpus, BatchesAreWindowsOfTheirSplit) {
  const Corpus corpus = Corpus::from_text("numbers", text_of(2000));
  constexpr int64_t B = 16, T = 12;
  std::vector<int32_t> tokens(B * T), targets(B * T);
  Random random(5);
  for (const Split split : {Split::train, Split::validation}) {
    const auto part = corpus.tokens(split);
    for (int round = 0; round < 20; ++round) {
      corpus.sample_batch(split, random, B, T, tokens.data(), targets.data());
      for (int64_t b = 0; b < B; ++b) {
        const auto* window = tokens.data() + b * T;
        const auto at = std::search(part.begin(), part.end(), window, window + T);
        ASSERT_NE(at, part.end());
        EXPECT_TRUE(std::equal(window + 1, window + T, targets.data() + b * T));
      }
    }
  }
  // The last target is the token after the window, which a text of distinct windows shows.
  Random again(5);
  std::vector<int32_t> repeated(B * T), repeated_targets(B * T);
  Random first(5);
  corpus.sample_batch(Split::train, first, B, T, tokens.data(), targets.data());
  corpus.sample_batch(Split::train, again, B, T, repeated.data(), repeated_targets.data());
  EXPECT_EQ(tokens, repeated);
  EXPECT_EQ(targets, repeated_targets);
}

TEST(Corpus, ReachesTheFirstAndTheLastToken) {
  const Corpus corpus = Corpus::from_text("numbers", text_of(60));
  const auto part = corpus.tokens(Split::validation);
  ASSERT_EQ(part.size(), 6u);
  EXPECT_EQ(corpus.longest_window(), 5);
  std::vector<int32_t> tokens(5), targets(5);
  Random random(1);
  corpus.sample_batch(Split::validation, random, 1, 5, tokens.data(), targets.data());
  EXPECT_TRUE(std::equal(tokens.begin(), tokens.end(), part.begin()));
  EXPECT_EQ(targets.back(), part.back());
  bool last = false;
  for (int i = 0; i < 200; ++i) {
    corpus.sample_batch(Split::validation, random, 1, 4, tokens.data(), targets.data());
    last = last || std::equal(targets.begin(), targets.begin() + 4, part.end() - 4);
  }
  EXPECT_TRUE(last);
}

TEST(Corpus, EvaluationWindowsCoverTheHeldOutPart) {
  const Corpus corpus = Corpus::from_text("numbers", text_of(1000));
  const auto part = corpus.tokens(Split::validation);
  constexpr int64_t T = 9;
  ASSERT_EQ(corpus.eval_windows(T), 11);  // (100 − 1) / 9
  std::vector<int32_t> tokens(T), targets(T), seen;
  for (int64_t i = 0; i < corpus.eval_windows(T); ++i) {
    corpus.eval_window(i, T, tokens.data(), targets.data());
    EXPECT_TRUE(std::equal(tokens.begin() + 1, tokens.end(), targets.begin()));
    seen.insert(seen.end(), targets.begin(), targets.end());
  }
  EXPECT_TRUE(std::equal(seen.begin(), seen.end(), part.begin() + 1));
  EXPECT_SAYS(error_of([&] { corpus.eval_window(11, T, tokens.data(), targets.data()); }),
              "no held-out window 11");
}

TEST(Corpus, SaysWhichTWouldFit) {
  const Corpus corpus = Corpus::from_text("poem.txt", text_of(200));
  EXPECT_EQ(corpus.longest_window(), 19);
  EXPECT_EQ(error_of([&] { corpus.check_window(19); }), "no error");
  const std::string sentence = error_of([&] { corpus.check_window(64); });
  EXPECT_SAYS(sentence, "poem.txt is too short for T = 64");
  EXPECT_SAYS(sentence, "its held-out tenth has 20 tokens and a window needs 65");
  EXPECT_SAYS(sentence, "at least 650 tokens");
  EXPECT_SAYS(sentence, "--set context=19");
  // What the sentence proposes works.
  EXPECT_EQ(error_of([&] { Corpus::from_text("longer", text_of(650)).check_window(64); }), "no error");
  EXPECT_SAYS(error_of([&] { corpus.check_window(0); }), "T = 0 is no window");
  int32_t ids[20];
  Random random;
  EXPECT_SAYS(error_of([&] { corpus.sample_batch(Split::train, random, 1, 20, ids, ids); }),
              "too short for T = 20");
}

TEST(Corpus, StoriesAreNeverCut) {
  const Corpus corpus = stories_corpus(3, 20'000, 16);
  EXPECT_EQ(corpus.longest_window(), 16);
  EXPECT_EQ(corpus.tokens(Split::train).size() % 17, 0u);
  EXPECT_EQ(corpus.tokens(Split::validation).size() % 17, 0u);
  const double held_out = static_cast<double>(corpus.tokens(Split::validation).size());
  EXPECT_NEAR(held_out / 20'000, 0.1, 0.002);
  constexpr int64_t B = 64;
  Random random(1);
  std::vector<int32_t> tokens(B * 8), targets(B * 8);
  corpus.sample_batch(Split::train, random, B, 8, tokens.data(), targets.data());
  for (int64_t b = 0; b < B; ++b)
    EXPECT_EQ(corpus.tokenizer()->token_text(tokens[static_cast<size_t>(b * 8)]), "The");
  for (int64_t i = 0; i < corpus.eval_windows(8); ++i) {
    corpus.eval_window(i, 8, tokens.data(), targets.data());
    EXPECT_EQ(corpus.tokenizer()->token_text(tokens[0]), "The");
  }
  EXPECT_SAYS(error_of([&] { corpus.check_window(17); }), "use --set context=16");
  EXPECT_TRUE(corpus.entropy_floor(16).has_value());
  EXPECT_TRUE(corpus.entropy_floor(5).has_value());
  EXPECT_FALSE(corpus.entropy_floor(17).has_value());
  // Another seed tells other stories, the same seed the same.
  EXPECT_TRUE(
      std::ranges::equal(corpus.tokens(Split::train), stories_corpus(3, 20'000, 16).tokens(Split::train)));
  EXPECT_FALSE(
      std::ranges::equal(corpus.tokens(Split::train), stories_corpus(4, 20'000, 16).tokens(Split::train)));
}

}  // namespace
}  // namespace headlight
