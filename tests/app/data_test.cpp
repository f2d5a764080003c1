// Planes of buffers, texts of numbers, series and the input queue: what needs no window.
#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "app/render/series_pyramid.h"
#include "app/views/history_series.h"
#include "app/views/run_data.h"
#include "tests/app/support/harness.h"
#include "tests/app/views/pass_runs.h"

namespace headlight::app {
namespace {

TEST(ValuesInUse, LeaveOutFreePlacesOfACache) {
  const auto run = cached_run(headlight::test::small_config(), 5);
  const Program& program = run->program();
  const auto used_of = [&](std::string_view name) {
    const BufferId id = program.require(name);
    return values_in_use(*run, id, {0, program.buffer(id).shape.count()});
  };
  const auto keys = used_of("blocks.0.attn.hook_k_cache"), before = used_of("blocks.0.attn.past_k");
  ASSERT_TRUE(keys && before);
  const Shape& shape = program.buffer(program.require("blocks.0.attn.hook_k_cache")).shape;  // [B,G,S,D]
  ASSERT_GT(shape.size(2), 5) << "a cache without free places tests nothing";
  EXPECT_EQ(std::ssize(*keys), shape.size(1) * 5 * shape.size(3));
  EXPECT_EQ(std::ssize(*before), shape.size(1) * 4 * shape.size(3));
  const auto pattern = used_of("blocks.0.attn.hook_pattern");
  ASSERT_TRUE(pattern);
  EXPECT_EQ(std::ssize(*pattern), run->config.n_head * 5);
  double sum = 0;
  for (const float a : *pattern) sum += static_cast<double>(a);
  EXPECT_NEAR(sum, static_cast<double>(run->config.n_head), 1e-5) << "no weight lies on a free place";
  EXPECT_FALSE(used_of("blocks.0.hook_resid_pre")) << "no axis of places";
}

TEST(BufferPlane, HeadsOfPatternsAndOfQueries) {
  const headlight::Run& run = *test::recorded_snapshot()->run;
  const auto T = run.program().T();
  const auto pattern = buffer_plane(run, "blocks.0.attn.hook_pattern", 2);
  ASSERT_TRUE(pattern);
  EXPECT_EQ(pattern->plane.rows, T);
  EXPECT_EQ(pattern->plane.cols, T);
  EXPECT_EQ(pattern->first, 2 * T * T);
  EXPECT_EQ(pattern->row_axis, "Tq");
  const auto values = run.values(pattern->buffer);
  EXPECT_EQ(pattern->plane.at(3, 1), values[static_cast<size_t>(pattern->offset(3, 1))]);
  const auto cell = pattern->cell(pattern->offset(3, 1));
  ASSERT_TRUE(cell);
  EXPECT_EQ(cell->row, 3);
  EXPECT_EQ(cell->col, 1);
  EXPECT_FALSE(pattern->cell(0)) << "a cell of another head";

  const auto q = buffer_plane(run, "blocks.0.attn.hook_q", 1);
  ASSERT_TRUE(q);
  EXPECT_EQ(q->plane.rows, T);
  EXPECT_EQ(q->plane.cols, run.config.head_size());
  const Shape& shape = run.program().buffer(q->buffer).shape;
  EXPECT_EQ(q->offset(4, 3), shape.offset({0, 4, 1, 3}));
  EXPECT_FALSE(buffer_plane(run, "no.such.buffer", 0));
}

TEST(ComparedPlane, DifferenceWithItselfIsZeroAndScalesAreShared) {
  const auto run = test::recorded_snapshot()->run;
  auto other = std::make_shared<headlight::Run>(*run);
  other->id = run->id + 1000000;
  const auto id = run->program().require("blocks.0.attn.hook_pattern");
  auto changed = std::make_shared<Recorded>(*run->recorded[static_cast<size_t>(id)]);
  changed->values[0] += 3;
  other->recorded[static_cast<size_t>(id)] = changed;
  Pins pins;
  pins.run = other;
  pins.compare = Compare::b;
  const auto b = compared_plane(run, pins, "blocks.0.attn.hook_pattern", 0);
  EXPECT_EQ(b.plane.at(0, 0), changed->values[0]);
  EXPECT_NEAR(b.high, changed->values[0], 1e-6) << "one scale for A and B";
  pins.compare = Compare::difference;
  const auto d = compared_plane(run, pins, "blocks.0.attn.hook_pattern", 0);
  EXPECT_TRUE(d.difference);
  EXPECT_TRUE(d.is_signed);
  EXPECT_NEAR(d.plane.at(0, 0), -3, 1e-5);
  EXPECT_EQ(d.plane.at(1, 0), 0);
  EXPECT_FLOAT_EQ(d.low, -d.high);
  EXPECT_NE(d.key, b.key);
  // Masked scores are −∞ in both: no difference, not NaN.
  const auto scores = compared_plane(run, pins, "blocks.0.attn.hook_attn_scores", 0);
  EXPECT_EQ(scores.plane.at(0, 1), 0);
}

TEST(Texts, NumbersNamesAndTokens) {
  EXPECT_EQ(number_text(-0.0004, 3), "0.000");
  EXPECT_EQ(number_text(-0.25, 2), "−0.25");
  EXPECT_EQ(number_text(0), "0.000");
  EXPECT_EQ(number_text(-INFINITY), "−∞");
  EXPECT_EQ(number_text(1.5e-7), "1.50e-07");
  EXPECT_EQ(fixed_text(-0.001, 2), "0.00");
  EXPECT_EQ(grouped_text(4120), "4,120");
  EXPECT_EQ(grouped_text(-1234567), "−1,234,567");
  EXPECT_EQ(grouped_text(12), "12");
  EXPECT_EQ(count_text(110016), "110k");
  EXPECT_EQ(count_text(124439808), "124M");
  EXPECT_EQ(bytes_text(3600), "3.6 kB");
  EXPECT_EQ(chip_text(" cat"), "·cat");
  EXPECT_EQ(chip_text("\n"), "↵");
  EXPECT_EQ(axis_text(" cat"), "cat");
  EXPECT_EQ(short_name("blocks.1.attn.hook_pattern"), "pattern");
  EXPECT_EQ(short_name("blocks.0.ln1.hook_scale"), "ln1.scale");
  EXPECT_EQ(short_name("hook_embed"), "embed");
  EXPECT_EQ(short_name("h.0.attn.c_proj.weight_new"), "attn.c_proj.weight_new");
}

TEST(SeriesPyramid, AgreesWithTheSeriesWhereverItIsAsked) {
  std::mt19937 random(3);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> all;
  SeriesPyramid pyramid;
  for (const size_t piece : {1u, 7u, 64u, 1000u, 3u, 4096u, 513u}) {
    std::vector<float> part;
    for (size_t i = 0; i < piece; ++i) part.push_back(uniform(random));
    all.insert(all.end(), part.begin(), part.end());
    pyramid.append(part);
  }
  ASSERT_EQ(pyramid.size(), all.size());
  for (int i = 0; i < 2000; ++i) {
    size_t a = random() % all.size(), b = random() % (all.size() + 1);
    if (a > b) std::swap(a, b);
    const auto e = pyramid.extremes(a, b);
    float low = INFINITY, high = -INFINITY;
    double sum = 0;
    for (size_t k = a; k < b; ++k) low = std::min(low, all[k]), high = std::max(high, all[k]), sum += all[k];
    ASSERT_NEAR(e.sum, sum, 1e-9 * static_cast<double>(b - a)) << a << " " << b;
    ASSERT_EQ(e.count, b - a);
    ASSERT_EQ(e.low, low) << a << " " << b;
    ASSERT_EQ(e.high, high) << a << " " << b;
  }
}

TEST(SeriesPyramid, PassesOverNan) {
  SeriesPyramid pyramid;
  pyramid.append(std::vector<float>{1, NAN, 3});
  EXPECT_EQ(pyramid.extremes(0, 3).high, 3);
  EXPECT_EQ(pyramid.extremes(0, 3).mean(), 2);
  EXPECT_GT(pyramid.extremes(1, 2).low, pyramid.extremes(1, 2).high);
}

TEST(HistorySeries, GrowsAndStartsAgain) {
  History history;
  for (int i = 1; i <= 1500; ++i)
    history.add(HistoryPoint{.step = i,
                             .train_loss = 3.0 / i,
                             .learning_rate = 1e-3,
                             .gradient_norm = 1,
                             .block_gradient_norms = {1, 2, 3},
                             .tokens_per_second = 10});
  HistorySeries series;
  series.update(history);
  EXPECT_EQ(series.train_loss.size(), 1500u);
  EXPECT_EQ(series.block_gradient_norms.size(), 3u);
  EXPECT_EQ(series.last_step(), 1500);
  history.add(HistoryPoint{.step = 1501, .train_loss = 0.1, .block_gradient_norms = {}});
  history.add(ValidationPoint{1501, 0.2});
  series.update(history);
  EXPECT_EQ(series.train_loss.size(), 1501u);
  EXPECT_EQ(series.validation_loss.size(), 1u);
  History fresh;
  fresh.add(HistoryPoint{.step = 1, .train_loss = 9, .block_gradient_norms = {}});
  series.update(fresh);
  EXPECT_EQ(series.train_loss.size(), 1u);
  EXPECT_FLOAT_EQ(series.train_loss[0], 9);
}

TEST(InputQueue, FeedsOneTransitionOfAKeyAFrame) {
  test::Harness h;
  InputQueue queue;
  queue.push(KeyPress{GLFW_KEY_A, true});
  queue.push(KeyPress{GLFW_KEY_A, false});
  EXPECT_TRUE(queue.feed());
  EXPECT_TRUE(ImGui::GetIO().KeysDown[GLFW_KEY_A]);
  EXPECT_FALSE(queue.feed());
  EXPECT_FALSE(ImGui::GetIO().KeysDown[GLFW_KEY_A]);
  queue.push(MouseButton{0, true});
  queue.push(MouseMove{5, 5});
  queue.push(MouseButton{0, false});
  EXPECT_TRUE(queue.feed());
  EXPECT_TRUE(ImGui::GetIO().MouseDown[0]);
  queue.feed();
  EXPECT_FALSE(ImGui::GetIO().MouseDown[0]);
}

TEST(Fonts, VietnameseGreekAndMathematicsAreInTheAtlas) {
  test::Harness h;
  for (const TextStyle style : {TextStyle::body, TextStyle::mono, TextStyle::equation, TextStyle::section}) {
    const ImFont* font = h.app.fonts().font(style);
    for (const ImWchar c :
         {L'ế', L'Ư', L'đ', L'τ', L'Σ', L'√', L'∕', L'−', L'∞', L'⊙', L'×', L'ᵀ', L'·', L'…'})
      EXPECT_NE(font->FindGlyphNoFallback(c), nullptr) << static_cast<int>(style) << " U+" << std::hex << c;
  }
  EXPECT_TRUE(h.app.fonts().missing().empty());
}

TEST(Fonts, NewLettersAreAdded) {
  test::Harness h;
  EXPECT_EQ(h.app.fonts().font(TextStyle::mono)->FindGlyphNoFallback(L'Ж'), nullptr);
  h.app.fonts().need("Ж");
  h.frames(1);
  EXPECT_NE(h.app.fonts().font(TextStyle::mono)->FindGlyphNoFallback(L'Ж'), nullptr);
  EXPECT_TRUE(h.app.take_fonts_changed());
}

}  // namespace
}  // namespace headlight::app
