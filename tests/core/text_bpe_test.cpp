// Byte-level BPE: how text is cut, ids equal to published and reference ones, any bytes there and back.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/random.h"
#include "core/base/utf8.h"
#include "core/io/atomic_file.h"
#include "core/io/json.h"
#include "core/text/bpe_files.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/bpe_trainer.h"
#include "core/text/byte_alphabet.h"
#include "tests/support/error_text.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::error_of;
using test::TemporaryFolder;
using Pieces = std::vector<std::string>;

Pieces pieces(SplitPattern pattern, std::string_view text) {
  const PreTokenizer cutter(pattern);
  Pieces all;
  for (size_t at = 0; at < text.size();) {
    const size_t end = cutter.piece_end(text, at);
    all.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return all;
}

std::filesystem::path golden(const char* name) { return test::golden_folder() / "tokenizers" / name; }

/// Files that are no part of the project; empty where they are absent.
std::filesystem::path shared_data() {
  const std::filesystem::path folder = test::source_folder() / "../shared/data";
  return std::filesystem::exists(folder) ? folder : std::filesystem::path();
}

std::string random_bytes(Random& random, size_t longest) {
  std::string bytes(random.below(longest + 1), '\0');
  const bool text = random.below(2) == 0;
  for (char& c : bytes)
    c = static_cast<char>(text ? " ab'st\n\t0\xC3\xA9"[random.below(11)] : random.below(256));
  return bytes;
}

TEST(PreTokenizer, CutsAsGpt2Does) {
  const auto cut = [](std::string_view text) { return pieces(SplitPattern::gpt2, text); };
  EXPECT_EQ(cut("Don't you'LL  say 'twas 3rd\n\n x!?'s"),
            (Pieces{"Don", "'t", " you", "'", "LL", " ", " say", " '", "twas", " 3", "rd", "\n\n", " x",
                    "!?'", "s"}));
  EXPECT_EQ(cut("\t\tif a"), (Pieces{"\t", "\t", "if", " a"}));
  EXPECT_EQ(cut("a   "), (Pieces{"a", "   "}));
  EXPECT_EQ(cut("Trăm\u00A0năm 12³½"), (Pieces{"Trăm", "\u00A0", "năm", " 12³½"}));
  EXPECT_EQ(cut("👋🏽 ế"), (Pieces{"👋🏽", " ế"}));
  EXPECT_EQ(cut("e\u0301"), (Pieces{"e", "\u0301"}));  // a combining mark is no letter
  EXPECT_EQ(cut("\u180Ea"), (Pieces{"\u180E", "a"}));  // and this separator no white space
  EXPECT_EQ(cut("a\xFF\xC3 b"), (Pieces{"a", "\xFF\xC3", " b"}));
  EXPECT_EQ(cut("wordsandwords é"), (Pieces{"wordsandwords", " é"}));
  EXPECT_EQ(cut("wordsandwordsé!"), (Pieces{"wordsandwordsé", "!"}));
  EXPECT_EQ(cut(""), Pieces{});
}

TEST(PreTokenizer, CutsAsGpt4Does) {
  const auto cut = [](std::string_view text) { return pieces(SplitPattern::gpt4, text); };
  EXPECT_EQ(cut("Don'T you'LL 12345\n\n x!?\r\n'S"),
            (Pieces{"Don", "'T", " you", "'LL", " ", "123", "45", "\n\n", " x", "!?\r\n", "'S"}));
  EXPECT_EQ(cut("\t\tif(a)"), (Pieces{"\t", "\tif", "(a", ")"}));
  EXPECT_EQ(cut("a \n \n  b"), (Pieces{"a", " \n \n", " ", " b"}));
  EXPECT_EQ(cut("x'\u017Fy"), (Pieces{"x", "'\u017F", "y"}));  // the long s is an s in another case
  EXPECT_EQ(cut("\u00A0word"), (Pieces{"\u00A0word"}));
}

TEST(PreTokenizer, TakesTheWholeTextWhateverTheBytes) {
  Random random(1);
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = random_bytes(random, 24);
    for (const SplitPattern pattern : {SplitPattern::gpt2, SplitPattern::gpt4}) {
      std::string joined;
      for (const std::string& piece : pieces(pattern, text)) {
        ASSERT_FALSE(piece.empty());
        joined += piece;
      }
      ASSERT_EQ(joined, text);
    }
  }
}

