// Tokenizer files that are broken, lie, or mean a tokenizer of another kind: each is refused with a sentence
// that names the file and the problem.
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/text/bpe_files.h"
#include "core/text/bpe_trainer.h"
#include "core/text/tokenizer.h"
#include "tests/support/error_text.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using nlohmann::json;
using test::bytes_of;
using test::error_of;
using test::TemporaryFolder;

/// The bytes, "he", "the", " the" and <|endoftext|>: ids 0…255, 256, 257, 258 and 259.
BpeModel small_model() {
  BpeModel model = train_bpe(" the the the the", 260, SplitPattern::gpt2);
  EXPECT_EQ(model.tokens.size(), 260u);
  return model;
}

struct GoodFiles {
  std::string tokenizer, vocab, merges;
};

const GoodFiles& good_files() {
  static const GoodFiles files = [] {
    const TemporaryFolder folder;
    save_bpe(small_model(), folder.path());
    return GoodFiles{bytes_of(folder / kTokenizerJson), bytes_of(folder / kVocabJson),
                     bytes_of(folder / kMergesTxt)};
  }();
  return files;
}

std::string tokenizer_error(std::string_view text) {
  return error_of([&] { return parse_tokenizer_json(text, "dir/tokenizer.json"); });
}
std::string pair_error(std::string_view vocab, std::string_view merges) {
  return error_of([&] { return parse_vocab_and_merges(vocab, "dir/vocab.json", merges, "dir/merges.txt"); });
}

struct Malformed {
  const char* title;
  std::string bytes;
  const char* says;
};

/// Files that are no tokenizer.json at all.
std::vector<Malformed> broken_json() {
  return {
      {"empty file", "", "is not valid JSON at byte"},
      {"white space", " \n\t ", "is not valid JSON"},
      {"a word", "tokenizer", "is not valid JSON"},
      {"not UTF-8", "{\"model\": \"\xFF\"}", "is not UTF-8 text: byte 11 is \\xFF"},
      {"half a character", "{\"model\": \"\xE1\xBA\"}", "is not UTF-8 text"},
      {"a surrogate alone", R"({"a": "\ud800"})", "is not valid JSON"},
      {"a zero byte", std::string("{}\0", 3), "a zero byte stands there"},
      {"two values", "{} {}", "is not valid JSON"},
      {"a trailing comma", "{\"model\": {},}", "is not valid JSON"},
      {"an open string", "{\"model", "is not valid JSON"},
      {"a key twice", R"({"model": {}, "model": {}})", "has the key “model” twice"},
      {"a token twice", R"({"model": {"vocab": {"a": 0, "a": 1}}})", "has the key “a” twice"},
      {"deep lists", std::string(100, '[') + std::string(100, ']'), "more than 64 deep"},
      {"a deep model", R"({"model": )" + std::string(70, '[') + std::string(70, ']') + "}",
       "more than 64 deep"},
      {"an array", "[]", "its JSON is no object"},
      {"a number", "7", "its JSON is no object"},
      {"null", "null", "its JSON is no object"},
      {"an empty object", "{}", "has no \"model\""},
      {"model is a list", R"({"model": []})", "has no \"model\""},
      {"model is null", R"({"model": null})", "has no \"model\""},
      {"a config.json", R"({"model_type": "gpt2", "n_layer": 12})", "has no \"model\""},
  };
}

struct Changed {
  const char* title;
  std::function<void(json&)> change;
  const char* says;
};

