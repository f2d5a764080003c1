// What the Attention view prepares, against the definitions.
#include "app/views/attention_model.h"

#include <gtest/gtest.h>

#include "tests/app/views/recorded_runs.h"

namespace headlight::app {
namespace {

using headlight::test::many_configs;
using headlight::test::small_config;

constexpr std::array all_stages = {AttentionStage::raw, AttentionStage::scaled, AttentionStage::mask,
                                   AttentionStage::softmax};

/// Rows of even attention, causal or not.
std::vector<float> even_pattern(int64_t T, bool causal) {
  std::vector<float> a(static_cast<size_t>(T * T), 0.f);
  for (int64_t i = 0; i < T; ++i)
    for (int64_t j = 0; j < (causal ? i + 1 : T); ++j)
      a[static_cast<size_t>(i * T + j)] = 1.f / static_cast<float>(causal ? i + 1 : T);
  return a;
}

TEST(AttentionDetectors, FollowTheirDefinitions) {
  // a b c a b a: earlier occurrences for the queries 3 (→ 1), 4 (→ 2) and 5 (→ 4).
  const std::vector<int32_t> tokens = {7, 8, 9, 7, 8, 7};
  constexpr int64_t T = 6;
  std::vector<float> a(T * T, 0.f);
  const auto put = [&](int64_t i, int64_t j, float v) { a[static_cast<size_t>(i * T + j)] = v; };
  put(3, 1, 0.9f), put(4, 2, 0.6f), put(5, 4, 0.3f);
  put(1, 0, 0.5f), put(2, 1, 0.25f);
  const DetectorScores s = detector_scores({a.data(), T, T, T, 1}, tokens);
  EXPECT_NEAR(*s.induction, (0.9 + 0.6 + 0.3) / 3, 1e-6);
  EXPECT_NEAR(*s.previous, (0.5 + 0.25 + 0.3) / 5, 1e-6);
  EXPECT_NEAR(*s.first, 0.5 / 5, 1e-6);
}

TEST(AttentionDetectors, SayNothingWhereThereIsNoSuchKey) {
  const std::vector<float> one = {1.f};
  const std::vector<int32_t> single = {4}, different = {1, 2, 3};
  const DetectorScores s = detector_scores({one.data(), 1, 1, 1, 1}, single);
  EXPECT_FALSE(s.induction || s.previous || s.first);
  const auto even = even_pattern(3, true);
  const DetectorScores t = detector_scores({even.data(), 3, 3, 3, 1}, different);
  EXPECT_FALSE(t.induction);
  EXPECT_TRUE(t.previous && t.first);
  EXPECT_FALSE(stands_out(std::nullopt, 0.1));
}

TEST(AttentionDetectors, EvenScoresAreThoseOfEvenRows) {
  const std::vector<int32_t> tokens = {1, 2, 1, 1, 3, 2};
  for (const bool causal : {true, false}) {
    const auto a = even_pattern(6, causal);
    const DetectorScores measured = detector_scores({a.data(), 6, 6, 6, 1}, tokens),
                         even = even_scores(tokens, causal);
    EXPECT_NEAR(*measured.induction, *even.induction, 1e-6);
    EXPECT_NEAR(*measured.previous, *even.previous, 1e-6);
    EXPECT_NEAR(*measured.first, *even.first, 1e-6);
    EXPECT_FALSE(stands_out(measured.induction, even.induction));
  }
  EXPECT_TRUE(stands_out(0.6, 0.3));
}

TEST(AttentionEntropy, IsZeroForOneKeyAndLargestForEvenRows) {
  constexpr int64_t T = 9;
  for (const bool causal : {true, false}) {
    const auto a = even_pattern(T, causal);
    const auto entropy = row_entropy({a.data(), T, T, T, 1});
    for (int64_t i = 0; i < T; ++i)
      EXPECT_NEAR(entropy[static_cast<size_t>(i)], even_entropy(i, T, causal), 1e-5);
  }
  std::vector<float> one(T * T, 0.f);
  for (size_t i = 0; i < T; ++i) one[i * T] = 1.f;
  for (const double h : row_entropy({one.data(), T, T, T, 1})) EXPECT_EQ(h, 0.0);
}

TEST(AttentionLeak, IsTheMassOnTheFuture) {
  const auto leak = [](AttentionMask mask) {
    ModelConfig config = small_config();
    config.mask = mask;
    const auto run = recorded_run(config, 8);
    const AttentionGrid grid = prepare_attention(run, {}, AttentionStage::softmax);
    double most = 0;
    for (const HeadSummary& head : grid.heads) most = std::max(most, head.leak);
    EXPECT_EQ(grid.causal, mask == AttentionMask::causal);
    return most;
  };
  EXPECT_EQ(leak(AttentionMask::causal), 0.0);
  EXPECT_EQ(leak(AttentionMask::finite), 0.0) << "e^(−1e9) is 0 in 32 bits";
  EXPECT_GT(leak(AttentionMask::zero), 0.05);
  EXPECT_GT(leak(AttentionMask::none), 0.05);
  const auto even = even_pattern(4, false);
  EXPECT_NEAR(future_mass({even.data(), 4, 4, 4, 1}), (3 + 2 + 1 + 0) / 4.0 / 4, 1e-6);
}

TEST(AttentionGrid, ShowsEveryHeadAtEveryStageOfEveryModel) {
  for (const auto& [name, config] : many_configs()) {
    const auto run = recorded_run(config, 7);
    for (const AttentionStage stage : all_stages) {
      const AttentionGrid g = prepare_attention(run, {}, stage);
      ASSERT_EQ(g.thumbnails.size(), static_cast<size_t>(config.n_layer * config.n_head)) << name;
      EXPECT_EQ(g.heads.size(), g.thumbnails.size()) << name;
      EXPECT_TRUE(g.missing.empty()) << name << " " << g.missing;
      for (int64_t l = 0; l < g.L; ++l) {
        for (int64_t h = 0; h < g.H; ++h) {
          const size_t at = g.index(l, h);
          const auto values = run->values(stage_buffer(l, stage));
          const HeadPlane whole = whole_head(g, l, h);
          for (int64_t i = 0; i < g.T; ++i)
            for (int64_t j = 0; j < g.T; ++j)
              ASSERT_EQ(whole.plane.at(i, j), values[static_cast<size_t>(g.sources[at].offset(i, j))])
                  << name;
        }
      }
      EXPECT_EQ(g.is_signed, stage != AttentionStage::softmax);
      EXPECT_LT(g.style.high, 1e8f) << name << ": the fill of a finite mask is no score";
      const AttentionHead head = prepare_head(g, g.L - 1, g.H - 1);
      ASSERT_EQ(head.entropy.size(), 7u);
      for (int64_t i = 0; i < g.T; ++i) {
        const int64_t best = head.strongest[static_cast<size_t>(i)];
        for (int64_t j = 0; j < g.T; ++j) EXPECT_LE(head.pattern.at(i, j), head.pattern.at(i, best)) << name;
      }
    }
  }
}

TEST(AttentionGrid, StagesAreTheSameBufferWhereNothingHappens) {
  ModelConfig config = small_config();
  config.scale_attn_weights = false;
  const auto run = recorded_run(config, 6);
  const auto raw = prepare_attention(run, {}, AttentionStage::raw),
             scaled = prepare_attention(run, {}, AttentionStage::scaled);
  EXPECT_EQ(raw.sources[0].buffer, scaled.sources[0].buffer);
  EXPECT_EQ(scaled.sources[0].name, "blocks.0.attn.hook_scores_raw");
}

TEST(AttentionGrid, FindsTheStrongestHeadsThatStandOut) {
  const auto run = recorded_run(small_config(), 9);
  const AttentionGrid g = prepare_attention(run, {}, AttentionStage::softmax);
  for (const auto& [best, member, even] :
       {std::tuple(g.best_induction, &DetectorScores::induction, g.even.induction),
        std::tuple(g.best_previous, &DetectorScores::previous, g.even.previous)}) {
    double most = -1;
    for (const HeadSummary& head : g.heads) most = std::max(most, (head.scores.*member).value_or(-1));
    EXPECT_EQ(best.has_value(), even && most >= *even + 0.2);
    if (best) {
      EXPECT_EQ(*(g.heads[*best].scores.*member), most);
    }
  }
}

TEST(AttentionCompare, SubtractsCellByCell) {
  const auto a = recorded_run(small_config(), 8, 1), b = recorded_run(small_config(), 8, 2);
  const Pins pins{.cell = std::nullopt, .run = b, .compare = Compare::difference};
  for (const AttentionStage stage : all_stages) {
    const AttentionGrid g = prepare_attention(a, pins, stage);
    ASSERT_EQ(g.runs.minus, b);
    EXPECT_TRUE(g.is_signed);
    EXPECT_EQ(g.style.low, -g.style.high);
    const auto x = a->values(stage_buffer(1, stage)), y = b->values(stage_buffer(1, stage));
    const size_t at = g.index(1, 2);
    const HeadPlane whole = whole_head(g, 1, 2);
    for (int64_t i = 0; i < 8; ++i) {
      for (int64_t j = 0; j < 8; ++j) {
        const auto offset = static_cast<size_t>(g.sources[at].offset(i, j));
        const float expected = x[offset] == y[offset] ? 0.f : x[offset] - y[offset];
        ASSERT_EQ(whole.plane.at(i, j), expected);
        ASSERT_EQ(g.thumbnails[at].plane.at(i, j), expected);
      }
    }
    EXPECT_EQ(g.minus.size(), g.heads.size());
    EXPECT_EQ(prepare_head(g, 1, 2).entropy_minus.size(), 8u);
  }
}

TEST(AttentionCompare, ARunMinusItselfIsZeroEverywhere) {
  const auto a = recorded_run(small_config(), 5);
  const AttentionGrid g = prepare_attention(
      a, {.cell = std::nullopt, .run = a, .compare = Compare::difference}, AttentionStage::mask);
  for (const HeadPlane& p : g.thumbnails)
    for (int64_t i = 0; i < 5; ++i)
      for (int64_t j = 0; j < 5; ++j) EXPECT_EQ(p.plane.at(i, j), 0.f);
  EXPECT_EQ(g.style.high, 1.f);
}

TEST(AttentionCompare, SaysWhyModelsCannotBeSubtracted) {
  const auto a = recorded_run(small_config(), 8);
  ModelConfig one = small_config();
  one.n_head = 1;
  const auto other_heads = recorded_run(one, 8), shorter = recorded_run(small_config(), 5);
  const auto grid = [&](const std::shared_ptr<const headlight::Run>& b, Compare compare) {
    return prepare_attention(a, {.cell = std::nullopt, .run = b, .compare = compare},
                             AttentionStage::softmax);
  };
  EXPECT_EQ(grid(other_heads, Compare::difference).runs.obstacle, "attention.obstacle.heads");
  EXPECT_EQ(grid(shorter, Compare::difference).runs.obstacle, "attention.obstacle.tokens");
  EXPECT_EQ(grid(shorter, Compare::difference).runs.shown, a);
  // B alone is always possible, with its own heads and tokens.
  EXPECT_EQ(grid(other_heads, Compare::b).H, 1);
  EXPECT_EQ(grid(shorter, Compare::b).T, 5);
}

TEST(AttentionCompare, AAndBShareOneScale) {
  const auto a = recorded_run(small_config(), 8, 1), b = recorded_run(small_config(), 8, 2);
  const auto head = [&](Compare compare) {
    const AttentionGrid g =
        prepare_attention(a, {.cell = std::nullopt, .run = b, .compare = compare}, AttentionStage::raw);
    return std::pair(g.style.high, prepare_head(g, 0, 0).style.high);
  };
  EXPECT_EQ(head(Compare::a), head(Compare::b));
}

TEST(AttentionMissing, IsSaidAndNeverMadeUp) {
  Capture some;
  some.globs = {"blocks.*.hook_resid*"};
  const auto grid = [](const std::shared_ptr<const headlight::Run>& run) {
    return prepare_attention(run, {}, AttentionStage::softmax);
  };
  EXPECT_EQ(grid(recorded_run(small_config(), 6, 1, some)).missing, "attention.missing.capture");
  Capture small;
  small.budget_bytes = 64;
  EXPECT_EQ(grid(recorded_run(small_config(), 6, 1, small)).missing, "attention.missing.budget");
  const AttentionGrid fused = grid(recorded_run(small_config(), 6, 1, {}, true));
  EXPECT_EQ(fused.missing, "attention.missing.fused");
  EXPECT_TRUE(fused.heads.empty());
  EXPECT_FALSE(prepare_head(fused, 0, 0).has_weights());
  // One block recorded, the other not: what is there is shown.
  Capture half;
  half.globs = {"blocks.0.attn.*"};
  const AttentionGrid g = grid(recorded_run(small_config(), 6, 1, half));
  EXPECT_TRUE(g.missing.empty());
  EXPECT_FALSE(prepare_head(g, 0, 0).map.plane.empty());
  EXPECT_TRUE(prepare_head(g, 1, 0).map.plane.empty());
  EXPECT_TRUE(g.heads.empty()) << "scores of some heads would make a wrong strongest one";
}

TEST(AttentionLong, ThumbnailsArePooledAndKeepTheirPeaks) {
  constexpr int64_t T = 250;
  const auto run = recorded_run(long_config(T), T);
  for (const AttentionStage stage : {AttentionStage::softmax, AttentionStage::mask}) {
    const AttentionGrid g = prepare_attention(run, {}, stage);
    for (size_t at = 0; at < g.thumbnails.size(); ++at) {
      const auto l = static_cast<int64_t>(at) / g.H, h = static_cast<int64_t>(at) % g.H;
      const HeadPlane large = whole_head(g, l, h);
      const Plane &whole = large.plane, &small = g.thumbnails[at].plane;
      EXPECT_LE(small.rows, 96);
      EXPECT_NE(large.key, g.thumbnails[at].key);
      const auto largest = [](const Plane& p) {
        float most = 0;
        for (int64_t i = 0; i < p.rows; ++i)
          for (int64_t j = 0; j < p.cols; ++j)
            if (std::isfinite(p.at(i, j))) most = std::max(most, std::abs(p.at(i, j)));
        return most;
      };
      EXPECT_EQ(largest(whole), largest(small));
      if (stage == AttentionStage::mask) {
        EXPECT_EQ(small.at(0, small.cols - 1), -INFINITY);
      }
    }
  }
}

TEST(AttentionLong, ArcsAreNotMoreThanAPictureHolds) {
  constexpr int64_t T = 64;
  const auto run = recorded_run(long_config(T), T);
  const AttentionGrid g = prepare_attention(run, {}, AttentionStage::softmax);
  for (int64_t h = 0; h < g.H; ++h) {
    const AttentionHead head = prepare_head(g, 0, h);
    for (const auto& [first, count] : {std::pair<int64_t, int64_t>{0, T}, {40, 20}}) {
      const float threshold = arc_threshold(head, first, count);
      EXPECT_GE(threshold, 0.04f);
      int arcs = 0, light = 0;
      for (int64_t i = first; i < first + count; ++i) {
        for (int64_t j = first; j < first + count; ++j) {
          arcs += head.weight(i, j) >= threshold;
          light += head.weight(i, j) >= 0.04f;
        }
      }
      EXPECT_LE(arcs, 160);
      EXPECT_TRUE(threshold == 0.04f || light > 160) << "nothing is left out without need";
    }
  }
}

}  // namespace
}  // namespace headlight::app
