// Token to token.
#include "app/widgets/arcs.h"

#include <fmt/format.h>

#include <algorithm>

namespace headlight::app {

void flow_line(const Ui& ui, ImVec2 from, ImVec2 to, Color color, float width_css) {
  const float bend = (to.x - from.x) * 0.5f;
  Ui::draw().AddBezierCubic(from, {from.x + bend, from.y}, {to.x - bend, to.y}, to, color,
                            std::max(0.6f, width_css * ui.scale()));
}

ArcsResult token_arcs(const Ui& ui, std::string_view id, const Rect& rect, const ArcsSpec& spec) {
  ArcsResult result;
  const Theme& t = ui.theme();
  const auto count = static_cast<int64_t>(spec.tokens.size());
  if (count == 0 || rect.empty()) return result;
  float longest = 0;
  for (const std::string& text : spec.tokens)
    longest = std::max(longest, ui.measure(TextStyle::mono_large, text).x);
  const float side = std::min(longest, rect.width() * 0.3f) + ui.px(6);
  const float xa = rect.x0 + side, xb = rect.x1 - side;
  const float pitch = std::min(rect.height() / static_cast<float>(count), ui.px(38));
  const auto y = [&](int64_t i) { return rect.y0 + (static_cast<float>(i) + 0.5f) * pitch; };

  const float line = ui.line_height(TextStyle::mono_large);
  const int64_t every =
      std::max<int64_t>(1, static_cast<int64_t>(line * 0.85f / pitch) + (pitch < line * 0.85f ? 1 : 0));
  for (int64_t i = 0; i < count; ++i) {
    const Rect left{rect.x0, y(i) - pitch / 2, xa - ui.px(6), y(i) + pitch / 2};
    const Rect right{xb + ui.px(6), left.y0, rect.x1, left.y1};
    const Press a = ui.press(fmt::format("{}.query.{}", id, i), left);
    const Press b = ui.press(fmt::format("{}.key.{}", id, i), right);
    if (a.hovered) result.hovered_query = i;
    if (b.hovered) result.hovered_key = i;
    if (a.clicked) result.clicked_query = i;
    const bool lit_query = spec.query == i, lit_key = spec.key == i;
    const Rect tall_left{left.x0, y(i) - line / 2, left.x1, y(i) + line / 2};
    const Rect tall_right{right.x0, tall_left.y0, right.x1, tall_left.y1};
    const std::string& token = spec.tokens[static_cast<size_t>(i)];
    if (i % every == 0 || lit_query || a.hovered)
      ui.text_in(tall_left, TextStyle::mono_large, lit_query ? t.query : t.past, token, Align::right);
    if (i % every == 0 || lit_key || b.hovered)
      ui.text_in(tall_right, TextStyle::mono_large, lit_key ? t.key : t.past, token);
  }
  const std::optional<int64_t> from = result.hovered_query ? result.hovered_query : spec.query;
  // The chosen query's curves last, on top of the others.
  for (const bool chosen : {false, true}) {
    for (int64_t i = 0; i < count; ++i) {
      if ((from == i) != chosen) continue;
      for (int64_t j = 0; j < (spec.causal ? i + 1 : count); ++j) {
        const float w = spec.weight(i, j);
        if (!(w >= spec.threshold)) continue;
        const bool wanted = !result.hovered_key || result.hovered_key == j;
        const float quiet = wanted ? 1 : 0.25f;
        const Color color =
            chosen ? fade(t.key, (0.2f + 0.8f * w) * quiet) : fade(t.accent, (0.05f + 0.35f * w) * quiet);
        flow_line(ui, {xa, y(i)}, {xb, y(j)}, color, 0.6f + 5 * w);
      }
    }
  }
  return result;
}

}  // namespace headlight::app
