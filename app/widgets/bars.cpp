// Bars.
#include "app/widgets/bars.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/views/run_data.h"

namespace headlight::app {

std::optional<size_t> bar_list(const Ui& ui, std::string_view id, const Rect& rect, std::span<const Bar> bars,
                               const BarListSpec& spec) {
  const Theme& t = ui.theme();
  std::optional<size_t> clicked;
  Rect rest = rect;
  for (size_t i = 0; i < bars.size(); ++i) {
    if (rest.height() < ui.px(bar_height) - 1) break;
    const Bar& bar = bars[i];
    Rect row = rest.cut_top(ui.px(bar_height));
    const Press press = ui.press(fmt::format("{}.{}", id, i), row);
    if (press.hovered) ui.fill(row, fade(t.raised, 0.8f), 4);
    if (press.clicked) clicked = i;
    const Color color = bar.color != 0 ? bar.color : t.bar;
    Rect name = row.cut_left(ui.px(spec.name_css));
    const Color ink = bar.strong ? color : t.past;
    if (bar.index.empty()) {
      ui.text_in(name, TextStyle::mono, ink, bar.name);
    } else {
      const float room = name.width() - ui.measure(TextStyle::mono_index, bar.index).x - ui.px(1);
      const float used =
          ui.text_in({name.x0, name.y0, name.x0 + room, name.y1}, TextStyle::mono, ink, bar.name);
      ui.text({name.x0 + used + ui.px(1), name.y1 - ui.line_height(TextStyle::mono_index) - ui.px(1)},
              TextStyle::mono_index, t.muted, bar.index);
    }
    row.cut_left(ui.px(8));
    ui.text_in(row.cut_right(ui.px(spec.number_css)), TextStyle::mono, t.text,
               fixed_text(bar.value, spec.digits), Align::right);
    row.cut_right(ui.px(8));
    const float length = row.width() * static_cast<float>(std::clamp(bar.length, 0.0, 1.0));
    const float y = (row.y0 + row.y1) / 2;
    ui.fill({row.x0, y - ui.px(6), row.x0 + std::max(length, ui.px(2)), y + ui.px(6)}, color, 3);
  }
  return clicked;
}

void histogram(const Ui& ui, const Rect& rect, std::span<const int64_t> counts, Color color) {
  if (counts.empty()) return;
  const int64_t most = *std::max_element(counts.begin(), counts.end());
  if (most <= 0) return;
  const float step = rect.width() / static_cast<float>(counts.size());
  const float gap = std::min(ui.px(1.5f), step * 0.3f);
  for (size_t i = 0; i < counts.size(); ++i) {
    if (counts[i] <= 0) continue;
    const float height = ui.px(4) + (rect.height() - ui.px(4)) *
                                        std::sqrt(static_cast<float>(counts[i]) / static_cast<float>(most));
    const float x = rect.x0 + step * static_cast<float>(i);
    Ui::draw().AddRectFilled({x, rect.y1 - height}, {x + step - gap, rect.y1}, color);
  }
}

}  // namespace headlight::app
