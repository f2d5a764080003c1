// UTF-8, quoting, nearest names and numbers from text.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "core/base/nearest.h"
#include "core/base/parse_number.h"
#include "core/base/random.h"
#include "core/base/utf8.h"

namespace headlight {
namespace {

TEST(Utf8, AcceptsEveryCodePointAndReadsItBack) {
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    ASSERT_EQ(valid_utf8_length(text), text.size()) << static_cast<uint32_t>(c);
    ASSERT_EQ(utf8_length_at(text, 0), text.size());
    ASSERT_EQ(utf8_code_point_at(text, 0), c);
  }
}

TEST(Utf8, RefusesWhatTheStandardRefuses) {
  const std::vector<std::string> bad{
      "\x80",              // a continuation alone
      "\xC0\xAF",          // overlong '/'
      "\xC1\xBF",          // overlong
      "\xE0\x80\xAF",      // overlong in three
      "\xE0\x9F\xBF",      // overlong in three
      "\xED\xA0\x80",      // surrogate D800
      "\xED\xBF\xBF",      // surrogate DFFF
      "\xF0\x80\x80\xAF",  // overlong in four
      "\xF0\x8F\xBF\xBF",  // overlong in four
      "\xF4\x90\x80\x80",  // above U+10FFFF
      "\xF5\x80\x80\x80",  // no such lead byte
      "\xFF",
      "\xC3",
      "\xE1\xBA",          // cut short
      "\xF0\x9F\x92",      // cut short
      "\xC3\x28",          // no continuation
      "\xE1\x28\xA1",      // no continuation
      "\xF0\x9F\x28\xA1",  // no continuation
  };
  for (const std::string& bytes : bad) {
    EXPECT_EQ(valid_utf8_length("ab" + bytes), 2u) << quote(bytes);
    EXPECT_EQ(valid_utf8_length("ab" + bytes + "c"), 2u) << quote(bytes);
  }
}

TEST(Quote, EscapesControlAndBrokenBytesAndShortens) {
  EXPECT_EQ(quote("tiếng Việt"), "“tiếng Việt”");
  EXPECT_EQ(quote("a\nb\x1B[2J"), "“a\\x0Ab\\x1B[2J”");
  EXPECT_EQ(quote("\xFF"), "“\\xFF”");
  EXPECT_EQ(quote(std::string(100, 'x'), 3), "“xxx…”");
  // Never cut inside a code point.
  EXPECT_EQ(quote("ườ", 1), "“ư…”");
}

TEST(Nearest, FindsTheSmallestEditDistance) {
  EXPECT_EQ(nearest_name("n_heads", {"n_layer", "n_head", "n_embd"}), "n_head");
  EXPECT_EQ(nearest_name("kitten", {"mitten", "sitting"}), "mitten");
  EXPECT_EQ(nearest_name("x", {}), "");
}

TEST(ParseNumber, TakesWholeTextsOnly) {
  EXPECT_EQ(parse_int("-12"), -12);
  EXPECT_EQ(parse_uint("18446744073709551615"), UINT64_MAX);
  EXPECT_EQ(parse_double("3e-4"), 3e-4);
  for (const char* bad : {"", " 1", "1 ", "1x", "x", "0x10", "+1", "99999999999999999999"}) {
    EXPECT_FALSE(parse_int(bad)) << bad;
  }
  for (const char* bad : {"", "1e", "nan", "inf", "1,5", "1e999", "3 "})
    EXPECT_FALSE(parse_double(bad)) << bad;
  EXPECT_FALSE(parse_uint("-1"));
}

TEST(Random, IsAFunctionOfSeedAndCounter) {
  Random a(7);
  std::vector<uint64_t> first;
  for (int i = 0; i < 10; ++i) first.push_back(a.next());
  Random resumed(7, 4);
  for (int i = 4; i < 10; ++i) EXPECT_EQ(resumed.next(), first[static_cast<size_t>(i)]);
  EXPECT_NE(Random(8).next(), first[0]);
}

TEST(Random, IsUniformAndNormal) {
  Random random(1);
  constexpr int n = 200000;
  std::vector<int> counts(7);
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    counts[random.below(7)] += 1;
    const double u = random.uniform();
    ASSERT_TRUE(u >= 0 && u < 1);
    const double z = random.normal();
    sum += z;
    squares += z * z;
  }
  double chi2 = 0;
  for (const int count : counts) chi2 += std::pow(count - n / 7.0, 2) / (n / 7.0);
  EXPECT_LT(chi2, 22.5);  // six degrees of freedom, p = 0.001
  EXPECT_NEAR(sum / n, 0, 0.01);
  EXPECT_NEAR(squares / n, 1, 0.02);
}

}  // namespace
}  // namespace headlight
