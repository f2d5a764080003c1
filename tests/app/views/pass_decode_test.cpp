// Passes with a cache on the stage: names on the axes, places without a token, what the views say of such a
// run; and matrices of which only some rows are held.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "app/views/attention_model.h"
#include "app/views/pass.h"
#include "app/views/pass_stage.h"
#include "core/base/error.h"
#include "tests/app/views/live_window.h"
#include "tests/app/views/pass_runs.h"

namespace headlight::app {
namespace {

using headlight::test::small_config;

const PassMatrix& matrix_of(const PassScene& scene, const headlight::Run& run, std::string_view name) {
  for (const PassMatrix& m : scene.matrices)
    if (m.cells.buffer == run.program().require(name)) return m;
  throw std::runtime_error("no matrix " + std::string(name));
}

TEST(PassDecode, PlacesWithoutATokenAreNotValues) {
  const auto run = cached_run(small_config(), 6);
  ASSERT_EQ(cache_capacity(*run), 8);
  const PassScene append = scene_of(run, "blocks.0.attn.hook_k_cache");
  const PassMatrix& past = matrix_of(append, *run, "blocks.0.attn.past_k");
  const PassMatrix& cache = matrix_of(append, *run, "blocks.0.attn.hook_k_cache");
  EXPECT_EQ(past.row_axis, PassAxis::places);
  EXPECT_EQ(past.used_rows, 5);
  EXPECT_EQ(cache.used_rows, 6);
  EXPECT_EQ(cache.used_cols, -1);
  const PassScene scores = scene_of(run, "blocks.0.attn.hook_scores_raw");
  const PassMatrix& keys = scores.matrices[static_cast<size_t>(scores.top)];
  EXPECT_TRUE(keys.transposed);
  EXPECT_EQ(keys.used_cols, 6);
  EXPECT_EQ(scores.matrices[static_cast<size_t>(scores.corner)].used_cols, 6);
  EXPECT_EQ(scores.matrices[static_cast<size_t>(scores.corner)].row_axis, PassAxis::tokens);

  PassLabels labels;
  labels.tokens = {"last"};
  labels.places = {"a", "b", "c", "d", "e", "last", "", ""};
  EXPECT_EQ(labels.of_rows(past).size(), 5u);
  EXPECT_EQ(labels.of_rows(cache).size(), 6u);
  EXPECT_EQ(labels.of_columns(keys).back(), "last");
  EXPECT_EQ(labels.of_rows(scores.matrices[static_cast<size_t>(scores.corner)]).size(), 1u);
}

TEST(PassDecode, WhatLiesInFreePlacesDoesNotSetTheScale) {
  auto run = std::make_shared<headlight::Run>(*cached_run(small_config(), 6));
  const BufferId id = run->program().require("blocks.0.attn.hook_k_cache");
  const PassScene before = scene_of(run, "blocks.0.attn.hook_k_cache");
  auto stale = std::make_shared<Recorded>(*run->recorded[static_cast<size_t>(id)]);
  const int64_t D = run->program().buffer(id).shape.last();
  for (int64_t d = 0; d < D; ++d) stale->values[static_cast<size_t>(7 * D + d)] = 1e6F;
  run->recorded[static_cast<size_t>(id)] = stale;
  const PassScene after = scene_of(run, "blocks.0.attn.hook_k_cache");
  EXPECT_EQ(matrix_of(after, *run, "blocks.0.attn.hook_k_cache").shown.high,
            matrix_of(before, *run, "blocks.0.attn.hook_k_cache").shown.high);
}

TEST(PassDecode, EveryCellOfEveryStepIsExplained) {
  for (const bool fused : {false, true}) {
    for (const char* weights : {"fp32", "bf16", "int8"}) {
      const auto run = cached_run(small_config(), 7, fused, parse_weight_storage(weights));
      for (const Step& step : run->program().steps()) {
        for (const BufferId id : step.outputs) {
          if (id == no_buffer || !run->has(id)) continue;
          const auto values = run->values(id);
          for (const int64_t offset : {int64_t{0}, static_cast<int64_t>(values.size()) - 1}) {
            const double real = static_cast<double>(values[static_cast<size_t>(offset)]);
            const double told = run->explain(id, offset).result;
            if (std::isinf(real)) {
              EXPECT_EQ(told, real) << step.name;
            } else {
              EXPECT_NEAR(told, real, 1e-4 * std::max(1.0, std::abs(real))) << step.name << " " << weights;
            }
          }
        }
      }
    }
  }
}

TEST(PassDecode, LinesComeFromTheCache) {
  const auto run = cached_run(small_config(), 6);
  const PassScene scene = scene_of(run, "blocks.1.attn.hook_z", 2);
  const PassMatrix& corner = scene.matrices[static_cast<size_t>(scene.corner)];
  const CellRef cell{corner.cells.buffer, corner.offset(0, 1)};
  const PassFlows flows = pass_flows(scene, cell, run->explain(cell.buffer, cell.offset), 24);
  ASSERT_TRUE(flows.to);
  EXPECT_EQ(flows.lines.size(), 12u) << "six keys: a weight and a value each";
  for (const PassFlow& line : flows.lines)
    EXPECT_LT(line.from.matrix == scene.left ? line.from.col : line.from.row, 6)
        << "no line from a free place";
}

TEST(PassDecode, TheCaptionNamesTheTokenInItsPlace) {
  const Strings strings;
  const auto run = cached_run(small_config(), 6);
  const std::vector<std::string> tokens = {" a", " b", " c", " d", " e", " last"};
  const PassScene scene = scene_of(run, "blocks.0.attn.hook_pattern");
  const PassCaption caption = pass_caption(strings, Language::english, scene, *run, tokens, 0, nullptr);
  EXPECT_NE(caption.place.find("Last token, with a cache"), std::string::npos) << caption.place;
  EXPECT_NE(caption.place.find("row 5, “last”, gives"), std::string::npos) << caption.place;
  const auto top = top_of_row(scene, run->text(), 0, 5);
  ASSERT_TRUE(top);
  EXPECT_LT(top->col, 6);
}

TEST(PassDecode, TheAttentionViewHasOneRow) {
  const auto run = cached_run(small_config(), 6);
  for (const AttentionStage stage :
       {AttentionStage::raw, AttentionStage::scaled, AttentionStage::mask, AttentionStage::softmax}) {
    const AttentionGrid grid = prepare_attention(run, {}, stage);
    EXPECT_EQ(grid.T, 6);
    EXPECT_EQ(grid.first, 5);
    EXPECT_TRUE(grid.heads.empty()) << "means over queries, of which there is one";
    EXPECT_FALSE(grid.style.hatch_future);
    EXPECT_TRUE(grid.missing.empty());
    for (const HeadPlane& thumbnail : grid.thumbnails) {
      EXPECT_EQ(thumbnail.plane.rows, 1);
      EXPECT_EQ(thumbnail.plane.cols, 6);
    }
    const AttentionHead head = prepare_head(grid, 1, 2);
    const auto pattern = run->values("blocks.1.attn.hook_pattern");
    double sum = 0;
    for (int64_t j = 0; j < 6; ++j) {
      EXPECT_EQ(head.weight(5, j), pattern[static_cast<size_t>(2 * 8 + j)]);
      EXPECT_EQ(head.weight(2, j), 0) << "asked in an earlier pass";
      sum += static_cast<double>(head.weight(5, j));
    }
    EXPECT_NEAR(sum, 1, 1e-6);
    EXPECT_EQ(head.map.plane.cols, 6);
    ASSERT_EQ(head.entropy.size(), 1u);
    (void)arc_threshold(head, 0, 6);
  }
  Pins pins;
  pins.run = cached_run(small_config(), 5);
  pins.compare = Compare::difference;
  EXPECT_FALSE(compare_attention(run, pins).obstacle.empty());
  ModelConfig hot = small_config();
  hot.temperature = 3;
  pins.run = cached_run(hot, 6);
  const AttentionGrid grid = prepare_attention(run, pins, AttentionStage::softmax);
  EXPECT_TRUE(grid.runs.obstacle.empty());
  const AttentionHead head = prepare_head(grid, 0, 0);
  EXPECT_NEAR(head.weight(5, 3),
              std::abs(run->values("blocks.0.attn.hook_pattern")[3] -
                       pins.run->values("blocks.0.attn.hook_pattern")[3]),
              1e-7);
}

class PassDecodeWindow : public testing::Test {
 protected:
  [[nodiscard]] bool cached() { return window.snapshot().run->with_cache(); }
  LiveWindow window;
};

TEST_F(PassDecodeWindow, TheSwitchBesideThePromptRunsTheLastToken) {
  EXPECT_FALSE(cached());
  const size_t chips = window.snapshot().prompt_tokens.size();
  window.click("prompt.last");
  EXPECT_TRUE(cached());
  EXPECT_NE(window.control(fmt::format("chip.{}", chips - 1)), nullptr) << "the whole text stays in sight";
  window.run("undo");
  EXPECT_FALSE(cached());
  window.run("redo");
  EXPECT_TRUE(cached());
  window.click("prompt.whole");
  EXPECT_FALSE(cached());
  window.run("prompt.cache int8");
  EXPECT_TRUE(cached());
  window.run("model.open nano");
  EXPECT_FALSE(cached()) << "another model starts with the whole prompt";
  EXPECT_THROW(window.run("prompt.cache int3"), Error);
  window.run("switch.mask none");
  EXPECT_THROW(window.run("prompt.cache fp32"), Error) << "there can be no cache";
}

TEST_F(PassDecodeWindow, EveryStepIsDrawnWithoutCuttingText) {
  for (const char* weights : {"fp32", "int8"}) {
    window.run(std::string("prompt.cache ") + weights);
    for (const ImVec2 size : {ImVec2{1920, 1080}, ImVec2{1280, 720}}) {
      for (const char* language : {"en", "vi"}) {
        window.resize(size);
        window.run(std::string("language.set ") + language);
        const auto run = window.snapshot().run;
        for (const Step& step : run->program().steps()) {
          window.app().execute("step.go " + step.name);
          window.frames(2);
          Rect stage;
          for (const Control& control : window.app().controls().all())
            if (control.id.starts_with("pass.")) stage = control.clip;
          ASSERT_FALSE(stage.empty()) << step.name;
          for (const CutText& cut : window.app().controls().cut())
            EXPECT_FALSE(stage.overlaps(cut.rect)) << step.name << ": “" << cut.text << "” is cut";
        }
      }
    }
  }
}

TEST_F(PassDecodeWindow, AttentionFollowsTheLastToken) {
  window.run("view.attention");
  window.run("prompt.cache fp32");
  for (const char* stage : {"raw", "scaled", "mask", "softmax"}) {
    window.run(std::string("attention.stage ") + stage);
    EXPECT_NE(window.control("attention.matrix"), nullptr) << stage;
    EXPECT_NE(window.control("attention.row"), nullptr) << stage;
    EXPECT_EQ(window.control("attention.entropy"), nullptr) << stage;
  }
  window.click("attention.row");
  const auto& cell = window.app().session().state.pins.cell;
  ASSERT_TRUE(cell);
  EXPECT_TRUE(cell->buffer.ends_with("hook_pattern"));
  window.click("attention.matrix");
  EXPECT_FALSE(window.app().session().state.pins.cell) << "a click on the pinned cell lets it go";
  window.run("generate.more 30");
  EXPECT_NE(window.control("attention.matrix"), nullptr);
}

TEST(PassRows, OfALargeMatrixTheHeldRowsAreShown) {
  Capture capture;
  capture.watched = {{.glob = "unembed.hook_out", .rows = 3, .last = 5, .only = true},
                     {.glob = "probs", .rows = 3, .last = 5, .only = true}};
  const auto run = whole_run(small_config(), 7, {}, capture), all = whole_run(small_config(), 7);
  const PassScene scene = scene_of(run, "unembed.hook_out");
  ASSERT_EQ(scene.layout, PassScene::Layout::product);
  EXPECT_TRUE(has_note(scene, "pass.note.rows"));
  const PassMatrix& left = scene.matrices[static_cast<size_t>(scene.left)];
  const PassMatrix& top = scene.matrices[static_cast<size_t>(scene.top)];
  const PassMatrix& corner = scene.matrices[static_cast<size_t>(scene.corner)];
  EXPECT_TRUE(corner.windowed());
  EXPECT_EQ(corner.rows(), 3);
  EXPECT_EQ(corner.first_row, 2);
  EXPECT_EQ(left.rows(), 3) << "the rows that made them";
  EXPECT_EQ(left.first_row, 2);
  const auto logits = all->values("unembed.hook_out");
  for (int64_t r = 0; r < 3; ++r)
    for (int64_t c = 0; c < corner.cols(); ++c) {
      EXPECT_EQ(corner.offset(r, c), (2 + r) * corner.cols() + c);
      EXPECT_EQ(corner.shown.plane.at(r, c), logits[static_cast<size_t>(corner.offset(r, c))]);
      double sum = 0;
      for (int64_t k = 0; k < left.cols(); ++k)
        sum += static_cast<double>(left.shown.plane.at(r, k)) * static_cast<double>(top.shown.plane.at(k, c));
      EXPECT_NEAR(static_cast<double>(corner.shown.plane.at(r, c)), sum, 1e-4);
    }
  EXPECT_FALSE(scene.find({corner.cells.buffer, corner.offset(0, 0) - 1})) << "a row that is not held";

  const PassScene loss = scene_of(run, "loss");
  ASSERT_EQ(loss.losses.size(), 3u);
  EXPECT_EQ(loss.losses[0].position, 2);
  for (const BufferPlane::Cell& mark : loss.matrices[0].marks)
    EXPECT_EQ(mark.col, run->targets[static_cast<size_t>(2 + mark.row)]);

  // A sum over rows that are missing is no product of what is held.
  Capture gradient;
  gradient.watched = {{.glob = "unembed.hook_out_grad", .rows = 3, .only = true}};
  const auto other = whole_run(small_config(), 7, {}, gradient);
  for (int s = 0; s < static_cast<int>(other->program().steps().size()); ++s) {
    const PassScene any = scene_of(other, s);
    const bool windowed = std::any_of(any.matrices.begin(), any.matrices.end(),
                                      [](const PassMatrix& m) { return m.windowed() && m.transposed; });
    if (windowed) {
      EXPECT_EQ(any.layout, PassScene::Layout::chain) << any.kind;
    }
  }
}

}  // namespace
}  // namespace headlight::app
