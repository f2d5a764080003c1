// Grids and products.
#include "app/views/pass_layout.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace headlight::app {
namespace {

using Part = PassMatrix::Part;
using Attach = PassMatrix::Attach;

constexpr float widest = 3;  ///< times as high as wide a cell may be, and the other way round

/// Many columns get more room than few, but not so much that few would vanish beside a vocabulary.
std::vector<float> weights_of(std::vector<float> counts) {
  float most = 0;
  for (float& count : counts) most = std::max(most, count = std::sqrt(count));
  for (float& count : counts) count = std::max(count, most / 4);
  return counts;
}

/// Cells with gaps between them are whole pixels.
float whole(float cell) { return cell >= 6 ? std::floor(cell) : cell; }

class Arranger {
 public:
  Arranger(const PassScene& scene, std::span<const PassMargins> margins, const PassMetrics& metrics,
           const Rect& area)
      : scene_(scene), margins_(margins), m_(metrics), area_(area) {}

  [[nodiscard]] PassGeometry best() const {
    switch (scene_.layout) {
      case PassScene::Layout::product: {
        // In line by row and column, unless side by side the cells are much larger: long texts, few features.
        PassGeometry crossed = product();
        PassGeometry side = lay_out({{scene_.left, scene_.top, scene_.corner}}, area_);
        const float enough = crossed.least < m_.row_least / 2 ? 1.3f : 1.8f;
        return side.least > enough * crossed.least ? side : crossed;
      }
      case PassScene::Layout::loss:
        return loss();
      case PassScene::Layout::norms: {
        PassGeometry g;
        g.bars = area_;
        return g;
      }
      case PassScene::Layout::chain:
        break;
    }
    PassGeometry chosen;
    for (const PassScene::Grid& grid : scene_.grids) {
      PassGeometry g = lay_out(grid, area_);
      if (chosen.slots.empty() || g.score > chosen.score) chosen = std::move(g);
    }
    return chosen;
  }

 private:
  [[nodiscard]] const PassMatrix& at(int i) const { return scene_.matrices[static_cast<size_t>(i)]; }
  [[nodiscard]] const PassMargins& margin(int i) const { return margins_[static_cast<size_t>(i)]; }
  [[nodiscard]] std::vector<int> attached(int host, Attach where) const {
    std::vector<int> all;
    for (size_t i = 0; i < scene_.matrices.size(); ++i)
      if (scene_.matrices[i].host == host && scene_.matrices[i].attach == where)
        all.push_back(static_cast<int>(i));
    return all;
  }
  [[nodiscard]] float room_right(int i) const {
    return static_cast<float>(attached(i, Attach::right).size()) * (m_.attached + m_.attached_gap);
  }
  [[nodiscard]] float room_below(int i) const {
    return static_cast<float>(attached(i, Attach::below).size()) * (m_.attached + m_.attached_gap);
  }
  [[nodiscard]] static float rows(const PassMatrix& m) {
    return static_cast<float>(std::max<int64_t>(m.rows(), 1));
  }
  [[nodiscard]] static float cols(const PassMatrix& m) {
    return static_cast<float>(std::max<int64_t>(m.cols(), 1));
  }

  /// The boundary between inputs and what comes of them.
  [[nodiscard]] bool turns(int before, int after) const {
    return at(before).part == Part::input && at(after).part != Part::input;
  }

  void attach(int host, PassGeometry& g) const {
    const Rect cells = g.slots[static_cast<size_t>(host)].cells;
    float x = cells.x1;
    for (const int i : attached(host, Attach::right)) {
      x += m_.attached_gap;
      g.slots[static_cast<size_t>(i)].cells = {x, cells.y0, x + m_.attached, cells.y1};
      x += m_.attached;
    }
    float y = cells.y1;
    for (const int i : attached(host, Attach::below)) {
      y += m_.attached_gap;
      g.slots[static_cast<size_t>(i)].cells = {cells.x0, y, cells.x1, y + m_.attached};
      y += m_.attached;
    }
  }

