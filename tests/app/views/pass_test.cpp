// The Pass view's scenes: every step of every kind of program is prepared, its cells are the run's own,
// products multiply out, lines come from the cells that made the result, captions and notes say what is so.
#include "app/views/pass_model.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "app/i18n/strings.h"
#include "app/views/pass.h"
#include "app/views/pass_names.h"
#include "app/views/pass_recipe.h"
#include "tests/app/views/pass_runs.h"

namespace headlight::app {
namespace {

using headlight::test::cpu;
using headlight::test::small_config;

TEST(Pass, EveryOpHasARecipeAndItsTexts) {
  const Strings strings;
  std::set<std::string, std::less<>> kinds;
  for (const auto& run : all_runs())
    for (const Step& step : run->program().steps()) kinds.emplace(step.op->kind());
  EXPECT_GE(kinds.size(), 40U);
  for (const std::string& kind : kinds) EXPECT_NE(find_pass_recipe(kind), nullptr) << kind;
  for (const PassRecipe& recipe : pass_recipes()) {
    EXPECT_TRUE(kinds.contains(recipe.kind)) << recipe.kind << " is a recipe for no op";
    for (const Language language : {Language::english, Language::vietnamese})
      for (const std::string_view what : {"chip", "detail", "op"})
        EXPECT_TRUE(strings.has(language, fmt::format("pass.{}.{}", what, recipe.kind)));
  }
}

TEST(Pass, EveryMatrixHasATitleInBothLanguages) {
  const Strings strings;
  std::set<std::string> keys;
  for_each_scene([&](const Recording&, const PassScene& scene) {
    for (const PassMatrix& m : scene.matrices) keys.insert(m.title);
    for (const PassNote& note : scene.notes) keys.insert(note.key);
  });
  for (const std::string& key : keys) {
    EXPECT_TRUE(strings.has(Language::english, key)) << key;
    EXPECT_TRUE(strings.has(Language::vietnamese, key)) << key;
  }
}

TEST(Pass, EveryStepShowsWhatItWrites) {
  for_each_scene([](const Recording& run, const PassScene& scene) {
    const Step& step = run.program().step(scene.step);
    EXPECT_FALSE(scene.equation.empty());
    if (scene.layout == PassScene::Layout::norms) {
      EXPECT_FALSE(scene.norms.empty());
      return;
    }
    if (scene.layout == PassScene::Layout::loss) {
      EXPECT_EQ(static_cast<int64_t>(scene.losses.size()), run.program().T());
      return;
    }
    const bool shown = std::any_of(scene.matrices.begin(), scene.matrices.end(), [&](const PassMatrix& m) {
      return m.cells.buffer == step.outputs[0] && m.part == PassMatrix::Part::output;
    });
    EXPECT_TRUE(shown);
  });
}

TEST(Pass, DrawnCellsAreTheBuffersOwn) {
  for_each_scene([](const Recording& run, const PassScene& scene) {
    for (const PassMatrix& m : scene.matrices) {
      ASSERT_EQ(m.missing, PassMatrix::Missing::none) << m.detail;
      if (m.derived) continue;
      const auto values = run.values(m.cells.buffer);
      for (int64_t r = 0; r < m.rows(); ++r)
        for (int64_t c = 0; c < m.cols(); ++c) {
          const int64_t offset = m.offset(r, c);
          ASSERT_LT(static_cast<size_t>(offset), values.size());
          const float drawn = m.shown.plane.at(r, c), real = values[static_cast<size_t>(offset)];
          ASSERT_TRUE(drawn == real || (std::isnan(drawn) && std::isnan(real)));
          const auto back = m.cell(offset);
          ASSERT_TRUE(back && back->row == r && back->col == c) << m.detail;
        }
    }
  });
}

/// What rounding row r of X to 8 bits can change in its product with column c.
double rounding_of_row(const PassMatrix& x, const PassMatrix& w, int64_t r, int64_t c) {
  double largest = 0, weights = 0;
  for (int64_t k = 0; k < x.cols(); ++k) {
    largest = std::max(largest, std::abs(static_cast<double>(x.shown.plane.at(r, k))));
    weights += std::abs(static_cast<double>(w.shown.plane.at(k, c)));
  }
  return largest / 254 * weights;
}

TEST(Pass, ProductsMultiplyOutAsDrawn) {
  int products = 0;
  for_each_scene([&](const Recording&, const PassScene& scene) {
    if (scene.layout != PassScene::Layout::product) return;
    ++products;
    const PassMatrix& left = scene.matrices[static_cast<size_t>(scene.left)];
    const PassMatrix& top = scene.matrices[static_cast<size_t>(scene.top)];
    const PassMatrix& corner = scene.matrices[static_cast<size_t>(scene.corner)];
    ASSERT_EQ(left.rows(), corner.rows());
    ASSERT_EQ(top.cols(), corner.cols());
    ASSERT_EQ(left.cols(), top.rows());
    const PassMatrix* bias = nullptr;
    for (const PassMatrix& m : scene.matrices)
      if (m.host == scene.corner) bias = &m;
    for (int64_t r = 0; r < corner.rows(); ++r)
      for (int64_t c = 0; c < corner.cols(); ++c) {
        double sum = bias != nullptr ? static_cast<double>(bias->shown.plane.at(0, c)) : 0.0, size = 1;
        for (int64_t k = 0; k < left.cols(); ++k) {
          const double term =
              static_cast<double>(left.shown.plane.at(r, k)) * static_cast<double>(top.shown.plane.at(k, c));
          sum += term;
          size += std::abs(term);
        }
        // A value that fits bfloat16 may have been rounded to it: 8 bits.
        const float shown = corner.shown.plane.at(r, c);
        const bool sixteen = shown == kernels::to_float(kernels::from_float<kernels::bfloat16>(shown));
        double rounding = sixteen ? std::abs(sum) / 256 : 0;
        // X rounded to 127 steps of its largest cell, half a step off at most.
        if (has_note(scene, "pass.note.rounded")) rounding = rounding_of_row(left, top, r, c);
        ASSERT_NEAR(static_cast<double>(shown), sum, 1e-5 * size + rounding) << scene.kind;
      }
  });
  EXPECT_GT(products, 100);
}

TEST(Pass, LinesComeFromTheRowAndTheColumn) {
  const auto run = whole_run(small_config());
  const PassScene scene = scene_of(run, "blocks.1.attn.hook_scores_raw", 2);
  const PassMatrix& corner = scene.matrices[static_cast<size_t>(scene.corner)];
  const CellRef cell{corner.cells.buffer, corner.offset(5, 3)};
  const PassFlows flows = pass_flows(scene, cell, run->explain(cell.buffer, cell.offset), 24);
  ASSERT_TRUE(flows.to);
  EXPECT_EQ(flows.to->matrix, scene.corner);
  EXPECT_EQ(flows.to->row, 5);
  EXPECT_EQ(flows.to->col, 3);
  ASSERT_EQ(flows.boxes.size(), 2U);
  for (const PassFlows::Box& box : flows.boxes) {
    const bool is_left = box.matrix == scene.left;
    EXPECT_EQ(is_left ? box.row0 : box.col0, is_left ? 5 : 3);
    EXPECT_EQ(is_left ? box.row1 : box.col1, is_left ? 6 : 4);
  }
  EXPECT_EQ(flows.lines.size(), 8U);  // D = 4 terms, a query's and a key's cell each
  for (size_t i = 1; i < flows.lines.size(); ++i)
    EXPECT_GE(std::abs(flows.lines[i - 1].value), std::abs(flows.lines[i].value));
  EXPECT_FLOAT_EQ(flows.lines[0].weight, 1.f);
}

TEST(Pass, LinesAreLimitedAndStayOnTheShownHead) {
  const auto run = whole_run(small_config());
  const PassScene scene = scene_of(run, "blocks.0.mlp.hook_pre");
  const PassMatrix& corner = scene.matrices[static_cast<size_t>(scene.corner)];
  const CellRef cell{corner.cells.buffer, corner.offset(1, 2)};
  EXPECT_EQ(pass_flows(scene, cell, run->explain(cell.buffer, cell.offset), 5).lines.size(), 5U);

  const PassScene head0 = scene_of(run, "blocks.0.attn.hook_pattern", 0);
  const PassScene head1 = scene_of(run, "blocks.0.attn.hook_pattern", 1);
  const PassMatrix& pattern = head1.matrices[static_cast<size_t>(head1.pattern)];
  const CellRef other{pattern.cells.buffer, pattern.offset(4, 2)};
  EXPECT_TRUE(head1.find(other));
  EXPECT_FALSE(head0.find(other));
}

TEST(Pass, ASoftmaxRowEndsAtTheDiagonal) {
  const auto run = whole_run(small_config());
  const PassScene scene = scene_of(run, "blocks.0.attn.hook_pattern");
  const PassMatrix& pattern = scene.matrices[static_cast<size_t>(scene.pattern)];
  const CellRef cell{pattern.cells.buffer, pattern.offset(4, 2)};
  const PassFlows flows = pass_flows(scene, cell, run->explain(cell.buffer, cell.offset), 24);
  ASSERT_EQ(flows.boxes.size(), 1U);
  EXPECT_EQ(flows.boxes[0].row0, 4);
  EXPECT_EQ(flows.boxes[0].col0, 0);
  EXPECT_EQ(flows.boxes[0].col1, 5);  // −∞ beyond it contributes nothing
}

TEST(Pass, TheNormsGradientIsBoxedNotBundled) {
  const auto run = whole_run(small_config());
  const PassScene scene = scene_of(run, "blocks.0.hook_resid_mid_grad@ln2");
  ASSERT_EQ(scene.kind, "layernorm_grad");
  const BufferId out = run->program().require("blocks.0.hook_resid_mid_grad@ln2");
  const PassFlows flows = pass_flows(scene, {out, 17}, run->explain(out, 17), 24);
  EXPECT_LE(flows.lines.size(), 3U);
  EXPECT_FALSE(flows.boxes.empty());
}

TEST(Pass, ResidualAddsAndUpdatesShareOneScale) {
  const auto run = whole_run(small_config());
  const PassScene add = scene_of(run, "blocks.0.hook_resid_mid");
  ASSERT_EQ(add.matrices.size(), 3U);
  for (const PassMatrix& m : add.matrices) {
    EXPECT_EQ(m.shown.low, add.matrices[0].shown.low);
    EXPECT_EQ(m.shown.high, add.matrices[0].shown.high);
  }
  const PassScene update = scene_of(run, "h.0.attn.c_attn.weight_new");
  ASSERT_EQ(update.matrices.size(), 4U);
  EXPECT_EQ(update.matrices[0].shown.high, update.matrices[2].shown.high);
  const PassMatrix& change = update.matrices[3];
  EXPECT_TRUE(change.derived);
  EXPECT_FLOAT_EQ(change.shown.plane.at(2, 3),
                  update.matrices[2].shown.plane.at(2, 3) - update.matrices[0].shown.plane.at(2, 3));
  double squares = 0;
  for (const float w : run->values("h.0.attn.c_attn.weight"))
    squares += static_cast<double>(w) * static_cast<double>(w);
  ASSERT_TRUE(update.matrices[0].norm);
  EXPECT_NEAR(*update.matrices[0].norm, std::sqrt(squares), 1e-4);
}

TEST(Pass, LossesAreTheRunsOwn) {
  for (const bool fused : {false, true}) {
    const auto run = whole_run(small_config(), 9, {.fused = fused});
    const PassScene scene = scene_of(run, "loss");
    const auto by_token = run->values("loss_per_token");
    double sum = 0;
    int counted = 0;
    for (const PassLoss& loss : scene.losses) {
      const auto at = static_cast<size_t>(loss.position);
      EXPECT_EQ(loss.target, run->targets[at]);
      if (loss.target < 0) {
        EXPECT_TRUE(std::isnan(loss.loss));
        continue;
      }
      EXPECT_FLOAT_EQ(static_cast<float>(loss.loss), by_token[at]);
      EXPECT_NEAR(loss.probability, std::exp(-loss.loss), 1e-9);
      sum += loss.loss;
      ++counted;
    }
    EXPECT_NEAR(scene.loss, sum / counted, 1e-5);
    EXPECT_NEAR(scene.uniform_loss, std::log(13.0), 1e-9);
    EXPECT_EQ(scene.matrices[0].marks.size(), static_cast<size_t>(counted));
  }
}

TEST(Pass, NormsAreSortedAndMakeTheWholeNorm) {
  const auto run = whole_run(small_config());
  const PassScene scene = scene_of(run, "grad_norm");
  double squares = 0;
  for (size_t i = 0; i < scene.norms.size(); ++i) {
    squares += scene.norms[i].norm * scene.norms[i].norm;
    if (i > 0) {
      EXPECT_LE(scene.norms[i].norm, scene.norms[i - 1].norm);
    }
    EXPECT_TRUE(run->program().find(scene.norms[i].name)) << scene.norms[i].name;
  }
  EXPECT_NEAR(scene.norm, std::sqrt(squares), 1e-4 * scene.norm);
  EXPECT_NEAR(scene.clip, std::min(1.0, 0.5 / scene.norm), 1e-5);
}

TEST(Pass, TellsWhatFollowedTheSameTokenEarlier) {
  auto run = std::make_shared<Recording>(*whole_run(small_config()));
  PassScene scene = scene_of(run, "blocks.0.attn.hook_pattern");
  const auto top = top_of_row(scene, run->tokens, 5);
  ASSERT_TRUE(top);
  const PassMatrix& m = scene.matrices[static_cast<size_t>(scene.pattern)];
  for (int64_t j = 0; j <= 5; ++j) EXPECT_LE(static_cast<double>(m.shown.plane.at(5, j)), top->value);
  // The same picture on a prompt where the token before the favourite is the row's own.
  std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 6, 7};
  EXPECT_FALSE(top_of_row(scene, tokens, 5)->earlier);
  if (top->col > 0) {
    tokens[static_cast<size_t>(top->col - 1)] = tokens[5];
    EXPECT_EQ(top_of_row(scene, tokens, 5)->earlier.has_value(), top->col - 1 < 5);
  }
}

TEST(Pass, CaptionsAreWholeSentencesInBothLanguages) {
  const Strings strings;
  std::vector<std::string> tokens(7, " cat");
  for_each_scene([&](const Recording& run, const PassScene& scene) {
    for (const Language language : {Language::english, Language::vietnamese}) {
      const int64_t row = run.with_cache() ? 0 : 3;
      const PassCaption caption = pass_caption(strings, language, scene, run, tokens, row, nullptr);
      EXPECT_NE(caption.place.find("cat"), std::string::npos) << caption.place;
      EXPECT_FALSE(caption.sentence.starts_with("pass.")) << caption.sentence;
      EXPECT_TRUE(caption.sentence.ends_with(".") || caption.sentence.ends_with("."));
      for (const std::string& text : {caption.place, caption.sentence})
        EXPECT_EQ(text.find('{'), std::string::npos) << text;
      for (const std::string& note : caption.notes) EXPECT_EQ(note.find('{'), std::string::npos) << note;
    }
  });
}

TEST(Pass, SaysWhatIsSwitchedOffFusedOrEdited) {
  ModelConfig config = small_config();
  config.scale_attn_weights = false;
  config.residual = false;
  config.mask = AttentionMask::zero;
  const auto run = whole_run(config);
  const PassScene mask = scene_of(run, "blocks.0.attn.hook_attn_scores");
  EXPECT_TRUE(has_note(mask, "pass.note.no_scale"));
  EXPECT_TRUE(has_note(mask, "pass.note.zero_mask"));
  // An alias says so: the raw scores stand for the scaled ones.
  EXPECT_NE(mask.matrices[0].detail.find("scores_scaled"), std::string::npos) << mask.matrices[0].detail;
  EXPECT_TRUE(has_note(scene_of(run, "blocks.0.hook_attn_out"), "pass.note.no_residual"));
  EXPECT_TRUE(has_note(scene_of(whole_run(small_config(), 7, {.fused = true}), "blocks.0.attn.hook_lse"),
                       "pass.note.fused"));

  auto edited = std::make_shared<Recording>(*whole_run(small_config()));
  edited->edits.push_back(parse_edit("blocks.0.attn.hook_z:head=1:zero"));
  EXPECT_TRUE(has_note(scene_of(edited, "blocks.0.attn.hook_z"), "pass.note.edited"));
  EXPECT_FALSE(has_note(scene_of(edited, "blocks.1.attn.hook_z"), "pass.note.edited"));
  // Where the backward pass computes it again, the edit acts again.
  auto twice = std::make_shared<Recording>(*whole_run(small_config(), 7, {.checkpointing = true}));
  twice->edits = edited->edits;
  EXPECT_TRUE(has_note(scene_of(twice, "blocks.0.attn.hook_z@again"), "pass.note.edited"));
}

TEST(Pass, TheFiniteMaskDoesNotFlattenTheScale) {
  ModelConfig config = small_config();
  config.mask = AttentionMask::finite;
  const PassScene scene = scene_of(whole_run(config), "blocks.0.attn.hook_attn_scores");
  for (const PassMatrix& m : scene.matrices) EXPECT_LT(m.shown.high, 1e4f);
}

TEST(Pass, MissingBuffersAreSaidNotDrawn) {
  Capture capture;
  capture.globs = {"blocks.0.attn.hook_pattern"};
  const auto run = whole_run(small_config(), 7, {}, capture);
  const PassScene scene = scene_of(run, "blocks.0.attn.hook_pattern");
  EXPECT_EQ(scene.matrices[0].missing, PassMatrix::Missing::not_captured);
  EXPECT_EQ(scene.matrices[1].missing, PassMatrix::Missing::none);
  capture = {};
  capture.budget_bytes = 2000;
  const PassScene small = scene_of(whole_run(small_config(), 7, {}, capture), "blocks.1.mlp.hook_post");
  EXPECT_EQ(small.matrices[1].missing, PassMatrix::Missing::over_budget);
}

TEST(Pass, ComparesWithThePinnedRunOnOneScale) {
  const auto run = whole_run(small_config());
  ModelConfig hot = small_config();
  hot.temperature = 3;
  Pins pins;
  pins.run = whole_run(hot);
  const int step = run->program().buffer(run->program().require("blocks.0.attn.hook_pattern")).writer;
  const PassScene a = scene_of(run, step, 0, pins);
  pins.compare = Compare::b;
  const PassScene b = scene_of(run, step, 0, pins);
  pins.compare = Compare::difference;
  const PassScene d = scene_of(run, step, 0, pins);
  EXPECT_EQ(a.matrices[1].shown.high, b.matrices[1].shown.high);
  EXPECT_TRUE(d.matrices[1].shown.difference);
  EXPECT_FLOAT_EQ(d.matrices[1].shown.plane.at(4, 1),
                  a.matrices[1].shown.plane.at(4, 1) - b.matrices[1].shown.plane.at(4, 1));
  EXPECT_FALSE(top_of_row(d, run->tokens, 4));
}

TEST(Pass, OneTokenHasNoLossAndIsDrawnAllTheSame) {
  ModelConfig config = small_config();
  Parameters parameters(cpu(), config, 3);
  RunInputs inputs;
  inputs.tokens = {4};
  inputs.targets = {-1};
  auto run = std::make_shared<Recording>(
      *headlight::test::run_model(config, parameters, inputs, 1, 1, headlight::test::whole_program(config)));
  run->config = config;
  for (int s = 0; s < static_cast<int>(run->program().steps().size()); ++s) {
    const PassScene scene = scene_of(run, s);
    const bool told = std::any_of(scene.notes.begin(), scene.notes.end(),
                                  [](const PassNote& n) { return n.key == "pass.note.no_target"; });
    EXPECT_EQ(told, scene.phase != Phase::forward);
  }
}

TEST(Pass, WhatIsComputedAgainIsDrawnAsTheFirstTime) {
  for (const bool fused : {false, true}) {
    const auto run = whole_run(small_config(), 7, {.fused = fused, .checkpointing = true});
    int again = 0;
    for (const Step& step : run->program().steps()) {
      if (!step.name.ends_with("@again")) continue;
      ++again;
      SCOPED_TRACE(step.name);
      const PassScene first = scene_of(run, std::string_view(step.name).substr(0, step.name.size() - 6), 1);
      const PassScene second = scene_of(run, step.name, 1);
      EXPECT_EQ(second.kind, first.kind);
      EXPECT_EQ(second.layout, first.layout);
      ASSERT_EQ(second.matrices.size(), first.matrices.size());
      for (size_t i = 0; i < first.matrices.size(); ++i) {
        const PassMatrix &a = first.matrices[i], &b = second.matrices[i];
        EXPECT_EQ(a.title, b.title);
        EXPECT_EQ(a.part, b.part);
        EXPECT_EQ(a.hatch_future, b.hatch_future);
        EXPECT_EQ(a.shown.high, b.shown.high);
        EXPECT_FALSE(b.gradient);
        for (int64_t r = 0; r < a.rows(); ++r)
          for (int64_t c = 0; c < a.cols(); ++c)
            ASSERT_EQ(a.shown.plane.at(r, c), b.shown.plane.at(r, c)) << a.detail;
      }
      EXPECT_FALSE(has_note(first, "pass.note.again"));
      EXPECT_TRUE(has_note(second, "pass.note.again"));
    }
    EXPECT_GT(again, 10);
  }
}

TEST(PassNames, GradientsNameTheirBuffers) {
  EXPECT_TRUE(is_gradient_name("blocks.0.hook_resid_mid_grad@ln2"));
  EXPECT_TRUE(is_gradient_name("wte.weight_grad"));
  EXPECT_FALSE(is_gradient_name("grad_norm"));
  EXPECT_FALSE(is_gradient_name("blocks.0.hook_resid_mid"));
  EXPECT_EQ(forward_name("blocks.0.hook_resid_mid_grad@ln2"), "blocks.0.hook_resid_mid");
  EXPECT_EQ(buffer_title_key("blocks.3.attn.hook_pattern_grad"), "pass.buffer.pattern");
  EXPECT_EQ(buffer_title_key("h.0.ln_1.weight"), "pass.buffer.gain");
  EXPECT_EQ(buffer_title_key("blocks.3.attn.hook_pattern@again"), "pass.buffer.pattern");
  EXPECT_EQ(copied_name("blocks.0.ln1.hook_out@again@fp32"), "blocks.0.ln1.hook_out");
}

}  // namespace
}  // namespace headlight::app
