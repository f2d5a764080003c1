// Streamed text: whole characters, stop strings across tokens, and that no part of a stop string is shown.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/text/text_stream.h"
#include "tests/support/error_text.h"

namespace headlight {
namespace {

/// What each piece makes visible, then what the end does.
std::vector<std::string> shown(std::vector<std::string> stops, const std::vector<std::string>& pieces) {
  TextStream stream(std::move(stops));
  std::vector<std::string> result;
  for (const std::string& piece : pieces) result.push_back(stream.push(piece));
  result.push_back(stream.finish());
  return result;
}
using Texts = std::vector<std::string>;

TEST(TextStream, ShowsTextAtOnceWithoutStops) {
  EXPECT_EQ(shown({}, {"one", " two"}), (Texts{"one", " two", ""}));
}

TEST(TextStream, HoldsACharacterUntilItIsWhole) {
  EXPECT_EQ(shown({}, {"\xE1", "\xBB", "\x87t", "\xF0\x9F\x98", "\x80"}), (Texts{"", "", "ệt", "", "😀", ""}));
  // Bytes that never become a character are marked.
  EXPECT_EQ(shown({}, {"a\xFF"
                       "b",
                       "\xC3", "x", "\xE2\x82"}),
            (Texts{"a\uFFFD"
                   "b",
                   "", "\uFFFDx", "", "\uFFFD\uFFFD"}));
  EXPECT_EQ(shown({}, {"\xC0\xAF", "\xED\xA0\x80"}), (Texts{"\uFFFD\uFFFD", "\uFFFD\uFFFD\uFFFD", ""}));
}

TEST(TextStream, StopsInsideAndAcrossTokens) {
  EXPECT_EQ(shown({"\n\n"}, {"a\n", "\nb", "c"}), (Texts{"a", "", "", ""}));
  EXPECT_EQ(shown({"END"}, {"the E", "N", "D of"}), (Texts{"the ", "", "", ""}));
  // What only looked like a beginning comes later.
  EXPECT_EQ(shown({"END"}, {"E", "NE", "X"}), (Texts{"", "EN", "EX", ""}));
  EXPECT_EQ(shown({"abab"}, {"ab", "aab", "ab!"}), (Texts{"", "aba", "", ""}));
  EXPECT_EQ(shown({"END"}, {"x EN"}), (Texts{"x ", "EN"}));
}

TEST(TextStream, TheStopThatIsCompleteFirstCounts) {
  TextStream stream({"abcd", "bc"});
  EXPECT_EQ(stream.push("zab"), "z");
  EXPECT_EQ(stream.push("cd"), "a");
  EXPECT_EQ(stream.stopped_by(), "bc");
  EXPECT_EQ(stream.push("more"), "");
}

// However a text is cut, what is shown is the text before the stop, and at no time a prefix of it too many.
TEST(TextStream, EveryCutShowsTheSame) {
  Random random(3);
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (int i = 0; i < 30; ++i) text += "aab\u00E9"[random.below(5)];
    for (size_t i = 0; i < text.size(); ++i) {
      if (static_cast<unsigned char>(text[i]) >= 0x80) text[i] = 'c';
    }
    const std::string stop = text.substr(random.below(20), 1 + random.below(6));
    const size_t end = text.find(stop);
    TextStream stream({stop});
    std::string all;
    for (size_t at = 0; at < text.size();) {
      const size_t n = 1 + random.below(5);
      all += stream.push(text.substr(at, n));
      at += n;
      EXPECT_LE(all.size(), end);
    }
    all += stream.finish();
    EXPECT_EQ(all, text.substr(0, end));
    EXPECT_EQ(stream.stopped_by(), stop);
  }
}

TEST(TextStream, RefusesAnEmptyStop) {
  EXPECT_SAYS(test::error_of([] { TextStream stream({""}); }), "an empty stop string");
}

}  // namespace
}  // namespace headlight
