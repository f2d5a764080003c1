// The selected head of a run with a cache: the one row that the last token's query makes over the keys.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/views/attention.h"
#include "app/views/view_parts.h"

namespace headlight::app {
namespace {

// CSS pixels.
constexpr float largest_cell_css = 44, tallest_strip_css = 56, shortest_strip_css = 16;
constexpr float title_css = 26, tallest_bars_css = 220, shortest_bars_css = 40, block_gap_css = 14;

}  // namespace

void AttentionView::draw_row(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const auto keys = static_cast<float>(grid_.T);
  const float room = area.width() - margins_.left - margins_.right;
  float cell = std::min(room / keys, ui.px(largest_cell_css));
  if (cell >= 3) cell = std::floor(cell);
  const float strip = std::clamp(cell, ui.px(shortest_strip_css), ui.px(tallest_strip_css));
  if (cell <= 0 || area.height() < margins_.top + strip) return;
  const Rect rect{area.x0 + margins_.left, area.y0 + margins_.top, area.x0 + margins_.left + cell * keys,
                  area.y0 + margins_.top + strip};
  draw_matrix(c, commands, rect);
  area.y0 = rect.y1 + ui.px(block_gap_css);
  const float most_height = area.height() - ui.px(title_css);
  if (!large_.has_weights() || most_height < ui.px(shortest_bars_css)) return;

  // The same weights as lengths, one bar a key, or one for every two pixels, which then is the largest of its
  // keys.
  Rect title = area.cut_top(ui.px(title_css));
  title.x0 = rect.x0;
  const bool minus = !large_.minus.empty();
  ui.text_in(title, TextStyle::label, t.muted, ui.tr(minus ? "attention.row.difference" : "attention.row"));
  if (!minus && !large_.entropy.empty()) {
    const std::string entropy =
        fmt::format(fmt::runtime(ui.tr("attention.row.entropy")), number_text(large_.entropy[0], 2),
                    number_text(even_entropy(grid_.T - 1, grid_.T, true), 2));
    const float used = ui.measure(TextStyle::label, ui.tr("attention.row")).x;
    if (used + ui.px(24) + ui.measure(TextStyle::mono_small, entropy).x <= rect.width())
      ui.text_in({title.x0, title.y0, rect.x1, title.y1}, TextStyle::mono_small, t.query, entropy,
                 Align::right);
  }
  const Rect plot{rect.x0, area.y0, rect.x1, area.y0 + std::min(most_height, ui.px(tallest_bars_css))};
  const int64_t bars =
      std::min<int64_t>(grid_.T, std::max<int64_t>(static_cast<int64_t>(plot.width() / 2), 1));
  const auto key_of = [&](int64_t bar) { return bar * grid_.T / bars; };
  float most = 0;
  for (int64_t j = 0; j < grid_.T; ++j) most = std::max(most, large_.weight(query_, j));
  const Press press = ui.press("attention.row", plot);
  if (press.hovered) {
    const float u = (ImGui::GetIO().MousePos.x - plot.x0) / plot.width();
    hovered_key_ = std::clamp<int64_t>(static_cast<int64_t>(u * keys), 0, grid_.T - 1);
    hovered_query_ = query_;
    ui.tooltip(fmt::format("{} → {}\n{}", labels_[static_cast<size_t>(query_)],
                           labels_[static_cast<size_t>(*hovered_key_)],
                           number_text(large_.weight(query_, *hovered_key_))));
    if (press.clicked) pin(commands, query_, *hovered_key_);
  }
  const float pitch = plot.width() / static_cast<float>(bars);
  const float gap = pitch >= 6 ? std::max(2.f, std::round(pitch * 0.15f)) : pitch >= 3 ? 1.f : 0.f;
  const float line = ui.line_height(TextStyle::mono_small);
  for (int64_t b = 0; b < bars; ++b) {
    float weight = 0;
    bool lit = false;
    for (int64_t j = key_of(b); j < std::max(key_of(b + 1), key_of(b) + 1); ++j) {
      weight = std::max(weight, large_.weight(query_, j));
      lit = lit || j == key_token_;
    }
    const float x = plot.x0 + static_cast<float>(b) * pitch;
    const float height = most > 0 ? weight / most * (plot.height() - line - ui.px(4)) : 0;
    ui.fill({x, plot.y1 - height, x + pitch - gap, plot.y1}, lit ? t.key : t.bar);
    const std::string text = number_text(weight, 2);
    if (lit || pitch >= ui.measure(TextStyle::mono_small, text).x + ui.px(4)) {
      const float wide = ui.measure(TextStyle::mono_small, text).x;
      ui.text({std::clamp(x + (pitch - gap - wide) / 2, plot.x0, std::max(plot.x1 - wide, plot.x0)),
               plot.y1 - height - line - ui.px(2)},
              TextStyle::mono_small, lit ? t.key : t.muted, text);
    }
  }
  ui.horizontal(plot.x0, plot.x1, plot.y1, t.line);
}

}  // namespace headlight::app
