// Everything that reads bytes from outside, fed with mutated good input: it must succeed or throw Error,
// nothing else. Deterministic; HEADLIGHT_FUZZ_RUNS=1000000 looks longer. Most useful in the asan build.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/base/random.h"
#include "core/base/utf8.h"
#include "core/io/json.h"
#include "core/io/safetensors.h"
#include "core/model/config_json.h"
#include "core/text/char_tokenizer.h"
#include "core/text/corpus.h"
#include "core/text/story.h"
#include "core/text/word_tokenizer.h"
#include "core/train/schedule.h"
#include "tests/fuzz/bodies.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::TemporaryFolder;

int runs() {
  const char* wanted = std::getenv("HEADLIGHT_FUZZ_RUNS");
  return wanted == nullptr ? 3000 : std::atoi(wanted);
}

/// A good input, changed in one to eight places: bits, bytes, digits, pieces cut out, doubled or moved.
std::string mutate(const std::string& seed, Random& random) {
  static const std::vector<std::string> pieces{"{",
                                               "}",
                                               "[",
                                               "]",
                                               "\"",
                                               ",",
                                               ":",
                                               "-1",
                                               "0",
                                               "1e999",
                                               "null",
                                               "\\u0000",
                                               "\xFF",
                                               "18446744073709551615",
                                               "[0,0]",
                                               "\xE1\xBA\xBF",
                                               "9223372036854775807",
                                               "__metadata__",
                                               "U8"};
  std::string bytes = seed;
  for (uint64_t change = random.below(8) + 1; change > 0; --change) {
    const size_t at = random.below(bytes.size() + 1);
    const size_t length = random.below(std::min<size_t>(bytes.size() - at, 16) + 1);
    switch (random.below(6)) {
      case 0:
        if (at < bytes.size()) bytes[at] = static_cast<char>(bytes[at] ^ (1 << random.below(8)));
        break;
      case 1:
        if (at < bytes.size()) bytes[at] = static_cast<char>(random.below(256));
        break;
      case 2:
        bytes.erase(at, length);
        break;
      case 3:
        bytes.insert(random.below(bytes.size() + 1), bytes.substr(at, length));
        break;
      case 4:
        bytes.insert(at, pieces[random.below(pieces.size())]);
        break;
      default:
        bytes.resize(at);
        break;
    }
  }
  return bytes;
}

/// Runs `read` on mutations of the seeds. Whatever is thrown must be an Error whose sentence is valid UTF-8
/// text.
void fuzz(const std::vector<std::string>& seeds, const std::function<void(const std::string&)>& read) {
  Random random(2026);
  int accepted = 0;
  for (int i = 0; i < runs(); ++i) {
    const std::string bytes = mutate(seeds[random.below(seeds.size())], random);
    try {
      read(bytes);
      accepted += 1;
    } catch (const Error& error) {
      const std::string_view sentence = error.what();
      ASSERT_FALSE(sentence.empty());
      ASSERT_EQ(valid_utf8_length(sentence), sentence.size()) << quote(sentence, 1000);
    }
  }
  // If nothing came through, or everything, the mutations did not reach the checks.
  EXPECT_GT(accepted, 0);
  EXPECT_LT(accepted, runs());
}

TEST(Fuzz, Safetensors) {
  const TemporaryFolder folder;
  const std::vector<float> values{1, 2, 3, 4};
  SafetensorsWriter writer;
  writer.add("h.0.w", std::span<const float>(values), {2, 2});
  writer.add("ế", std::span<const float>(values), {4});
  writer.set_metadata("format", "pt");
  writer.write(folder / "seed");
  const std::string seed = test::bytes_of(folder / "seed");
  fuzz({seed}, [&](const std::string& mutated) {
    // Half of the time the length is made true again, so that the header itself is what is tested.
    std::string bytes = mutated;
    if (bytes.size() > 40 && bytes.size() % 2 == 0) {
      const uint64_t header = bytes.size() - 8 - std::min<size_t>(32, bytes.size() - 8);
      std::memcpy(bytes.data(), &header, 8);
    }
    test::fuzz_safetensors(bytes);
  });
}

