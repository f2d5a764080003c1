// What the Residual view prepares, against the run's own numbers; and the view in the window.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "app/views/residual_model.h"
#include "tests/app/views/fits.h"
#include "tests/app/views/live_window.h"
#include "tests/app/views/recorded_runs.h"

namespace headlight::app {
namespace {

using headlight::test::many_configs;
using headlight::test::small_config;

double norm_of(std::span<const float> values, int64_t row, int64_t C) {
  double sum = 0;
  for (int64_t c = 0; c < C; ++c)
    sum += std::pow(static_cast<double>(values[static_cast<size_t>(row * C + c)]), 2);
  return std::sqrt(sum);
}

double cosine_of(std::span<const float> a, int64_t i, std::span<const float> b, int64_t j, int64_t C) {
  double sum = 0;
  for (int64_t c = 0; c < C; ++c)
    sum += static_cast<double>(a[static_cast<size_t>(i * C + c)]) *
           static_cast<double>(b[static_cast<size_t>(j * C + c)]);
  return sum / (norm_of(a, i, C) * norm_of(b, j, C));
}

TEST(ResidualModel, MeasuresEveryPointOfEveryModel) {
  constexpr int64_t T = 7;
  for (const auto& [name, config] : many_configs()) {
    const auto run = recorded_run(config, T);
    const ResidualModel m = prepare_residual(*run);
    const int64_t C = config.n_embd;
    const bool mlp = config.mlp != MlpKind::none;
    EXPECT_EQ(m.P(), 1 + config.n_layer * (mlp ? 2 : 1)) << name;
    EXPECT_EQ(m.W(), config.n_layer * (mlp ? 2 : 1)) << name;
    EXPECT_TRUE(m.missing.empty()) << name;
    float largest = 0;
    for (int64_t p = 0; p < m.P(); ++p) {
      const auto values = run->values(m.points[static_cast<size_t>(p)].name);
      double pairs = 0;
      for (int64_t t = 0; t < T; ++t) {
        const float norm = m.norms[m.at(p, t)];
        largest = std::max(largest, norm);
        EXPECT_NEAR(norm, norm_of(values, t, C), 1e-4 * norm) << name;
        for (int64_t u = 0; u < t; ++u) pairs += cosine_of(values, t, values, u, C);
      }
      EXPECT_NEAR(m.similarity[static_cast<size_t>(p)], pairs / (T * (T - 1) / 2), 1e-5) << name;
    }
    EXPECT_EQ(m.largest_norm, largest);
    for (int64_t w = 0; w < m.W(); ++w) {
      const WrittenPart& part = m.parts[static_cast<size_t>(w)];
      const auto values = run->values(part.buffer);
      const auto stream = run->values(
          fmt::format("blocks.{}.{}", part.block, part.mlp ? "hook_resid_mid" : "hook_resid_pre"));
      for (int64_t t = 0; t < T; ++t) {
        EXPECT_NEAR(m.written[m.at(w, t)], norm_of(values, t, C), 1e-4) << name;
        EXPECT_NEAR(m.cosines[m.at(w, t)], cosine_of(values, t, stream, t, C), 1e-5) << name;
      }
    }
  }
}

TEST(ResidualModel, PointsAddUpAlongTheStream) {
  const auto run = recorded_run(small_config(), 5);
  const ResidualModel m = prepare_residual(*run);
  ASSERT_EQ(m.P(), 5);
  for (int64_t w = 0; w < m.W(); ++w) {
    const auto before = run->values(m.points[static_cast<size_t>(w)].buffer);
    const auto after = run->values(m.points[static_cast<size_t>(w + 1)].buffer);
    const auto written = run->values(m.parts[static_cast<size_t>(w)].buffer);
    for (size_t i = 0; i < before.size(); ++i) EXPECT_NEAR(after[i], before[i] + written[i], 1e-5);
  }
}

TEST(ResidualModel, NamesWhatWasNotRecorded) {
  Capture some;
  some.globs = {"blocks.0.hook_resid_pre", "blocks.1.*"};
  const ResidualModel m = prepare_residual(*recorded_run(small_config(), 5, 1, some));
  EXPECT_EQ(m.P(), 4) << "block 1's resid_pre is block 0's resid_post";
  EXPECT_EQ(m.missing.size(), 3u);
  EXPECT_EQ(m.missing.front(), "blocks.0.hook_resid_mid");
  EXPECT_EQ(m.lens, nullptr) << "nobody read it";
}

TEST(ResidualModel, ShowsTheLensThatTheRunBrings) {
  auto run = std::make_shared<headlight::Run>(*recorded_run(small_config(), 4));
  auto lens = std::make_shared<LogitLens>();
  lens->extent = LogitLens::Extent::all;
  lens->points = 5;
  lens->T = 4;
  lens->cells.resize(20);
  lens->cells[7].probability = 0.25f;
  run->lens = lens;
  const ResidualModel m = prepare_residual(*run);
  EXPECT_EQ(m.lens, lens);
  ASSERT_EQ(m.lens_colors.size(), 20u);
  EXPECT_EQ(m.lens_colors[m.at(1, 3)], 0.25f);
  lens->points = 3;
  EXPECT_EQ(prepare_residual(*run).lens, nullptr) << "read when fewer points were recorded";
}

TEST(ResidualModel, OneTokenHasNoPair) {
  const ResidualModel m = prepare_residual(*recorded_run(small_config(), 1));
  for (const double cosine : m.similarity) EXPECT_TRUE(std::isnan(cosine));
}

TEST(ResidualModel, VectorsOfLengthZeroHaveNoDirection) {
  const std::vector<float> x = {1, 0, 0, 0, 0, 2, 0, 0, 0};
  EXPECT_NEAR(mean_pairwise_cosine(x, 3, 3), 0, 1e-12) << "two of three count, at right angles";
  EXPECT_TRUE(std::isnan(mean_pairwise_cosine(std::span(x).last(6), 2, 3)));
  const std::vector<float> same = {1, 2, 2, 4, -1, -2};
  EXPECT_NEAR(mean_pairwise_cosine(same, 3, 2), (1 - 1 - 1) / 3.0, 1e-6);
}

class ResidualWindow : public testing::Test {
 protected:
  ResidualWindow() { window.run("view.residual"); }
  [[nodiscard]] const SessionState& state() { return window.app().session().state; }
  LiveWindow window;
};

TEST_F(ResidualWindow, AClickSelectsATokensColumn) {
  for (const char* id : {"residual.norms", "residual.written", "residual.cosines", "residual.lens"}) {
    window.click(id);
    EXPECT_FALSE(state().option("residual.token", "").empty()) << id;
    window.run("undo");
    EXPECT_TRUE(state().option("residual.token", "").empty()) << id;
  }
}

TEST_F(ResidualWindow, FollowsTheLastTokenWithACache) {
  window.run("prompt.cache fp32");
  EXPECT_TRUE(window.snapshot().run->with_cache());
  ASSERT_NE(window.snapshot().run->lens, nullptr);
  EXPECT_EQ(window.snapshot().run->lens->T, 1);
  for (const char* id : {"residual.norms", "residual.written", "residual.cosines", "residual.lens"})
    EXPECT_NE(window.control(id), nullptr) << id;
}

TEST_F(ResidualWindow, ComparesWithAPinnedRun) {
  window.click("residual.compare.difference");
  EXPECT_EQ(state().pins.compare, Compare::a) << "nothing is pinned yet";
  window.click("residual.compare.pin");
  window.run("switch.residual off");
  for (const char* id : {"residual.compare.difference", "residual.compare.b", "residual.compare.a"}) {
    window.click(id);
    EXPECT_NE(window.control("residual.norms"), nullptr) << id;
  }
  window.run("compare.difference");
  window.run("switch.mlp off");
  EXPECT_NE(window.control("residual.norms"), nullptr) << "A is shown where A − B is impossible";
}

TEST_F(ResidualWindow, DrawsEveryKindOfModel) {
  for (const char* command : {"switch.norm post", "switch.norm none", "switch.mlp off", "switch.residual off",
                              "switch.tie off", "prompt.set The", "generate.more 80", "switch.layers 12"}) {
    window.run(command);
    EXPECT_NE(window.control("residual.norms"), nullptr) << command;
    EXPECT_NE(window.control("residual.lens"), nullptr) << command;
  }
}

TEST_F(ResidualWindow, NarrowWindowsShowOnePictureAfterTheOther) {
  window.resize({1280, 720});
  window.frames(2);
  EXPECT_EQ(window.control("residual.lens"), nullptr);
  window.click("residual.pane.lens");
  EXPECT_NE(window.control("residual.lens"), nullptr);
  window.click("residual.pane.similarity");
  EXPECT_NE(window.control("residual.similarity"), nullptr);
}

TEST_F(ResidualWindow, EverythingStaysInsideItsRoomAndApart) {
  for (const ImVec2 size : {ImVec2{1280, 720}, ImVec2{1920, 1080}}) {
    for (const char* zoom : {"0.75", "1", "1.5", "2", "3"}) {
      for (const char* language : {"en", "vi"}) {
        for (const char* pane : {"stream", "lens"}) {
          window.resize(size);
          window.app().execute(std::string("zoom.set ") + zoom);
          window.app().execute(std::string("language.set ") + language);
          window.app().execute(std::string("option.set residual.pane ") + pane);
          window.frames(4);
          const std::string where =
              fmt::format("{}x{} at {} in {}, {}", size.x, size.y, zoom, language, pane);
          expect_inside_and_apart(window, "residual.", 4, where);
        }
      }
    }
  }
}

}  // namespace
}  // namespace headlight::app
