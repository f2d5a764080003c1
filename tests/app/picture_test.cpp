// What the shaders draw, read back from an offscreen picture.
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "app/frame/gui_context.h"
#include "app/render/ui_renderer.h"
#include "app/theme/fonts.h"
#include "app/widgets/matrix.h"
#include "app/window/offscreen.h"
#include "core/base/error.h"
#include "tests/app/support/harness.h"

namespace headlight::app {
namespace {

struct Pixel {
  int r, g, b;
};

Pixel pixel(const Picture& p, int x, int y) {
  const uint8_t* v = p.pixel(x, y);
  return {v[0], v[1], v[2]};
}

void expect_color(const Picture& p, int x, int y, Color wanted, const char* what) {
  const Pixel got = pixel(p, x, y);
  EXPECT_NEAR(got.r, static_cast<int>(wanted & 0xFF), 3) << what;
  EXPECT_NEAR(got.g, static_cast<int>((wanted >> 8) & 0xFF), 3) << what;
  EXPECT_NEAR(got.b, static_cast<int>((wanted >> 16) & 0xFF), 3) << what;
}

/// Draws one heat map of 240 × 240 pixels at (20, 20).
Picture draw(const Offscreen& target, UiRenderer& renderer, const HeatMap& map, const Rect& cells) {
  ImGuiIO& io = ImGui::GetIO();
  io.DisplaySize = {static_cast<float>(target.width()), static_cast<float>(target.height())};
  io.DeltaTime = 0.016f;
  ImGui::NewFrame();
  ImGui::GetBackgroundDrawList()->AddImage(const_cast<HeatMap*>(&map), {20, 20}, {260, 260},
                                           {cells.x0, cells.y0}, {cells.x1, cells.y1});
  ImGui::Render();
  renderer.render(*ImGui::GetDrawData(), theme(ThemeKind::dark).background);
  return target.read();
}

class HeatMapPicture : public testing::Test {
 protected:
  void SetUp() override {
    try {
      target_.emplace(280, 280);
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
    gui_.emplace();
    fonts_.build(1);
    renderer_.emplace();
    renderer_->upload_fonts();
  }
  void TearDown() override { renderer_.reset(); }

  std::optional<Offscreen> target_;
  std::optional<GuiContext> gui_;
  Fonts fonts_;
  std::optional<UiRenderer> renderer_;
};

TEST_F(HeatMapPicture, ValuesMaskNanAndGaps) {
  const float inf = INFINITY;
  const std::vector<float> values = {0, 0.5f, 1, -inf, NAN, 2, -3, 0.25f, 0.75f, 0, 0, 0, 1, 1, 1, 1};
  HeatMap map;
  map.key = {1, 0, 1, 0};
  map.plane = {values.data(), 4, 4, 4, 1};
  const Picture p = draw(*target_, *renderer_, map, {0, 0, 4, 4});
  const auto centre = [](int cell) { return 20 + cell * 60 + 30; };
  const auto at = [&](int row, int col, Color wanted, const char* what) {
    expect_color(p, centre(col), centre(row), wanted, what);
  };
  const auto viridis = [](float t) { return map_color(ColorMap::viridis, t, ThemeKind::dark); };
  at(0, 0, viridis(0), "0");
  at(0, 1, viridis(128.f / 255), "0.5");
  at(0, 2, viridis(1), "1");
  at(1, 0, rgb(0xff00ff), "NaN is magenta");
  at(1, 1, viridis(1), "above the range");
  at(1, 2, viridis(0), "below the range");
  // −∞: ground near the cell's corner, a stripe along its anti-diagonal.
  expect_color(p, 20 + 3 * 60 + 8, 20 + 8, theme(ThemeKind::dark).masked, "masked ground");
  expect_color(p, centre(3) - 1, centre(0), theme(ThemeKind::dark).hatch, "stripe");
  // The last pixel of a cell is the gap.
  expect_color(p, 20 + 59, centre(0), theme(ThemeKind::dark).background, "gap");
}

TEST_F(HeatMapPicture, DivergingIsCentredOnTheThemesNeutral) {
  const std::vector<float> values = {-1, 0, 0, 1};
  HeatMap map;
  map.plane = {values.data(), 2, 2, 2, 1};
  map.style = {.low = -1, .high = 1, .map = ColorMap::diverging};
  for (const ThemeKind kind : theme_kinds()) {
    map.style.theme = kind;
    map.key = {2, 0, static_cast<int32_t>(kind), 0};
    const Picture p = draw(*target_, *renderer_, map, {0, 0, 2, 2});
    expect_color(p, 80, 80, map_color(ColorMap::diverging, 0, kind), "−1");
    expect_color(p, 200, 80, theme(kind).neutral, "0");
    expect_color(p, 200, 200, map_color(ColorMap::diverging, 1, kind), "1");
  }
}

TEST_F(HeatMapPicture, PansZoomsAndTransposes) {
  constexpr int n = 1024;
  std::vector<float> values(n * n);
  for (int i = 0; i < n; ++i)
    for (int j = 0; j < n; ++j) values[static_cast<size_t>(i * n + j)] = static_cast<float>(i) / n;
  HeatMap map;
  map.key = {3, 0, 1, 0};
  map.plane = {values.data(), n, n, n, 1};
  const Picture whole = draw(*target_, *renderer_, map, {0, 0, n, n});
  expect_color(whole, 140, 250, map_color(ColorMap::viridis, 0.96f, ThemeKind::dark),
               "lower rows are larger");
  const Picture part = draw(*target_, *renderer_, map, {0, 512, 8, 520});
  expect_color(part, 155, 155, map_color(ColorMap::viridis, 0.502f, ThemeKind::dark), "row 516");
  EXPECT_EQ(renderer_->textures().count(), 1u) << "panning uploads nothing";
  HeatMap turned = map;
  turned.key.buffer = 2;
  turned.plane = {values.data(), n, n, 1, n};
  const Picture t = draw(*target_, *renderer_, turned, {0, 0, n, n});
  expect_color(t, 250, 140, map_color(ColorMap::viridis, 0.96f, ThemeKind::dark),
               "transposed: right is larger");
}

TEST_F(HeatMapPicture, TheWholeWindowIsDrawn) {
  target_.emplace(1280, 720);
  renderer_.emplace();
  test::Harness h({1280, 720});
  renderer_->upload_fonts();
  h.frames(2);
  renderer_->render(*ImGui::GetDrawData(), h.app.background());
  const Picture p = target_->read();
  const Theme& t = theme(ThemeKind::dark);
  // Panels have their surface, the main action the accent, and there is text (many different pixels).
  expect_color(p, 4, 715, t.surface, "bottom panel");
  const Control* play = h.app.controls().find("play.toggle");
  ASSERT_NE(play, nullptr);
  expect_color(p, static_cast<int>(play->rect.x0) + 6, static_cast<int>(play->rect.centre().y), t.accent,
               "play");
  int bright = 0;
  for (int y = 0; y < p.height; ++y)
    for (int x = 0; x < p.width; ++x)
      if (pixel(p, x, y).r > 180) ++bright;
  EXPECT_GT(bright, 2000);
}

TEST(Png, AnUnwritableFileGivesASentence) {
  try {
    write_png("/nowhere/at/all.png", {1, 1, {0, 0, 0, 255}});
    FAIL();
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("/nowhere/at/all.png"), std::string::npos);
  }
}

}  // namespace
}  // namespace headlight::app