/// A good tokenizer.json, changed in one place.
std::vector<Changed> changed_tokenizers() {
  const auto set = [](const char* pointer, json value) {
    return [pointer, value](json& j) { j[json::json_pointer(pointer)] = value; };
  };
  const auto drop = [](const char* parent, const char* key) {
    return [parent, key](json& j) { j[json::json_pointer(parent)].erase(key); };
  };
  const auto split = [](const char* behavior, json regex, bool again) {
    return [behavior, regex, again](json& j) {
      j["pre_tokenizer"] = {{"type", "Sequence"},
                            {"pretokenizers",
                             {{{"type", "Split"}, {"pattern", {{"Regex", regex}}}, {"behavior", behavior}},
                              {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", again}}}}};
    };
  };
  const std::string gpt4(pattern_regex(SplitPattern::gpt4));
  return {
      // Tokenizers of other kinds.
      {"WordPiece", set("/model/type", "WordPiece"),
       "of the kind “WordPiece”; Headlight reads byte-level BPE"},
      {"Unigram", set("/model/type", "Unigram"), "of the kind “Unigram”"},
      {"WordLevel", set("/model/type", "WordLevel"), "of the kind “WordLevel”"},
      {"type is a number", set("/model/type", 7), "of the kind 7"},
      {"SentencePiece", set("/model/byte_fallback", true), "holds a SentencePiece tokenizer"},
      {"byte_fallback is a word", set("/model/byte_fallback", "no"),
       "\"byte_fallback\" is \"no\", not true or false"},
      {"prefix of WordPiece", set("/model/continuing_subword_prefix", "##"),
       "marks tokens with a \"continuing_subword_prefix\", \"##\""},
      {"suffix of CLIP", set("/model/end_of_word_suffix", "</w>"), "\"end_of_word_suffix\", \"</w>\""},
      {"prefix is a number", set("/model/continuing_subword_prefix", 3), "\"continuing_subword_prefix\", 3"},
      {"dropout", set("/model/dropout", 0.1), "leaves out merges at random (\"dropout\" 0.1)"},
      {"dropout is a word", set("/model/dropout", "some"), "\"dropout\" \"some\""},
      {"NFC", set("/normalizer", {{"type", "NFC"}}), "changes the text before it is cut (normalizer “NFC”)"},
      {"lower case", set("/normalizer", {{"type", "Lowercase"}}), "normalizer “Lowercase”"},
      {"a list of normalizers",
       set("/normalizer", {{"type", "Sequence"}, {"normalizers", {{{"type", "NFKC"}}}}}),
       "normalizer “Sequence”"},
      {"normalizer without type", set("/normalizer", {{"kind", "NFC"}}), "its normalizer has no \"type\""},
      {"normalizer is a word", set("/normalizer", "NFC"), "its normalizer has no \"type\""},
      {"type of the normalizer is a number", set("/normalizer", {{"type", 3}}),
       "its normalizer has no \"type\""},
      // How text is cut.
      {"no pre_tokenizer", set("/pre_tokenizer", nullptr), "has no pre_tokenizer"},
      {"pre_tokenizer is missing", drop("", "pre_tokenizer"), "has no pre_tokenizer"},
      {"pre_tokenizer is a word", set("/pre_tokenizer", "ByteLevel"), "its pre_tokenizer has no \"type\""},
      {"Metaspace", set("/pre_tokenizer", {{"type", "Metaspace"}}),
       "cuts text with the pre_tokenizer “Metaspace”"},
      {"Whitespace", set("/pre_tokenizer", {{"type", "Whitespace"}}), "the pre_tokenizer “Whitespace”"},
      {"BertPreTokenizer", set("/pre_tokenizer", {{"type", "BertPreTokenizer"}}), "“BertPreTokenizer”"},
      {"a space before the text", set("/pre_tokenizer/add_prefix_space", true),
       "puts a space before each text"},
      {"a space by default", drop("/pre_tokenizer", "add_prefix_space"), "puts a space before each text"},
      {"prefix space is a number", set("/pre_tokenizer/add_prefix_space", 0),
       "\"add_prefix_space\" is 0, not true or false"},
      {"no regex", set("/pre_tokenizer/use_regex", false), "merges across the whole text"},
      {"use_regex is a word", set("/pre_tokenizer/use_regex", "yes"), "\"use_regex\" is \"yes\""},
      {"an empty sequence", set("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", json::array()}}),
       "cuts text with the pre_tokenizers “”"},
      {"sequence without parts", set("/pre_tokenizer", {{"type", "Sequence"}}), "the pre_tokenizers “”"},
      {"sequence of Digits and ByteLevel",
       set("/pre_tokenizer",
           {{"type", "Sequence"}, {"pretokenizers", {{{"type", "Digits"}}, {{"type", "ByteLevel"}}}}}),
       "the pre_tokenizers “Digits, ByteLevel”; Headlight reads"},
      {"sequence of numbers", set("/pre_tokenizer", {{"type", "Sequence"}, {"pretokenizers", {1, 2}}}),
       "its pre_tokenizer has no \"type\""},
      {"another pattern", split("Isolated", "\\w+", false), "cuts text with the pattern “\\w+”"},
      {"a pattern that is a number", split("Isolated", 3, false), "its Split has no pattern \"Regex\""},
      {"another behavior", split("MergedWithNext", gpt4, false), "has the behavior \"MergedWithNext\""},
      {"removed without inverting", split("Removed", gpt4, false), "has the behavior \"Removed\""},
      {"cut twice", split("Isolated", gpt4, true), "cuts text twice"},
      {"another decoder", set("/decoder", {{"type", "WordPiece"}}), "has the decoder “WordPiece”"},
      {"decoder without type", set("/decoder", json::object()), "its decoder has no \"type\""},
      {"post_processor without type", set("/post_processor", {{"kind", 1}}),
       "its post_processor has no \"type\""},
      // The vocabulary.
      {"no vocab", drop("/model", "vocab"), "its model has no \"vocab\""},
      {"vocab is a list", set("/model/vocab", {"a", "b"}), "its model has no \"vocab\""},
      {"vocab of Unigram", set("/model/vocab", {{"a", -1.5}}), "the id of the token “a” is -1.5"},
      {"an empty vocab",
       [](json& j) {
         j["model"]["vocab"] = json::object();
         j["model"]["merges"] = json::array();
         j["added_tokens"] = json::array();
       },
       "has no token for the byte \\x00"},
      {"an id below zero", set("/model/vocab/he", -1),
       "the id of the token “he” is -1, not a whole number from 0"},
      {"an id with a fraction", set("/model/vocab/he", 257.5), "the id of the token “he” is 257.5"},
      {"an id that is a word", set("/model/vocab/he", "257"), "the id of the token “he” is \"257\""},
      {"an id that is null", set("/model/vocab/he", nullptr), "the id of the token “he” is null"},
      {"an id that is a list", set("/model/vocab/he", {257}), "the id of the token “he” is [257]"},
      {"an id above 31 bits", set("/model/vocab/he", 2147483648u), "the id of the token “he” is 2147483648"},
      {"an id of 2^64 - 1", set("/model/vocab/he", UINT64_MAX),
       "is 18446744073709551615, not a whole number"},
      {"a gap", set("/model/vocab/he", 260),
       "has 260 tokens, but “he” has the id 260; ids run from 0 to 259 without gaps"},
      {"a wide gap", set("/model/vocab/he", 2147483647), "“he” has the id 2147483647"},
      {"an id twice", set("/model/vocab/he", 257), "gives the id 257 to both “he” and “the”"},
      {"a byte is missing",
       [](json& j) {
         j["model"]["vocab"].erase("Ā");
         j["model"]["vocab"]["xyz"] = 188;
       },
       "has no token for the byte \\x00; a byte-level vocabulary holds all 256"},
      {"the last byte is missing",
       [](json& j) {
         const int id = j["model"]["vocab"]["ÿ"];
         j["model"]["vocab"].erase("ÿ");
         j["model"]["vocab"]["yy"] = id;
       },
       "has no token for the byte \\xFF"},
      {"a token without text",
       [](json& j) {
         j["model"]["vocab"].erase("he");
         j["model"]["vocab"][""] = 257;
       },
       "has a token without text, with the id 257"},
      {"a word outside the alphabet", [](json& j) { j["model"]["vocab"]["▁the"] = 260; },
       "the token “▁the” (id 260) is not written in GPT-2's byte alphabet"},
      {"a word with a space", [](json& j) { j["model"]["vocab"]["a b"] = 260; }, "the token “a b” (id 260)"},
      {"a token of tiktoken", [](json& j) { j["model"]["vocab"]["IQ== \n"] = 260; }, "“IQ== \\x0A” (id 260)"},
      // Merges.
      {"no merges", drop("/model", "merges"), "its model has no list of \"merges\""},
      {"merges are an object", set("/model/merges", json::object()), "its model has no list of \"merges\""},
      {"a merge is a number", set("/model/merges/0", 3), "merge 0 is 3, not two tokens"},
      {"a merge of one", set("/model/merges/0", "he"), "merge 0 is \"he\", not two tokens"},
      {"a merge of three", set("/model/merges/0", "h e h"), "merge 0 is \"h e h\", not two tokens"},
      {"a merge of nothing", set("/model/merges/0", ""), "merge 0 is \"\", not two tokens"},
      {"a merge with nothing", set("/model/merges/0", "h "), "merge 0 is \"h \", not two tokens"},
      {"a merge of nothing with", set("/model/merges/0", " h"), "merge 0 is \" h\", not two tokens"},
      {"a list of one", set("/model/merges/0", {"h"}), "merge 0 is [\"h\"], not two tokens"},
      {"a list of three", set("/model/merges/0", {"h", "e", "h"}), "not two tokens"},
      {"a list of numbers", set("/model/merges/0", {1, 2}), "merge 0 is [1,2], not two tokens"},
      {"a list with nothing", set("/model/merges/0", {"h", ""}), "not two tokens"},
      {"a merge of unknown tokens", set("/model/merges/1", "quick the"),
       "merge 1 needs the token “quick”, which the vocabulary"},
      {"an unknown right part", set("/model/merges/1", "h quick"), "merge 1 needs the token “quick”"},
      {"an unknown product", set("/model/merges/1", "e h"), "merge 1 needs the token “eh”"},
      {"a merge twice", [](json& j) { j["model"]["merges"].push_back(j["model"]["merges"][0]); },
       "the second is number 3"},
      // Added tokens.
      {"added tokens are an object", set("/added_tokens", json::object()), "\"added_tokens\" is no list"},
      {"an added token is a word", set("/added_tokens/0", "<|endoftext|>"),
       "added token 0 has no \"content\""},
      {"added without content", drop("/added_tokens/0", "content"), "added token 0 has no \"content\""},
      {"content is a number", set("/added_tokens/0/content", 5), "added token 0 has no \"content\""},
      {"added without text", set("/added_tokens/0/content", ""), "has a token without text, with the id 259"},
      {"added with another id", set("/added_tokens/0/id", 3),
       "the added token “<|endoftext|>” has the id 3, but the vocabulary gives it 259"},
      {"added without id", drop("/added_tokens/0", "id"), "has the id null, but the vocabulary gives it 259"},
      {"an added id with a fraction", set("/added_tokens/0/id", 259.5), "has the id 259.5"},
      {"added twice", [](json& j) { j["added_tokens"].push_back(j["added_tokens"][0]); },
       "adds the token 259 twice"},
      {"a new one with an id that is taken",
       [](json& j) {
         j["added_tokens"].push_back({{"id", 4}, {"content", "<new>"}});
       },
       "gives the id 4 to both"},
      {"a new one behind a gap",
       [](json& j) {
         j["added_tokens"].push_back({{"id", 300}, {"content", "<new>"}});
       },
       "“<new>” has the id 300; ids run from 0 to 260 without gaps"},
      {"a new one without id",
       [](json& j) {
         j["added_tokens"].push_back({{"content", "<new>"}});
       },
       "the id of the token “<new>” is null"},
      {"single_word", set("/added_tokens/0/single_word", true),
       "has \"single_word\" set, which is not done here"},
      {"lstrip", set("/added_tokens/0/lstrip", true), "has \"lstrip\" set"},
      {"rstrip", set("/added_tokens/0/rstrip", true), "has \"rstrip\" set"},
      {"a flag is a number", set("/added_tokens/0/lstrip", 1), "\"lstrip\" is 1, not true or false"},
      {"special is a word", set("/added_tokens/0/special", "yes"), "\"special\" is \"yes\""},
      {"a very long one",
       [](json& j) {
         j["added_tokens"].push_back({{"id", 260}, {"content", std::string(1025, 'x')}});
       },
       "adds the token 260 with 1025 bytes, more than the 1024 that are allowed"},
      {"spelled like another",
       [](json& j) {
         j["model"]["vocab"]["ĠĠ"] = 260;
         j["added_tokens"].push_back({{"id", 260}, {"content", "ĠĠ"}});
         j["model"]["vocab"]["Ġ"] = 220;
         j["added_tokens"].push_back({{"id", 220}, {"content", "Ġ"}});
       },
       "has no token for the byte \\x20"},
      {"ignore_merges is a word", set("/model/ignore_merges", "no"), "\"ignore_merges\" is \"no\""},
  };
}

TEST(BpeMalformed, EachTokenizerIsRefusedWithItsSentence) {
  ASSERT_EQ(tokenizer_error(good_files().tokenizer), "no error");
  for (const Malformed& malformed : broken_json()) {
    SCOPED_TRACE(malformed.title);
    const std::string sentence = tokenizer_error(malformed.bytes);
    EXPECT_SAYS(sentence, malformed.says);
    EXPECT_SAYS(sentence, "dir/tokenizer.json");
  }
  const std::vector<Changed> all = changed_tokenizers();
  EXPECT_GE(all.size() + broken_json().size(), 100u);
  for (const Changed& changed : all) {
    SCOPED_TRACE(changed.title);
    json tokenizer = json::parse(good_files().tokenizer);
    changed.change(tokenizer);
    const std::string sentence = tokenizer_error(tokenizer.dump());
    EXPECT_SAYS(sentence, changed.says);
    EXPECT_SAYS(sentence, "dir/tokenizer.json");
  }
}

TEST(BpeMalformed, EachPairIsRefusedWithItsSentence) {
  const auto& [tokenizer, vocab, merges] = good_files();
  ASSERT_EQ(pair_error(vocab, merges), "no error");
  const std::vector<Malformed> vocabularies{
      {"empty file", "", "dir/vocab.json is not valid JSON"},
      {"an empty object", "{}", "dir/vocab.json is no object of tokens and their ids"},
      {"a list", "[\"a\"]", "dir/vocab.json is no object of tokens"},
      {"a word", "\"a\"", "dir/vocab.json is no object of tokens"},
      {"an object of lists", R"({"a": [0]})", "dir/vocab.json: the id of the token “a” is [0]"},
      {"one token", R"({"a": 0})",
       "dir/merges.txt: line 2 needs the token “h”, which the vocabulary of dir/vocab.json lacks"},
      {"a hole", R"({"a": 0, "b": 2})", "ids run from 0 to 1 without gaps"},
      {"an id twice", R"({"a": 0, "b": 0})", "gives the id 0 to both “a” and “b”"},
      {"a key twice", R"({"a": 0, "a": 1})", "has the key “a” twice"},
      {"not UTF-8", "{\"\xC3\": 0}", "dir/vocab.json is not UTF-8"},
      {"a tokenizer.json", tokenizer, "dir/vocab.json: the id of the token"},
  };
  for (const Malformed& malformed : vocabularies) {
    SCOPED_TRACE(malformed.title);
    EXPECT_SAYS(pair_error(malformed.bytes, merges), malformed.says);
  }
  const std::string head = "#version: 0.2\n";
  const std::vector<Malformed> lists{
      {"one word in a line", head + "he\n",
       "dir/merges.txt: line 2 is “he”, not two tokens with a space between them"},
      {"three words in a line", head + "h e h\n", "line 2 is “h e h”"},
      {"an empty line", head + "\nh e\n", "line 2 is “”"},
      {"two empty lines at the end", head + "h e\n\n\n", "line 3 is “”"},
      {"a space before", head + " h e\n", "line 2 is “ h e”"},
      {"a space behind", head + "h e \n", "line 2 is “h e ”"},
      {"two spaces", head + "h  e\n", "line 2 is “h  e”"},
      {"a tab", head + "h\te\n", "line 2 is “h\\x09e”"},
      {"the version twice", head + head, "line 2 needs the token “#version:”"},
      {"a comment", head + "h e\n# the end\n", "line 3 is “# the end”"},
      {"unknown tokens", head + "h e\nq uick\n",
       "line 3 needs the token “uick”, which the vocabulary of dir/vocab.json lacks"},
      {"an unknown product", "e h\n", "line 1 needs the token “eh”"},
      {"a merge twice", merges + "h e\n", "has the merge of “h” and “e” twice; the second is number 3"},
      {"not UTF-8", head + "h \xFF\n", "dir/merges.txt is not UTF-8 text: byte 16 is \\xFF"},
      {"a zero byte", head + std::string("h \0\n", 4), "line 2 needs the token “\\x00”"},
      {"JSON", tokenizer, "dir/merges.txt: line 1 is “{”"},
      {"a very long line", head + std::string(100'000, 'h'), "line 2 is “hhh"},
  };
  for (const Malformed& malformed : lists) {
    SCOPED_TRACE(malformed.title);
    const std::string sentence = pair_error(vocab, malformed.bytes);
    EXPECT_SAYS(sentence, malformed.says);
    EXPECT_LT(sentence.size(), 500u);
  }
}

TEST(BpeMalformed, TheNearestGoodFilesAreRead) {
  const auto& [tokenizer, vocab, merges] = good_files();
  const BpeModel model = small_model();
  std::string windows = merges;
  for (size_t at = 0; (at = windows.find('\n', at)) != std::string::npos; at += 2)
    windows.replace(at, 1, "\r\n");
  for (const std::string& text :
       {merges.substr(merges.find('\n') + 1), merges.substr(0, merges.size() - 1), windows}) {
    EXPECT_EQ(parse_vocab_and_merges(vocab, "v", text, "m"), model);
  }
  const auto changed = [&, &text = tokenizer](const std::function<void(json&)>& change) {
    json root = json::parse(text);
    change(root);
    return parse_tokenizer_json(root.dump(), "changed");
  };
  EXPECT_EQ(changed([](json& j) {
              j["normalizer"] = {{"type", "Sequence"}, {"normalizers", json::array()}};
            }),
            model);
  EXPECT_EQ(changed([](json& j) { j.erase("normalizer"); }), model);
  EXPECT_EQ(changed([](json& j) { j["model"].erase("type"); }), model);
  EXPECT_EQ(changed([](json& j) { j["model"]["continuing_subword_prefix"] = ""; }), model);
  EXPECT_EQ(changed([](json& j) { j["post_processor"] = nullptr; }), model);
  EXPECT_EQ(changed([](json& j) { j["padding"] = {{"strategy", "BatchLongest"}}; }), model);
  EXPECT_EQ(changed([](json& j) {
              for (json& merge : j["model"]["merges"]) {
                const auto text = merge.get<std::string>();
                const size_t space = text.find(' ');
                merge = {text.substr(0, space), text.substr(space + 1)};
              }
            }),
            model);
  const json end{{"type", "TemplateProcessing"}, {"single", json::array()}};
  EXPECT_EQ(json::parse(changed([&](json& j) { j["post_processor"] = end; }).post_processor), end);
}

TEST(BpeMalformed, EveryTruncationIsRefused) {
  const auto& [tokenizer, vocab, merges] = good_files();
  for (size_t size = 0; size + 2 < tokenizer.size(); ++size) {  // without its last line break it is whole
    ASSERT_SAYS(tokenizer_error(std::string_view(tokenizer).substr(0, size)), "dir/tokenizer.json is not ")
        << size;
  }
  for (size_t size = 0; size + 2 < vocab.size(); ++size) {
    ASSERT_SAYS(pair_error(std::string_view(vocab).substr(0, size), merges), "dir/vocab.json is not ")
        << size;
  }
  // Merges that end between two lines are a shorter list; the tokens that nothing makes then are added ones.
  for (size_t size = 0; size < merges.size(); ++size) {
    const std::string error = pair_error(vocab, std::string_view(merges).substr(0, size));
    if (error != "no error") {
      EXPECT_SAYS(error, "dir/") << size;
    }
  }
}

TEST(BpeMalformed, FoldersTellWhatTheyLack) {
  const TemporaryFolder folder;
  const auto says = [&] { return error_of([&] { return load_tokenizer(folder.path()); }); };
  EXPECT_SAYS(says(),
              "holds no tokenizer that Headlight reads (headlight_characters.json, headlight_words.json, "
              "tokenizer.json, or vocab.json with merges.txt)");
  EXPECT_FALSE(has_tokenizer(folder.path()));
  folder.write("vocab.json", good_files().vocab);
  EXPECT_SAYS(says(), "holds vocab.json without merges.txt; both make one tokenizer");
  EXPECT_TRUE(has_tokenizer(folder.path()));
  std::filesystem::remove(folder / "vocab.json");
  folder.write("vocab.bpe", good_files().merges);
  EXPECT_SAYS(says(), "holds vocab.bpe without encoder.json");
  folder.write("encoder.json", good_files().vocab);
  EXPECT_EQ(load_tokenizer(folder.path())->vocab_size(), 260);
  std::filesystem::create_directory(folder / "tokenizer.json");
  EXPECT_SAYS(says(), "tokenizer.json is a folder, but a tokenizer file is wanted");
}

}  // namespace
}  // namespace headlight
