// The presets are the systems of the course, valid, and fit the built-in stories.
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "core/model/presets.h"
#include "core/text/story.h"
#include "tests/support/error_text.h"

namespace headlight {
namespace {

using test::error_of;

TEST(Presets, AreValidAndFitTheStories) {
  const int64_t words = StoryGrammar().tokenizer()->vocab_size();
  std::set<std::string> names;
  for (const Preset& preset : presets()) {
    SCOPED_TRACE(preset.name);
    EXPECT_NO_THROW(validate(preset.config));
    EXPECT_NO_THROW(validate(preset.train));
    EXPECT_LE(preset.train.T, preset.config.n_positions);
    EXPECT_EQ(preset.config.vocab_size, preset.keep_vocabulary ? 50257 : words);
    EXPECT_FALSE(preset.title_en.empty());
    EXPECT_FALSE(preset.title_vi.empty());
    EXPECT_TRUE(names.insert(preset.name).second);
    EXPECT_EQ(find_preset(preset.name).title_en, preset.title_en);
  }
  EXPECT_EQ(names, (std::set<std::string>{"nano", "llama-nano", "one-head", "block", "multi-block", "mini"}));
  EXPECT_EQ(presets().front().name, "nano");
}

TEST(Presets, HaveTheSizesOfTheCourse) {
  const ModelConfig& one_head = find_preset("one-head").config;
  EXPECT_EQ(one_head.n_positions, 8);
  EXPECT_EQ(one_head.n_embd, 64);
  EXPECT_EQ(one_head.n_head * one_head.n_layer, 1);
  EXPECT_EQ(one_head.mlp, MlpKind::none);
  EXPECT_FALSE(one_head.has_final_norm());
  EXPECT_TRUE(one_head.tie_word_embeddings);
  EXPECT_EQ(find_preset("one-head").train.B, 5);
  const Preset& mini = find_preset("mini");
  EXPECT_EQ(mini.config.norm_position, NormPosition::post);
  EXPECT_EQ(mini.config.dropout, 0.1);
  EXPECT_EQ(mini.train.T, 128);
  EXPECT_EQ(mini.train.learning_rate, 3e-4);
  EXPECT_EQ(mini.train.eval_every, 200);
}

TEST(Presets, UnknownNamesAreSaid) {
  const std::string sentence = error_of([] { return find_preset("nanno"); });
  EXPECT_SAYS(sentence, "there is no preset “nanno”; did you mean nano?");
  EXPECT_SAYS(sentence, "nano, llama-nano, one-head, block, multi-block, mini");
}

}  // namespace
}  // namespace headlight
