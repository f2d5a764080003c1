// Characters and words: round trips in any script, unknown ones told, files of ours and broken ones.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "core/text/char_tokenizer.h"
#include "core/text/story.h"
#include "core/text/word_tokenizer.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::error_of;
using test::TemporaryFolder;

const std::string vietnamese =
    "Trăm năm trong cõi người ta,\nChữ tài chữ mệnh khéo là ghét nhau. 🙂";

TEST(CharTokenizer, IsTheSortedSet) {
  const CharTokenizer tokenizer = CharTokenizer::from_text("hello");
  EXPECT_EQ(tokenizer.vocab_size(), 4);
  EXPECT_EQ(tokenizer.encode("hello").ids, (std::vector<int32_t>{1, 0, 2, 2, 3}));
  EXPECT_EQ(tokenizer.token_text(3), "o");
  EXPECT_EQ(tokenizer.kind(), "characters");
}

TEST(CharTokenizer, RoundTripsVietnamese) {
  // Composed and decomposed letters are different code points; both come back as they were.
  for (const std::string& text : {vietnamese, std::string("e\xCC\x82\xCC\x81 ế")}) {
    const CharTokenizer tokenizer = CharTokenizer::from_text(text);
    const Encoded encoded = tokenizer.encode(text);
    EXPECT_TRUE(encoded.unknown.empty());
    EXPECT_EQ(tokenizer.decode(encoded.ids), text);
    std::string joined;
    for (const int32_t id : encoded.ids) joined += tokenizer.token_text(id);
    EXPECT_EQ(joined, text);
  }
}

TEST(CharTokenizer, TellsWhatItDoesNotKnow) {
  const CharTokenizer tokenizer = CharTokenizer::from_text("abc ");
  const Encoded encoded = tokenizer.encode("a ữ c\nữ");
  EXPECT_EQ(encoded.ids, tokenizer.encode("a  c").ids);
  EXPECT_EQ(encoded.unknown, (std::vector<UnknownText>{{2, "ữ"}, {7, "\n"}, {8, "ữ"}}));
  EXPECT_EQ(encoded.unknown_count, 3u);
  const std::string sentence = describe_unknown(encoded, tokenizer);
  EXPECT_SAYS(sentence, "the model's vocabulary of 4 characters lacks “ữ”, “\\x0A” (first at byte 2)");
  EXPECT_EQ(error_of([&] { return encode_all(tokenizer, "a ữ c\nữ"); }), sentence);
  EXPECT_EQ(describe_unknown(tokenizer.encode("cab"), tokenizer), "");
  EXPECT_EQ(encode_all(tokenizer, "cab"), tokenizer.encode("cab").ids);
}

