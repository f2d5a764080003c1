// The Pass view's arrangements: shares of room are fair, matrices stay inside and apart, products stand in
// line.
#include "app/views/pass_layout.h"

#include <gtest/gtest.h>

#include "tests/app/views/pass_runs.h"

namespace headlight::app {
namespace {

TEST(PassLayout, SharesAreFair) {
  const std::vector<float> wishes = {10, 100, 100}, equal = {1, 1, 1}, heavy = {1, 1, 3};
  EXPECT_EQ(fair_shares(wishes, equal, 110), (std::vector<float>{10, 50, 50}));
  EXPECT_EQ(fair_shares(wishes, equal, 1000), wishes);
  EXPECT_EQ(fair_shares(wishes, heavy, 110), (std::vector<float>{10, 25, 75}));
}

TEST(PassLayout, StaysInsideAndApart) {
  for (const Rect area : {Rect{10, 20, 1214, 560}, Rect{0, 0, 700, 300}, Rect{0, 0, 2400, 1100}})
    for (const float zoom : {1.f, 1.5f}) {
      for_each_scene([&](const Recording&, const PassScene& scene) {
        PassMetrics metrics;
        for (float* size :
             {&metrics.header, &metrics.legend, &metrics.gap, &metrics.chip, &metrics.chip_least,
              &metrics.chip_row, &metrics.cell, &metrics.attached, &metrics.attached_gap, &metrics.row_least})
          *size *= zoom;
        const std::vector<PassMargins> margins(scene.matrices.size(), {36 * zoom, 20 * zoom, 20 * zoom});
        const PassGeometry g = lay_out_pass(scene, margins, metrics, area);
        if (scene.layout == PassScene::Layout::norms) return;
        ASSERT_EQ(g.slots.size(), scene.matrices.size());
        for (size_t i = 0; i < g.slots.size(); ++i) {
          const Rect& cells = g.slots[i].cells;
          EXPECT_FALSE(cells.empty());
          EXPECT_GE(cells.x0, area.x0);
          EXPECT_GE(cells.y0, area.y0);
          EXPECT_LE(cells.x1, area.x1 + 1);
          if (area.height() >= 500 && zoom == 1) {
            EXPECT_LE(cells.y1, area.y1 + 1) << scene.matrices[i].detail;
          }
          for (size_t j = 0; j < i; ++j) EXPECT_FALSE(cells.overlaps(g.slots[j].cells)) << i << " " << j;
        }
        if (!g.crossed) return;
        const auto rect = [&](int i) { return g.slots[static_cast<size_t>(i)].cells; };
        EXPECT_EQ(rect(scene.left).y0, rect(scene.corner).y0);
        EXPECT_EQ(rect(scene.left).y1, rect(scene.corner).y1);
        EXPECT_EQ(rect(scene.top).x0, rect(scene.corner).x0);
        EXPECT_EQ(rect(scene.top).x1, rect(scene.corner).x1);
      });
    }
}

}  // namespace
}  // namespace headlight::app