  [[nodiscard]] PassGeometry lay_out(const PassScene::Grid& grid, const Rect& area) const {
    PassGeometry g;
    g.slots.resize(scene_.matrices.size());
    g.least = m_.cell;
    const bool stacked = grid.size() > 1 && std::all_of(grid.begin(), grid.end(),
                                                        [](const auto& row) { return row.size() == 1; });
    const bool legend_below = !stacked;

    // Heights: what does not shrink, then the cells' share of the rest.
    std::vector<float> fixed(grid.size()), breaks(grid.size(), 0.f), wishes(grid.size());
    std::vector<float> top(grid.size(), 0.f);
    const std::vector<float> equal(grid.size(), 1.f);
    float used = 0;
    for (size_t r = 0; r < grid.size(); ++r) {
      float below = 0;
      for (const int i : grid[r]) {
        const bool same_columns = stacked && r > 0 && at(i).cols() == at(grid[r - 1][0]).cols() &&
                                  at(i).col_axis == at(grid[r - 1][0]).col_axis && at(i).bands.empty();
        if (same_columns) g.slots[static_cast<size_t>(i)].column_labels = false;
        float above = same_columns ? 0 : margin(i).top;
        for (const int a : attached(i, Attach::right)) above = std::max(above, margin(a).top);
        top[r] = std::max(top[r], above);
        below = std::max(below, room_below(i));
        wishes[r] = std::max(wishes[r], rows(at(i)) * m_.cell);
      }
      fixed[r] = m_.header + top[r] + below + (legend_below ? m_.legend : 0);
      if (r + 1 < grid.size()) {
        const bool chip = turns(grid[r].back(), grid[r + 1].front());
        breaks[r] = chip ? m_.chip_row : m_.gap * 0.35f;
      }
      used += fixed[r] + breaks[r];
    }
    const std::vector<float> heights = fair_shares(wishes, equal, std::max(area.height() - used, 1.f));

    // Widths, row by row.
    std::vector<float> w(scene_.matrices.size(), 0.f), h(scene_.matrices.size(), 0.f);
    std::vector<float> chip_gap(grid.size(), m_.chip_least);
    for (size_t r = 0; r < grid.size(); ++r) {
      float room = area.width();
      std::vector<float> wish, counts;
      for (size_t k = 0; k < grid[r].size(); ++k) {
        const int i = grid[r][k];
        const auto n = static_cast<size_t>(i);
        h[n] = std::min(m_.cell, heights[r] / rows(at(i)));
        const float wide =
            at(i).square() ? h[n] : std::min(m_.cell, std::max(widest * h[n], m_.row_least / 4));
        wish.push_back(cols(at(i)) * wide);
        counts.push_back(cols(at(i)));
        room -= margin(i).left + room_right(i);
        if (k + 1 < grid[r].size())
          room -= turns(i, grid[r][k + 1]) ? m_.chip_least : m_.gap;
        else
          room -= margin(i).right;
      }
      const std::vector<float> widths = fair_shares(wish, weights_of(counts), std::max(room, 1.f));
      float least_height = m_.cell;
      for (size_t k = 0; k < grid[r].size(); ++k) {
        const auto n = static_cast<size_t>(grid[r][k]);
        const PassMatrix& matrix = at(grid[r][k]);
        w[n] = whole(widths[k] / cols(matrix));
        if (matrix.square())
          w[n] = h[n] = whole(std::min(w[n], h[n]));
        else if (matrix.cols() > 1)
          h[n] = std::min(h[n], std::max(widest * w[n], m_.row_least));
        h[n] = whole(h[n]);
        if (matrix.row_axis == PassAxis::tokens) least_height = std::min(least_height, h[n]);
      }
      // Rows of tokens stand in line.
      for (const int i : grid[r])
        if (at(i).row_axis == PassAxis::tokens) {
          h[static_cast<size_t>(i)] = least_height;
          if (at(i).square()) w[static_cast<size_t>(i)] = least_height;
        }
      float spare = room;
      for (const int i : grid[r]) spare -= w[static_cast<size_t>(i)] * cols(at(i));
      chip_gap[r] += std::clamp(spare, 0.f, m_.chip - m_.chip_least);
    }
    if (stacked) {
      float least = m_.cell;
      bool same = true;
      for (const auto& row : grid) {
        least = std::min(least, w[static_cast<size_t>(row[0])]);
        same = same && at(row[0]).cols() == at(grid[0][0]).cols();
      }
      if (same)
        for (const auto& row : grid) w[static_cast<size_t>(row[0])] = least;
    }

    // Places.
    float left = 0;  // so that the cells of all rows start in line
    for (const auto& row : grid) left = std::max(left, margin(row.front()).left);
    float y = area.y0, score = 0;
    int counted = 0;
    for (size_t r = 0; r < grid.size(); ++r) {
      float x = area.x0 + left - margin(grid[r].front()).left;
      float bottom = y;
      for (size_t k = 0; k < grid[r].size(); ++k) {
        const int i = grid[r][k];
        const auto n = static_cast<size_t>(i);
        PassSlotRects& slot = g.slots[n];
        x += margin(i).left;
        const float cy = y + m_.header + top[r];
        slot.cells = {x, cy, x + std::max(w[n] * cols(at(i)), 1.f), cy + std::max(h[n] * rows(at(i)), 1.f)};
        attach(i, g);
        const float end = slot.cells.x1 + room_right(i);
        bottom = std::max(bottom, slot.cells.y1 + room_below(i));
        score += std::log(std::max(w[n], 0.01f)) + std::log(std::max(h[n], 0.01f)) +
                 std::log(std::max(std::min(w[n], h[n]), 0.01f));
        if (at(i).part == Part::output) g.least = std::min({g.least, w[n], h[n]});
        ++counted;
        const bool last = k + 1 == grid[r].size();
        const float gap = last ? 0 : turns(i, grid[r][k + 1]) ? chip_gap[r] : m_.gap;
        const float stop = last ? area.x1 : end + gap - m_.attached_gap + margin(grid[r][k + 1]).left * 0.5f;
        slot.header = {slot.cells.x0, y, stop, y + m_.header};
        if (legend_below)
          slot.legend = {slot.cells.x0, slot.cells.y1 + room_below(i) + m_.attached_gap,
                         std::max(slot.cells.x1, std::min(slot.cells.x0 + m_.chip, area.x1)),
                         slot.cells.y1 + room_below(i) + m_.legend};
        if (!last) {
          const Rect between{end, slot.cells.y0, end + gap, slot.cells.y1};
          if (turns(i, grid[r][k + 1]))
            g.chip = between;
          else if (at(i).part == Part::input && at(grid[r][k + 1]).part == Part::input)
            g.joins.push_back(between);
        }
        x = end + gap;
      }
      y = bottom + (legend_below ? m_.legend : 0);
      if (r + 1 < grid.size() && turns(grid[r].back(), grid[r + 1].front())) {
        g.chip = {area.x0 + left, y, area.x1, y + m_.chip_row};
        g.downwards = true;
      }
      y += breaks[r];
    }
    g.score = score / static_cast<float>(std::max(counted, 1)) + (g.downwards ? 0.f : 0.35f);
    if (used + 8 > area.height()) g.score -= 10;
    return g;
  }

