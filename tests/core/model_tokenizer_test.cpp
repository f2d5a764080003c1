// Models whose tokens are byte pairs: folders with their tokenizer, foreign tokenizers, texts to train on.
#include <gtest/gtest.h>

#include "core/engine/builtin.h"
#include "core/model/model_folder.h"
#include "core/text/bpe_files.h"
#include "core/text/bpe_tokenizer.h"
#include "core/text/bpe_trainer.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::error_of;
using test::TemporaryFolder;

const std::string text = "The cat sat on the mat. The dog ran to the mat. The cat sat on the dog.";

/// A small model with byte pairs learned from the text, and room for some tokens more.
Model small_model() {
  auto tokenizer = std::make_shared<BpeTokenizer>(train_bpe(text, 280, SplitPattern::gpt2));
  ModelConfig config = test::small_config();
  config.vocab_size = 300;
  config.n_positions = 16;
  return make_model("pairs", config, std::move(tokenizer), test::cpu(), 1);
}

TEST(ModelTokenizer, StaysWithItsFolder) {
  const TemporaryFolder folder;
  const Model model = small_model();
  save_model_folder(folder.path(), model);
  const OpenedModel opened = open_model_folder(folder.path(), test::cpu());
  ASSERT_NE(opened.model.tokenizer, nullptr);
  EXPECT_EQ(opened.model.tokenizer->encode(text).ids, model.tokenizer->encode(text).ids);
  EXPECT_NO_THROW(need_tokenizer(opened.model, "ids"));
  // It can be asked at once, though it may have no text to train on.
  const std::string prompt = default_prompt(opened.model, nullptr);
  const size_t tokens = opened.model.tokenizer->encode(prompt).ids.size();
  EXPECT_GT(tokens, 1u);
  EXPECT_LE(tokens, 16u);
}

TEST(ModelTokenizer, OneOfAnotherKindLeavesTheModelWithoutOne) {
  const TemporaryFolder folder;
  save_model_folder(folder.path(), small_model());
  folder.write(kTokenizerJson, R"({"model": {"type": "WordPiece", "vocab": {"a": 0}}})");
  const OpenedModel opened = open_model_folder(folder.path(), test::cpu());
  EXPECT_EQ(opened.model.tokenizer, nullptr);
  EXPECT_SAYS(opened.model.tokenizer_failure, "of the kind “WordPiece”");
  const auto need = [](const Model& model) {
    return error_of([&] {
      need_tokenizer(model, "ids instead");
      return 0;
    });
  };
  EXPECT_SAYS(need(opened.model), "this model's tokenizer is not read:");
  EXPECT_SAYS(need(opened.model), "of the kind “WordPiece”");
  remove_tokenizers(folder.path());
  EXPECT_SAYS(need(open_model_folder(folder.path(), test::cpu()).model),
              "this model has no tokenizer file; give ids instead");
}

TEST(ModelTokenizer, OneThatIsTooLargeIsAnotherModels) {
  const TemporaryFolder folder;
  save_model_folder(folder.path(), small_model());
  BpeModel larger = train_bpe(text, 280, SplitPattern::gpt2);
  for (int i = 0; i < 40; ++i) {
    larger.added.push_back({static_cast<int32_t>(larger.tokens.size()), true});
    larger.tokens.push_back(fmt::format("<extra {}>", i));
  }
  save_bpe(larger, folder.path());
  EXPECT_SAYS(
      error_of([&] { return open_model_folder(folder.path(), test::cpu()).remark; }),
      "subwords, but config.json makes vocab_size 300; the folder's files belong to different models");
}

TEST(ModelTokenizer, EncodesATextToTrainOn) {
  const TemporaryFolder folder;
  const Model model = small_model();
  const auto file = folder.write("book.txt", text + text + text);
  const Corpus corpus = Corpus::from_text_file(file, model.tokenizer);
  EXPECT_EQ(corpus.vocab_size(), model.tokenizer->vocab_size());
  EXPECT_EQ(model.tokenizer->decode(corpus.tokens(Split::train)) +
                model.tokenizer->decode(corpus.tokens(Split::validation)),
            text + text + text);
}

}  // namespace
}  // namespace headlight