TEST(PreTokenizer, SafeCutsChangeNothing) {
  Random random(2);
  for (int i = 0; i < 20'000; ++i) {
    const std::string text = random_bytes(random, 24);
    const size_t cut = safe_cut(text);
    if (cut == 0) continue;
    for (const SplitPattern pattern : {SplitPattern::gpt2, SplitPattern::gpt4}) {
      Pieces parts = pieces(pattern, text.substr(0, cut));
      for (const std::string& piece : pieces(pattern, text.substr(cut))) parts.push_back(piece);
      ASSERT_EQ(parts, pieces(pattern, text)) << quote(text);
    }
  }
}

TEST(PreTokenizer, KnowsPatternsBySpelling) {
  for (const SplitPattern pattern : {SplitPattern::gpt2, SplitPattern::gpt4}) {
    EXPECT_EQ(pattern_from_regex(pattern_regex(pattern)), pattern);
  }
  EXPECT_EQ(pattern_from_regex(R"(\w+)"), std::nullopt);
}

TEST(ByteAlphabet, SpellsEveryByte) {
  EXPECT_EQ(to_alphabet(" cat\n"), "ĠcatĊ");
  EXPECT_EQ(from_alphabet("Ġế"), std::nullopt);
  std::string all;
  for (int32_t rank = 0; rank < 256; ++rank) all.push_back(static_cast<char>(alphabet_byte(rank)));
  EXPECT_EQ(from_alphabet(to_alphabet(all)), all);
  EXPECT_EQ(all.substr(0, 2), "!\"");
  EXPECT_EQ(all.back(), '\xAD');
}

/// Two tokenizers trained by Hugging Face's library, and what it makes of some 240 texts of all scripts and
/// planes.
TEST(BpeTokenizer, HasTheReferencesIds) {
  const nlohmann::json cases = read_json_file(golden("cases.json"), "golden");
  ASSERT_GT(cases["cases"].size(), 200u);
  for (const char* name : {"gpt2", "gpt4"}) {
    const BpeTokenizer tokenizer(read_tokenizer_json(golden(fmt::format("{}.json", name).c_str())));
    for (const nlohmann::json& one : cases["cases"]) {
      const auto text = one["text"].get<std::string>();
      const std::vector<int32_t> ids = tokenizer.encode(text).ids;
      EXPECT_EQ(ids, one[name].get<std::vector<int32_t>>()) << name << ": " << quote(text, 300);
      EXPECT_EQ(tokenizer.decode(ids), text);
    }
  }
}

