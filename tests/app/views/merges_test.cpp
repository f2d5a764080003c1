// The Tokens view: its scenes against the trainer and the tokenizer, its chips for any bytes, the transport's
// keys.
#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

#include "app/views/merges.h"
#include "app/views/run_data.h"
#include "core/base/random.h"
#include "core/text/bpe_files.h"
#include "core/text/bpe_trainer.h"
#include "tests/app/views/live_window.h"
#include "tests/support/paths.h"

namespace headlight::app {
namespace {

const std::string sentence = "the cat sat on the mat, and the cat that sat there sat on the hat";

/// Ids of a scene's chips.
std::vector<int32_t> ids_of(const MergeScene& scene) {
  std::vector<int32_t> ids;
  for (const auto& piece : scene.pieces) {
    for (const MergeToken& token : piece) ids.push_back(token.id);
  }
  return ids;
}

TEST(ChipText, ShowsAnyBytes) {
  EXPECT_EQ(chip_text(" cat\n\t"), "·cat↵→");
  EXPECT_EQ(chip_text("Trăm"), "Trăm");
  EXPECT_EQ(chip_text("\xE1\xBA"), "‹E1 BA›");
  EXPECT_EQ(chip_text(" \xF0\x9F"), "·‹F0 9F›");
  EXPECT_EQ(chip_text(std::string("a\0b", 3)), "a‹00›b");
  EXPECT_EQ(chip_text("\x7F\xC2\x85z"), "‹7F C2 85›z");
  EXPECT_EQ(chip_text("\xFF é"), "‹FF›·é");
  EXPECT_EQ(chip_text(""), "∅");
  EXPECT_EQ(bytes_hex("ế"), "E1 BA BF");
}

TEST(Merges, LearningShowsTheTrainersSteps) {
  BpeTrainer trainer(sentence, SplitPattern::gpt2);
  const int64_t steps = prepare_learning(sentence, 0).steps;
  ASSERT_GT(steps, 5);
  for (int64_t step = 0;; ++step) {
    const MergeScene scene = prepare_learning(sentence, step);
    EXPECT_EQ(scene.step, step);
    EXPECT_EQ(scene.steps, steps);
    EXPECT_EQ(scene.merges.size(), static_cast<size_t>(step));
    EXPECT_EQ(scene.tokens, trainer.token_count());
    EXPECT_EQ(ids_of(scene), BpeTokenizer(trainer.model(false)).encode(sentence).ids);
    EXPECT_EQ(scene.pairs.front().count, trainer.frequent_pairs(1).front().count);
    // What is framed is what the next merge takes, and what is filled is what the last one made.
    int64_t framed = 0, filled = 0;
    for (const auto& piece : scene.pieces) {
      for (const MergeToken& token : piece) {
        framed += token.next ? 1 : 0;
        filled += token.fresh ? 1 : 0;
      }
    }
    EXPECT_EQ(filled, step == 0 ? 0 : scene.merges.back().count);
    const auto learned = trainer.learn();
    EXPECT_EQ(scene.last, !learned.has_value());
    EXPECT_EQ(framed, learned ? 2 * learned->count : 0);
    if (!learned) break;
  }
  EXPECT_EQ(prepare_learning(sentence, 1'000'000).step, steps);
  EXPECT_EQ(prepare_learning(sentence, -3).step, 0);
}

TEST(Merges, TheModelsOwnEndAtItsTokens) {
  const BpeTokenizer tokenizer(
      read_tokenizer_json(headlight::test::golden_folder() / "tokenizers/gpt2.json"));
  for (const std::string& text :
       {sentence, std::string("Các em hãy nhìn vào mô hình.\n\n  \xFF 12346"), std::string()}) {
    const MergeScene start = prepare_own_merges(tokenizer, text, 0);
    EXPECT_EQ(start.tokens, static_cast<int64_t>(text.size()));
    const MergeScene end = prepare_own_merges(tokenizer, text, INT64_MAX);
    EXPECT_TRUE(end.last);
    EXPECT_EQ(end.step, start.steps);
    EXPECT_EQ(ids_of(end), tokenizer.encode(text).ids);
    if (start.steps == 0) continue;
    EXPECT_GE(start.pairs.front().rank, 0);
    const MergeScene next = prepare_own_merges(tokenizer, text, 1);
    EXPECT_EQ(next.merges.front().rank, start.pairs.front().rank);
    EXPECT_EQ(next.tokens, start.tokens - next.merges.front().count);
  }
}

TEST(Merges, LongTextsAreCutAtACharacter) {
  std::string text;
  while (text.size() < 3 * merges_text_bytes) text += "ế";
  const MergeScene scene = prepare_learning(text, 0);
  EXPECT_LE(scene.bytes, static_cast<int64_t>(merges_text_bytes));
  EXPECT_EQ(scene.bytes % 3, 0);
}

TEST(MergesWindow, TheTransportStepsMerges) {
  LiveWindow window;
  window.run("tokens.text " + sentence);
  window.run("view.tokens");
  const auto step = [&] { return window.app().session().state.option("tokens.step", "0"); };
  EXPECT_EQ(step(), "0");
  const Playhead before = window.app().session().state.playhead;
  window.key(GLFW_KEY_RIGHT);
  window.key(GLFW_KEY_RIGHT);
  EXPECT_EQ(step(), "2");
  window.key(GLFW_KEY_LEFT);
  EXPECT_EQ(step(), "1");
  window.key(GLFW_KEY_END);
  EXPECT_EQ(step(), std::to_string(prepare_learning(sentence, 0).steps));
  window.key(GLFW_KEY_RIGHT);
  EXPECT_EQ(step(), std::to_string(prepare_learning(sentence, 0).steps));
  window.click("tokens.taken.3");
  EXPECT_EQ(step(), "3");
  window.key(GLFW_KEY_HOME);
  EXPECT_EQ(step(), "0");
  EXPECT_EQ(window.app().session().state.playhead, before);
  window.run("view.pass");
  window.key(GLFW_KEY_RIGHT);
  EXPECT_EQ(step(), "0");
}

TEST(MergesWindow, PlaysToTheLastMerge) {
  LiveWindow window;
  window.run("tokens.text aaaa bbbb aaaa bbbb");
  window.run("view.tokens");
  const int64_t steps = prepare_learning("aaaa bbbb aaaa bbbb", 0).steps;
  ASSERT_GT(steps, 2);
  window.key(GLFW_KEY_SPACE);
  EXPECT_TRUE(window.app().session().playing);
  for (int i = 0; i < 60 * 30 && window.app().session().playing; ++i) window.frames(1);
  EXPECT_FALSE(window.app().session().playing);
  EXPECT_EQ(window.app().session().state.option("tokens.step", "0"), std::to_string(steps));
}

TEST(MergesWindow, FollowsThePromptUntilATextIsTyped) {
  LiveWindow window("induction");
  const SessionState& state = window.app().session().state;
  EXPECT_EQ(merge_request(state, window.snapshot()).text, window.snapshot().prompt);
  window.run("view.tokens");
  window.click("tokens.text");
  window.type("abc abc");
  window.key(GLFW_KEY_ENTER);
  EXPECT_NE(merge_request(state, window.snapshot()).text, window.snapshot().prompt);
  window.run("tokens.text");
  EXPECT_EQ(merge_request(state, window.snapshot()).text, window.snapshot().prompt);
  // Its tokens are words: there are no merges of its own to step.
  EXPECT_EQ(byte_pairs(window.snapshot()), nullptr);
  EXPECT_THROW(window.run("tokens.merges model"), std::exception);
}

}  // namespace
}  // namespace headlight::app