  /// left × top = corner, each row of left in line with one of corner, each column of top with one of corner.
  [[nodiscard]] PassGeometry product() const {
    PassGeometry g;
    g.slots.resize(scene_.matrices.size());
    const PassMatrix &x = at(scene_.left), &top = at(scene_.top), &y = at(scene_.corner);
    const auto slot = [&](int i) -> PassSlotRects& { return g.slots[static_cast<size_t>(i)]; };
    const float left = std::max(margin(scene_.left).left, 1.f);
    const float gap = std::max(m_.gap, margin(scene_.top).left * 0.5f);
    const float between = m_.header + m_.attached_gap;
    const float above = m_.header + margin(scene_.top).top;
    const float below = room_below(scene_.corner) + m_.legend;
    // What stands at the left of the top matrix must not reach into the area's left end.
    const float x_least = std::max(0.f, margin(scene_.top).left - gap);

    const float room_w = std::max(area_.width() - left - gap - margin(scene_.top).right, 2.f);
    const float room_h = std::max(area_.height() - above - between - below, 2.f);
    std::vector<float> high =
        fair_shares(std::vector{rows(top) * m_.cell, rows(y) * m_.cell}, std::vector{1.f, 1.f}, room_h);
    // Rows with names need height before rows of features do; the result comes before what it is made of.
    if (top.row_axis != PassAxis::tokens && y.row_axis == PassAxis::tokens) {
      high[1] = std::max(high[1], std::min(rows(y) * m_.cell, 0.64f * room_h));
      high[0] = room_h - high[1];
    }
    float inner_h = whole(std::min(m_.cell, high[0] / rows(top))),
          row_h = whole(std::min(m_.cell, high[1] / rows(y)));
    const auto wish = [&](const PassMatrix& matrix, float height) {
      // Thin rows of features may have wide cells, so that the product fills its room.
      return cols(matrix) *
             (matrix.square() ? height : std::min(m_.cell, std::max(widest * height, m_.row_least)));
    };
    const std::vector<float> wide =
        fair_shares(std::vector{wish(x, row_h), wish(y, row_h)}, weights_of({cols(x), cols(y)}), room_w);
    float inner_w = whole(wide[0] / cols(x)), col_w = whole(wide[1] / cols(y));
    // Squares: attention seen from either side.
    if (y.square()) col_w = row_h = whole(std::min(col_w, row_h));
    if (x.square()) inner_w = row_h = whole(std::min(inner_w, row_h));
    if (y.square() && x.square()) col_w = inner_w = row_h;
    if (!y.square() && !x.square())
      row_h = whole(std::min(row_h, std::max(widest * std::max(inner_w, col_w), m_.row_least)));
    inner_h = whole(std::min(inner_h, std::max(widest * col_w, m_.row_least)));

    const float x_width = inner_w * cols(x);
    const float x0 = area_.x0 + left, y_x0 = x0 + std::max(x_width, x_least) + gap;
    const float top_y0 = area_.y0 + above, y_y0 = top_y0 + std::max(inner_h * rows(top), 1.f) + between;
    slot(scene_.left).cells = {x0, y_y0, x0 + std::max(x_width, 1.f), y_y0 + std::max(row_h * rows(y), 1.f)};
    slot(scene_.corner).cells = {y_x0, y_y0, y_x0 + std::max(col_w * cols(y), 1.f),
                                 y_y0 + std::max(row_h * rows(y), 1.f)};
    slot(scene_.top).cells = {y_x0, top_y0, slot(scene_.corner).cells.x1, y_y0 - between};
    attach(scene_.corner, g);

    slot(scene_.top).header = {y_x0, area_.y0, area_.x1, area_.y0 + m_.header};
    slot(scene_.corner).header = {y_x0, y_y0 - m_.header - 2, area_.x1, y_y0 - 2};
    slot(scene_.corner).column_labels = false;
    const float x_header = y_y0 - margin(scene_.left).top - m_.header - 2;
    slot(scene_.left).header = {x0, x_header, y_x0 - m_.attached_gap, x_header + m_.header};
    for (const int i : {scene_.left, scene_.corner}) {
      const Rect& cells = slot(i).cells;
      const float under = cells.y1 + (i == scene_.corner ? room_below(i) : 0);
      slot(i).legend = {cells.x0, under + m_.attached_gap, std::max(cells.x1, cells.x0 + m_.chip),
                        under + m_.legend};
      if (i == scene_.left) slot(i).legend.x1 = std::min(slot(i).legend.x1, y_x0 - m_.attached_gap);
    }
    // The operator: in the empty quarter.
    g.chip = {area_.x0, area_.y0, y_x0 - std::max(margin(scene_.top).left, m_.attached_gap), x_header};
    g.crossed = true;
    g.least = std::min(row_h, col_w);
    return g;
  }