TEST(CharTokenizer, KeepsTheListOfUnknownsShort) {
  const CharTokenizer tokenizer = CharTokenizer::from_text("a");
  const Encoded encoded = tokenizer.encode(std::string(100'000, 'b') + "cdefghij");
  EXPECT_EQ(encoded.unknown.size(), Encoded::most_unknown);
  EXPECT_EQ(encoded.unknown_count, 100'008u);
  EXPECT_SAYS(describe_unknown(tokenizer.encode("bcdefghij"), tokenizer),
              "“b”, “c”, “d”, “e”, “f”, “g” and others");
}

TEST(CharTokenizer, RefusesBadInput) {
  EXPECT_SAYS(error_of([] { return CharTokenizer::from_text(""); }), "empty text");
  EXPECT_SAYS(error_of([] { return CharTokenizer::from_text("a\xFF"); }), "byte 1 is \\xFF");
  const CharTokenizer tokenizer = CharTokenizer::from_text("ab");
  EXPECT_SAYS(error_of([&] { return tokenizer.encode("a\xC3"); }), "not UTF-8 text: byte 1 is \\xC3");
  for (const int32_t id : {-1, 2, INT32_MAX, INT32_MIN}) {
    EXPECT_SAYS(error_of([&] {
                  return tokenizer.decode(std::vector<int32_t>{0, id});
                }),
                "ids go from 0 to 1");
    EXPECT_SAYS(error_of([&] { return tokenizer.token_text(id); }), "there is no token");
  }
  EXPECT_SAYS(error_of([] { return CharTokenizer(std::vector<char32_t>{}); }), "at least one character");
  EXPECT_SAYS(error_of([] { return CharTokenizer({U'a', U'b', U'a'}); }), "“a” stands twice");
  EXPECT_SAYS(error_of([] { return CharTokenizer({char32_t{0xD800}}); }),
              "U+D800 in a vocabulary is not a character");
  std::vector<char32_t> many;
  for (char32_t c = 0; many.size() <= static_cast<size_t>(CharTokenizer::max_vocabulary); ++c) {
    if (c < 0xD800 || c > 0xDFFF) many.push_back(c);
  }
  EXPECT_SAYS(error_of([&] { return CharTokenizer(many); }),
              "65537 different characters, more than the 65536");
}

TEST(CharTokenizer, SavesAndLoads) {
  const TemporaryFolder folder;
  const CharTokenizer tokenizer = CharTokenizer::from_text(vietnamese + std::string("\"\\\x01"));
  tokenizer.save(folder.path());
  const auto loaded = load_tokenizer(folder.path());
  EXPECT_EQ(loaded->kind(), "characters");
  EXPECT_EQ(loaded->vocab_size(), tokenizer.vocab_size());
  EXPECT_EQ(loaded->encode(vietnamese).ids, tokenizer.encode(vietnamese).ids);
}

TEST(WordTokenizer, CutsWordsWithTheirSpaces) {
  const WordTokenizer tokenizer = WordTokenizer::from_text("The cat sat. Don't, tiếng Việt!\n\n2 × 3");
  const std::vector<int32_t> ids = tokenizer.encode("The cat sat. Don't, tiếng Việt!\n\n2 × 3").ids;
  std::vector<std::string> pieces;
  for (const int32_t id : ids) pieces.push_back(tokenizer.token_text(id));
  EXPECT_EQ(pieces, (std::vector<std::string>{"The", " cat", " sat", ".", " Don't", ",", " tiếng", " Việt",
                                              "!", "\n", "\n", "2", " ×", " 3"}));
  EXPECT_EQ(tokenizer.decode(ids), "The cat sat. Don't, tiếng Việt!\n\n2 × 3");
}

TEST(WordTokenizer, ForgivesSpacesAndTellsWords) {
  const auto words = StoryGrammar().tokenizer();
  const WordTokenizer& tokenizer = *words;
  const std::string story = "The cat sat on the mat. The dog ran. The cat sat on";
  EXPECT_EQ(tokenizer.decode(encode_all(tokenizer, story)), story);
  // A word at the start takes its spaced twin, and space around words carries nothing.
  EXPECT_EQ(tokenizer.encode("cat sat").ids, tokenizer.encode(" cat sat").ids);
  EXPECT_EQ(tokenizer.encode("The  cat \n sat . ").ids, tokenizer.encode("The cat sat.").ids);
  EXPECT_TRUE(tokenizer.encode("The  cat \n sat . ").unknown.empty());
  EXPECT_EQ(tokenizer.encode("the cat").ids, tokenizer.encode(" the cat").ids);
  const Encoded encoded = tokenizer.encode("The tiger sat!");
  EXPECT_EQ(encoded.unknown, (std::vector<UnknownText>{{4, "tiger"}, {13, "!"}}));
  EXPECT_SAYS(describe_unknown(encoded, tokenizer),
              "vocabulary of 48 words lacks “tiger”, “!” (first at byte 4)");
  EXPECT_SAYS(describe_unknown(tokenizer.encode("The Cat"), tokenizer),
              "lacks “Cat” (first at byte 4); leave it out");
}

TEST(WordTokenizer, RefusesBadInput) {
  EXPECT_SAYS(error_of([] { return WordTokenizer::from_text(""); }), "empty text");
  EXPECT_SAYS(error_of([] { return WordTokenizer(std::vector<std::string>{}); }), "at least one word");
  EXPECT_SAYS(error_of([] { return WordTokenizer({"a", ""}); }), "word 1 of a vocabulary is empty");
  EXPECT_SAYS(error_of([] { return WordTokenizer({"a", "a"}); }), "“a” stands twice");
  EXPECT_SAYS(error_of([] { return WordTokenizer({"\xFF"}); }), "not UTF-8");
  EXPECT_SAYS(error_of([] { return WordTokenizer({"a"}).encode("\xFF"); }), "not UTF-8");
  EXPECT_SAYS(error_of([] { return WordTokenizer({"a"}).decode(std::vector<int32_t>{1}); }),
              "ids go from 0 to 0");
}

TEST(WordTokenizer, SavesAndLoads) {
  const TemporaryFolder folder;
  const auto tokenizer = StoryGrammar().tokenizer();
  tokenizer->save(folder.path());
  const auto loaded = load_tokenizer(folder.path());
  EXPECT_EQ(loaded->kind(), "words");
  EXPECT_EQ(loaded->encode("The cat ran.").ids, tokenizer->encode("The cat ran.").ids);
}

TEST(TokenizerFile, SaysWhatIsWrong) {
  const TemporaryFolder folder;
  EXPECT_SAYS(error_of([&] { return load_tokenizer(folder.path()); }),
              "holds no tokenizer that Headlight reads");
  const auto says = [&](std::string_view bytes) {
    folder.write(CharTokenizer::file_name, bytes);
    const std::string sentence = error_of([&] { return load_tokenizer(folder.path()); });
    EXPECT_SAYS(sentence, CharTokenizer::file_name);
    return sentence;
  };
  EXPECT_SAYS(says(""), "is not valid JSON");
  EXPECT_SAYS(says("[]"), "is not a tokenizer of Headlight");
  EXPECT_SAYS(says("{}"), "is not a tokenizer of Headlight");
  EXPECT_SAYS(says(R"({"format":"headlight tokenizer","kind":"words","tokens":["a"]})"),
              "no tokenizer of characters");
  EXPECT_SAYS(says(R"({"format":"headlight tokenizer","kind":"characters"})"), "no list of \"tokens\"");
  EXPECT_SAYS(says(R"({"format":"headlight tokenizer","kind":"characters","tokens":[]})"),
              "no list of \"tokens\"");
  EXPECT_SAYS(says(R"({"format":"headlight tokenizer","kind":"characters","tokens":["a",3]})"), "token 1 in");
  EXPECT_SAYS(says(R"({"format":"headlight tokenizer","kind":"characters","tokens":["a",""]})"),
              "token 1 in");
  EXPECT_SAYS(says(R"({"format":"headlight tokenizer","kind":"characters","tokens":["ab"]})"),
              "not a single character");
  folder.write(CharTokenizer::file_name,
               R"({"format":"headlight tokenizer","kind":"characters","tokens":["a","a"]})");
  EXPECT_SAYS(error_of([&] { return load_tokenizer(folder.path()); }), "“a” stands twice");
}

}  // namespace
}  // namespace headlight