TEST(BpeTokenizer, HasGpt2sIds) {
  if (shared_data().empty()) GTEST_SKIP() << "GPT-2's vocabulary is not here (../shared/data)";
  const auto tokenizer = load_tokenizer(shared_data() / "gpt2-bpe");
  EXPECT_EQ(tokenizer->vocab_size(), 50257);
  const nlohmann::json cases =
      read_json_file(shared_data() / "gpt2-bpe/gpt3-encoder-test-cases.json", "cases");
  for (const nlohmann::json& one : cases["cases"]) {
    EXPECT_EQ(tokenizer->encode(one["text"].get<std::string>()).ids, one["ids"].get<std::vector<int32_t>>());
  }
  EXPECT_EQ(tokenizer->encode("a<|endoftext|>").ids, (std::vector<int32_t>{64, 50256}));
  const std::string text = read_whole_file(shared_data() / "tinyshakespeare/input.txt", 1 << 24, "text");
  const size_t cut = text.size() * 9 / 10;  // all of it is ASCII: characters are bytes
  EXPECT_EQ(tokenizer->encode(text.substr(0, cut)).ids.size(), 301'966u);
  EXPECT_EQ(tokenizer->encode(text.substr(cut)).ids.size(), 36'059u);
  // The files that are written hold the same tokenizer.
  const TemporaryFolder folder;
  tokenizer->save(folder.path());
  const auto& model = dynamic_cast<const BpeTokenizer&>(*tokenizer).model();
  EXPECT_EQ(read_tokenizer_json(folder / kTokenizerJson), model);
  EXPECT_EQ(read_vocab_and_merges(folder / kVocabJson, folder / kMergesTxt), model);
}

TEST(BpeTokenizer, BringsAnyBytesBack) {
  Random random(3);
  for (const char* name : {"gpt2.json", "gpt4.json"}) {
    const BpeTokenizer tokenizer(read_tokenizer_json(golden(name)));
    for (int i = 0; i < 5000; ++i) {
      const std::string bytes = random_bytes(random, i % 50 == 0 ? 3000 : 80);
      const Encoded encoded = tokenizer.encode(bytes);
      EXPECT_TRUE(encoded.unknown.empty());
      ASSERT_EQ(tokenizer.decode(encoded.ids), bytes) << quote(bytes);
      std::string joined;
      for (const int32_t id : encoded.ids) joined += tokenizer.token_text(id);
      ASSERT_EQ(joined, bytes);
    }
  }
}

/// The rule itself, without tables, heaps or caches: the lowest rank first, the leftmost of equals.
std::vector<int32_t> merged_by_rule(const BpeModel& model, std::string_view piece) {
  std::vector<int32_t> ids;
  for (const char c : piece) {
    for (size_t id = 0; id < model.tokens.size(); ++id) {
      if (model.tokens[id] == std::string(1, c)) ids.push_back(static_cast<int32_t>(id));
    }
  }
  for (bool merged = true; merged;) {
    merged = false;
    for (const BpeMerge& merge : model.merges) {
      for (size_t i = 0; i + 1 < ids.size() && !merged; ++i) {
        if (ids[i] != merge.left || ids[i + 1] != merge.right) continue;
        ids[i] = merge.merged;
        ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(i) + 1);
        merged = true;
      }
      if (merged) break;
    }
  }
  return ids;
}

TEST(BpeTokenizer, MergesByTheRule) {
  const BpeModel model =
      train_bpe("abab aabb bbaa abba baab aaaa bbbb abcabc cabcab ccab bcbc", 290, SplitPattern::gpt2);
  const BpeTokenizer tokenizer(model);
  Random random(4);
  for (int i = 0; i < 3000; ++i) {
    std::string piece(random.below(i % 10 == 0 ? 200 : 50) + 1, 'a');
    for (char& c : piece) c = static_cast<char>('a' + random.below(3));
    EXPECT_EQ(tokenizer.encode(piece).ids, merged_by_rule(model, piece)) << piece;
  }
}

TEST(BpeTokenizer, TakesAMegabyteOfOneLetter) {
  const BpeTokenizer tokenizer(train_bpe(std::string(8192, 'a'), 300, SplitPattern::gpt2));
  const std::string text((1 << 20) + 1, 'a');
  const auto start = std::chrono::steady_clock::now();
  const std::vector<int32_t> ids = tokenizer.encode(text).ids;
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(tokenizer.decode(ids), text);
  EXPECT_EQ(ids.size(), (1u << 20) / 4096 + 1);
  // A sanitizer slows it down; quadratic work would take hours.
  EXPECT_LT(took.count(), 20.0);
}

TEST(BpeTokenizer, StreamsWithTheIdsOfTheWhole) {
  const BpeTokenizer tokenizer(read_tokenizer_json(golden("gpt2.json")));
  const auto cases = read_json_file(golden("cases.json"), "golden");
  std::string text;
  while (text.size() < 300'000) {
    for (const nlohmann::json& one : cases["cases"]) text += one["text"].get<std::string>();
    text += cases["trained_on"].get<std::string>();
  }
  text.insert(150'000, std::string(100'000, 'x'));
  const std::vector<int32_t> whole = tokenizer.encode(text).ids;
  for (const size_t part : {size_t{1000}, size_t{4096}, size_t{70'001}}) {
    StreamEncoder stream(tokenizer);
    std::vector<int32_t> ids;
    size_t early = 0;
    for (size_t at = 0; at < text.size(); at += part) {
      stream.add(std::string_view(text).substr(at, part), ids);
      early = ids.size();
    }
    stream.finish(ids);
    EXPECT_EQ(ids, whole) << part;
    EXPECT_GT(early, whole.size() / 2) << "nothing was encoded before the end";
  }
}

TEST(BpeTokenizer, FindsAddedTokensFirstAndLongest) {
  BpeModel model = BpeTrainer("", SplitPattern::gpt2).model(false);
  for (const char* text : {"<a>", "<a><b>", "x y"}) {
    model.added.push_back({static_cast<int32_t>(model.tokens.size()), true});
    model.tokens.emplace_back(text);
  }
  const BpeTokenizer tokenizer(model);
  const int32_t a = 256, ab = 257, xy = 258;
  const auto byte = [&](char c) { return tokenizer.merger().byte_id(static_cast<uint8_t>(c)); };
  EXPECT_EQ(tokenizer.encode("<a><b><a>").ids, (std::vector<int32_t>{ab, a}));
  EXPECT_EQ(tokenizer.encode("<a><c").ids, (std::vector<int32_t>{a, byte('<'), byte('c')}));
  EXPECT_EQ(tokenizer.encode("x yx").ids, (std::vector<int32_t>{xy, byte('x')}));
  EXPECT_EQ(tokenizer.decode(std::vector<int32_t>{ab, xy}), "<a><b>x y");
  // An added token may lie across any cut of this stream, so all of it waits for the end.
  StreamEncoder stream(tokenizer);
  std::vector<int32_t> ids;
  for (int i = 0; i < 60'000; ++i) stream.add("x y", ids);
  EXPECT_TRUE(ids.empty());
  stream.finish(ids);
  EXPECT_EQ(ids, std::vector<int32_t>(60'000, xy));
}

TEST(BpeTokenizer, WholePiecesGoBeforeMerges) {
  BpeModel model = BpeTrainer("", SplitPattern::gpt4).model(false);
  model.tokens.emplace_back("cat");
  model.whole_pieces = true;
  EXPECT_EQ(BpeTokenizer(model).encode("cat").ids, std::vector<int32_t>{256});
  EXPECT_EQ(BpeTokenizer(model).encode("cats").ids.size(), 4u);
  model.whole_pieces = false;  // without a merge that makes it the token is out of reach
  EXPECT_EQ(BpeTokenizer(model).encode("cat").ids.size(), 3u);
}

TEST(BpeTokenizer, SavesAndLoads) {
  for (const char* name : {"gpt2.json", "gpt4.json"}) {
    const TemporaryFolder folder;
    const BpeTokenizer tokenizer(read_tokenizer_json(golden(name)));
    tokenizer.save(folder.path());
    EXPECT_EQ(read_tokenizer_json(folder / kTokenizerJson), tokenizer.model());
    const bool pair = std::string_view(name) == "gpt2.json";
    EXPECT_EQ(std::filesystem::exists(folder / kMergesTxt), pair);
    EXPECT_EQ(fits_vocab_and_merges(tokenizer.model()), pair);
    if (pair) {
      std::filesystem::remove(folder / kTokenizerJson);
      const auto loaded = load_tokenizer(folder.path());
      EXPECT_EQ(dynamic_cast<const BpeTokenizer&>(*loaded).model(), tokenizer.model());
    }
    EXPECT_TRUE(has_tokenizer(folder.path()));
    remove_tokenizers(folder.path());
    EXPECT_FALSE(has_tokenizer(folder.path()));
  }
}

TEST(BpeTokenizer, RefusesIdsThatItLacks) {
  const BpeTokenizer tokenizer(BpeTrainer("", SplitPattern::gpt2).model(true));
  for (const int32_t id : {-1, 257, INT32_MAX}) {
    EXPECT_SAYS(error_of([&] { return tokenizer.token_text(id); }), "ids go from 0 to 256");
  }
}

}  // namespace
}  // namespace headlight