  /// The probabilities at the left, a bar for each row at the right.
  [[nodiscard]] PassGeometry loss() const {
    const float bars = std::min(area_.width() * 0.45f, m_.chip * 3.2f);
    Rect room = area_;
    room.x1 -= bars + m_.gap;
    if (scene_.matrices.empty()) {
      PassGeometry g;
      g.bars = area_;
      return g;
    }
    PassGeometry g = lay_out({{0}}, room);
    const Rect& cells = g.slots[0].cells;
    const float x = cells.x1 + m_.gap + margin(0).right * 0.3f;
    g.bars = {x, cells.y0, std::min(x + bars * 1.25f, area_.x1), cells.y1};
    return g;
  }

  const PassScene& scene_;
  std::span<const PassMargins> margins_;
  const PassMetrics& m_;
  Rect area_;
};

}  // namespace

std::vector<float> fair_shares(std::span<const float> wishes, std::span<const float> weights, float room) {
  std::vector<float> shares(wishes.begin(), wishes.end());
  std::vector<size_t> order(wishes.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return wishes[a] * weights[b] < wishes[b] * weights[a]; });
  float weight = std::accumulate(weights.begin(), weights.end(), 0.f);
  for (const size_t i : order) {
    shares[i] = std::min(wishes[i], room * weights[i] / std::max(weight, 1e-6f));
    room -= shares[i];
    weight -= weights[i];
  }
  return shares;
}

PassGeometry lay_out_pass(const PassScene& scene, std::span<const PassMargins> margins,
                          const PassMetrics& metrics, const Rect& area) {
  return Arranger(scene, margins, metrics, area).best();
}

}  // namespace headlight::app
