// What the engine records for the views: the last token with a cache, the logit lens beside the run, and a
// sentence where a recording cannot be made.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/engine/engine.h"
#include "core/run/logit_lens.h"
#include "tests/support/limited_backend.h"

namespace headlight {
namespace {

class ProbeTest : public ::testing::Test {
 protected:
  ProbeTest() {
    Engine::Options options;
    options.open_device = [this](std::string_view kind, int) -> std::unique_ptr<kernels::Backend> {
      return std::make_unique<test::LimitedBackend>(limit_, std::string(kind));
    };
    engine_ = std::make_unique<Engine>(std::move(options));
    engine_->post(OpenPreset{"nano"});
    engine_->post(SetPrompt{"The cat sat on the mat."});
  }
  std::shared_ptr<const Snapshot> after(Request request) {
    engine_->post(std::move(request));
    engine_->drain();
    return engine_->snapshot();
  }
  static std::string last_notice(const Snapshot& snapshot) {
    return snapshot.notices.empty() ? "" : snapshot.notices.back().text;
  }

  std::shared_ptr<test::MemoryLimit> limit_ = std::make_shared<test::MemoryLimit>();
  std::unique_ptr<Engine> engine_;
};

TEST_F(ProbeTest, RunsTheLastTokenWithACache) {
  const auto whole = after(SetCache{});
  ASSERT_FALSE(whole->run->with_cache());
  for (const WeightStorage storage : {WeightStorage{}, WeightStorage{WeightFormat::int8}}) {
    const auto cached = after(SetCache{storage});
    ASSERT_TRUE(cached->run->with_cache());
    EXPECT_EQ(cached->run->text(), cached->prompt_tokens);
    EXPECT_EQ(cached->run->program().T(), 1);
    EXPECT_TRUE(cached->run->program().range(Phase::loss).first ==
                cached->run->program().range(Phase::loss).last);
    EXPECT_TRUE(std::isnan(cached->run->loss));
    ASSERT_EQ(cached->generation.candidates.size(), whole->generation.candidates.size());
    for (size_t i = 0; i < whole->generation.candidates.size(); ++i) {
      const Candidate& a = cached->generation.candidates[i];
      const auto b = std::find_if(whole->generation.candidates.begin(), whole->generation.candidates.end(),
                                  [&](const Candidate& c) { return c.token == a.token; });
      ASSERT_NE(b, whole->generation.candidates.end());
      EXPECT_NEAR(a.probability, b->probability, storage.format == WeightFormat::f32 ? 1e-5 : 0.05);
    }
  }
  // Another prompt, a generated token and another weight all reach the cache.
  const auto other = after(SetPrompt{"The dog ran. The"});
  EXPECT_EQ(other->run->text(), other->prompt_tokens);
  const auto longer = after(Generate{2, {}});
  EXPECT_EQ(longer->run->text(), longer->prompt_tokens);
  const auto before = longer->generation.candidates;
  const auto fresh = after(ResetModel{7});
  EXPECT_TRUE(fresh->run->with_cache());
  EXPECT_NE(fresh->generation.candidates[0].probability, before[0].probability);
  const auto trained = after(Train{3});
  EXPECT_NE(trained->generation.candidates[0].probability, fresh->generation.candidates[0].probability);
  const auto back = after(SetCache{});
  EXPECT_FALSE(back->run->with_cache());
  for (size_t i = 0; i < back->generation.candidates.size(); ++i)
    EXPECT_NEAR(trained->generation.candidates[i].probability, back->generation.candidates[i].probability,
                0.05)
        << "the trained weights were packed anew";
}

TEST_F(ProbeTest, SaysWhyTheWholePromptIsRun) {
  ASSERT_TRUE(after(SetCache{WeightStorage{}})->run->with_cache());
  const auto edited = after(SetEdits{{parse_edit("blocks.0.attn.hook_z:head=1:zero")}});
  EXPECT_FALSE(edited->run->with_cache());
  EXPECT_NE(last_notice(*edited).find("the whole prompt is run: edits"), std::string::npos);
  EXPECT_TRUE(after(SetEdits{})->run->with_cache()) << "without edits the cache is back";
  ModelConfig config = engine_->snapshot()->model.config;
  config.mask = AttentionMask::none;
  const auto open = after(ChangeConfig{config});
  EXPECT_FALSE(open->run->with_cache());
  EXPECT_NE(last_notice(*open).find("without a causal mask"), std::string::npos);
  const size_t notices = open->notices.size();
  EXPECT_EQ(after(SetPrompt{"The cat"})->notices.size(), notices) << "told once";
}

TEST_F(ProbeTest, ReadsTheLensBesideTheRun) {
  const auto none = after(ReadLens{});
  EXPECT_EQ(none->run->lens, nullptr);
  const auto small = after(ReadLens{true});
  ASSERT_NE(small->run->lens, nullptr);
  EXPECT_EQ(small->run->lens->extent, LogitLens::Extent::all);
  EXPECT_EQ(small->run->id, none->run->id) << "the run itself is not made again";
  // The last point's last column is what the candidates are.
  const LensCell& cell = small->run->lens->cells.back();
  EXPECT_EQ(cell.token, small->generation.candidates[0].token);
  EXPECT_EQ(after(ReadLens{})->run->lens->cells.size(), small->run->lens->cells.size())
      << "what is there may stay";
  EXPECT_EQ(after(SetPrompt{"The cat"})->run->lens, nullptr);
}

TEST_F(ProbeTest, ALargeLensComesBehindItsRun) {
  ModelConfig config = after(ReadLens{})->model.config;
  config.vocab_size = 60000;
  const auto run = after(ChangeConfig{config});
  ASSERT_GT(lens_work(*run->run), 1e8);
  ASSERT_LT(lens_work(*run->run), largest_lens);
  const auto read = after(ReadLens{true, 2});
  ASSERT_NE(read->run->lens, nullptr);
  EXPECT_EQ(read->run->lens->extent, LogitLens::Extent::all);
  EXPECT_EQ(read->run->id, run->run->id);
  EXPECT_EQ(read->run->lens->cells.back().token, read->generation.candidates[0].token);
}

TEST_F(ProbeTest, ARecordingThatFailsSaysSoAndEnds) {
  const auto good = after(SetCapture{});
  EXPECT_EQ(good->recording_failure, nullptr);
  SetCapture asked;
  asked.capture.watched = {{.glob = "blocks.0.ln1.hook_normalized"}};
  asked.last = Phase::forward;
  limit_->restart();
  limit_->fail_after = true;
  limit_->fail_at = 0;
  const auto failed = after(asked);
  ASSERT_NE(failed->recording_failure, nullptr);
  EXPECT_EQ(failed->recording_failure->asked, asked);
  EXPECT_EQ(failed->recording_failure->sentence, last_notice(*failed));
  EXPECT_FALSE(failed->recording_failure->sentence.empty());
  EXPECT_EQ(failed->run->id, good->run->id) << "the last good run stays";
  limit_->fail_at = -1;
  limit_->fail_after = false;
  const auto again = after(asked);
  EXPECT_EQ(again->recording_failure, nullptr);
  EXPECT_NE(again->run->id, good->run->id);
}

}  // namespace
}  // namespace headlight