TEST(Fuzz, Json) {
  fuzz({R"({"a": [1, -2, 2.5e3, true, null, "ữ\n"], "b": {"c": {}, "d": [[[]]]}})", "[[1,2],[3,4]]"},
       [](const std::string& bytes) {
         const nlohmann::json value = parse_json(bytes, "fuzzed");
         EXPECT_EQ(parse_json(value.dump(), "again"), value);
       });
}

TEST(Fuzz, ModelConfigs) {
  const std::string gpt2 =
      R"({"activation_function":"gelu_new","attn_pdrop":0.1,"embd_pdrop":0.1,"layer_norm_epsilon":1e-05,)"
      R"("model_type":"gpt2","n_ctx":64,"n_embd":48,"n_head":12,"n_layer":12,"n_positions":64,)"
      R"("resid_pdrop":0.1,"vocab_size":50257,"n_inner":null})";
  const std::string lens =
      R"({"n_layers":2,"n_heads":4,"d_model":64,"n_ctx":32,"d_vocab":50,"d_mlp":256,"act_fn":"gelu",)"
      R"("eps":1e-5,"normalization_type":"LN","attn_only":false,"mask":"zero","residual":true})";
  fuzz({gpt2, lens}, [](const std::string& bytes) { test::fuzz_config(bytes); });
}

TEST(Fuzz, TrainSettings) {
  fuzz({train_config_to_json({}).dump()}, [](const std::string& bytes) {
    const TrainConfig config = train_config_from_json(parse_json(bytes, "train.json"), "train.json");
    EXPECT_NO_THROW(validate(config));
    EXPECT_TRUE(learning_rate_at(config, 3) >= 0);
  });
}

TEST(Fuzz, Tokenizers) {
  const TemporaryFolder folder;
  CharTokenizer::from_text("xin chào").save(folder.path());
  WordTokenizer({"xin", " chào", "."}).save(folder.path());
  fuzz({test::bytes_of(folder / CharTokenizer::file_name)}, [&](const std::string& bytes) {
    const CharTokenizer tokenizer = CharTokenizer::load(folder.write("characters", bytes));
    EXPECT_EQ(tokenizer.decode(tokenizer.encode(tokenizer.token_text(0)).ids), tokenizer.token_text(0));
  });
  fuzz({test::bytes_of(folder / WordTokenizer::file_name)}, [&](const std::string& bytes) {
    const WordTokenizer tokenizer = WordTokenizer::load(folder.write("words", bytes));
    EXPECT_EQ(tokenizer.token_text(0).empty(), false);
  });
}

TEST(Fuzz, BytePairs) {
  const auto corpus = test::source_folder() / "tests/fuzz/corpus";
  const auto seeds = [&](const char* name) {
    std::vector<std::string> all;
    for (const auto& entry : std::filesystem::directory_iterator(corpus / name)) {
      all.push_back(test::bytes_of(entry.path()));
    }
    std::sort(all.begin(), all.end());  // a folder has no order of its own
    return all;
  };
  fuzz(seeds("tokenizer_json"), [](const std::string& bytes) { test::fuzz_tokenizer_json(bytes); });
  fuzz(seeds("merges"), [](const std::string& bytes) { test::fuzz_merges(bytes); });
}

TEST(Fuzz, Texts) {
  const WordTokenizer words = *StoryGrammar().tokenizer();
  fuzz({"The cat sat on the mat. The dog ran. Trăm năm trong cõi người ta."}, [&](const std::string& bytes) {
    const Corpus corpus = Corpus::from_text("fuzzed", bytes);
    std::vector<int32_t> tokens(2), targets(2);
    Random random(1);
    if (corpus.longest_window() >= 2) {
      corpus.sample_batch(Split::train, random, 1, 2, tokens.data(), targets.data());
    }
    const CharTokenizer characters = CharTokenizer::from_text(bytes);
    EXPECT_EQ(characters.decode(encode_all(characters, bytes)), bytes);
    EXPECT_EQ(WordTokenizer::from_text(bytes).decode(encode_all(WordTokenizer::from_text(bytes), bytes)),
              bytes);
    EXPECT_LE(words.encode(bytes).ids.size(), bytes.size());
  });
}

}  // namespace
}  // namespace headlight
