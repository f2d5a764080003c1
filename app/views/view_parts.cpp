// Headers, scales, comparison.
#include "app/views/view_parts.h"

#include <fmt/format.h>

#include <array>

#include "app/widgets/buttons.h"

namespace headlight::app {
namespace {

constexpr float header_row_css = 40;

}  // namespace

HeaderFlow::HeaderFlow(const Ui& ui, Rect& area) : ui_(ui), area_(area) {
  row_ = area_.cut_top(ui_.px(control_height));
  x_ = row_.x0;
}

void HeaderFlow::title(std::string_view name, std::string_view facts) {
  const Theme& t = ui_.theme();
  const float wide = ui_.measure(TextStyle::display, name).x;
  ui_.text_in({x_, row_.y0, std::min(x_ + wide + 1, row_.x1), row_.y1}, TextStyle::display, t.text, name);
  x_ += wide + ui_.px(12);
  if (facts.empty()) return;
  // On the title's baseline, not in its middle.
  const float drop = ui_.px(2);
  const float width = ui_.measure(TextStyle::body, facts).x + 1;
  if (x_ + width > row_.x1) return;
  ui_.text_in({x_, row_.y0 + drop, x_ + width, row_.y1 + drop}, TextStyle::body, t.muted, facts);
  x_ += width + ui_.px(12);
}

Rect HeaderFlow::place(float width) {
  if (x_ > row_.x0 && x_ + width > row_.x1 + 0.5f) {
    area_.cut_top(ui_.px(header_row_css - control_height));
    row_ = area_.cut_top(ui_.px(control_height));
    x_ = row_.x0;
  }
  const Rect r{x_, row_.y0, std::min(x_ + width, row_.x1), row_.y1};
  x_ += width + ui_.px(12);
  return r;
}

void compare_controls(const ViewContext& c, CommandQueue& commands, std::string_view id, HeaderFlow& header) {
  const Ui& ui = c.ui;
  const Pins& pins = c.session.state.pins;
  const bool pinned = pins.run != nullptr;
  const std::array<Segment, 3> segments = {
      {{"a", "A", true}, {"b", "B", pinned}, {"difference", "A − B", pinned}}};
  const Rect r = header.place(segmented_width(ui, segments));
  const auto chosen = pinned ? static_cast<size_t>(pins.compare) : 0;
  if (const auto i = segmented(ui, id, r, segments, chosen))
    commands.push(fmt::format("compare.{}", segments[*i].id));
  for (const Segment& s : segments) {
    const Control* control = ui.controls().find(fmt::format("{}.{}", id, s.id));
    if (control == nullptr) continue;
    const std::string& text =
        ui.tr(pinned || s.enabled ? fmt::format("compare.about.{}", s.id) : "compare.how");
    tooltip_over(ui, control->rect, text);
  }
  const ButtonSpec spec{.label = ui.tr(pinned ? "compare.unpin" : "compare.pin"),
                        .tooltip = ui.tr(pinned ? "compare.unpin_about" : "compare.how")};
  const Rect at = header.place(button_width(ui, spec));
  if (button(ui, fmt::format("{}.pin", id), at, spec)) commands.push(pinned ? "run.unpin" : "run.pin");
}

Rect picture_title(const Ui& ui, Rect row, std::string_view title, std::string_view note) {
  const Theme& t = ui.theme();
  const float wide = std::min(ui.measure(TextStyle::heading, title).x + 1, row.width());
  ui.text_in(row.cut_left(wide), TextStyle::heading, t.text, title);
  row.cut_left(ui.px(8));
  if (note.empty()) return row;
  const float width = ui.measure(TextStyle::caption, note).x + 1;
  if (width > row.width()) return row;
  ui.text_in(row.cut_left(width), TextStyle::caption, t.muted, note);
  row.cut_left(ui.px(8));
  return row;
}

void scale_line(const Ui& ui, const Rect& row, const HeatStyle& style, int digits, bool clipped) {
  const Theme& t = ui.theme();
  const std::string low = fmt::format("{}{}", clipped ? "≤ " : "", number_text(style.low, digits));
  const std::string high = fmt::format("{}{}", clipped ? "≥ " : "", number_text(style.high, digits));
  const float wide_low = ui.measure(TextStyle::mono_small, low).x,
              wide_high = ui.measure(TextStyle::mono_small, high).x;
  const float gap = ui.px(6), bar = ui.px(72);
  if (wide_low + wide_high + bar + 2 * gap > row.width()) return;
  Rect rest = row;
  ui.text_in(rest.cut_right(wide_high + 1), TextStyle::mono_small, t.muted, high);
  rest.cut_right(gap);
  const Rect colors = rest.cut_right(bar).middle(bar, ui.px(8));
  rest.cut_right(gap);
  ui.text_in(rest.cut_right(wide_low + 1), TextStyle::mono_small, t.muted, low, Align::right);
  constexpr int steps = 16;
  for (int i = 0; i < steps; ++i) {
    const float a = static_cast<float>(i) / steps, b = static_cast<float>(i + 1) / steps;
    const Color left = map_color(style.map, a, t.kind), right = map_color(style.map, b, t.kind);
    Ui::draw().AddRectFilledMultiColor({colors.x0 + a * colors.width(), colors.y0},
                                       {colors.x0 + b * colors.width(), colors.y1}, left, right, right, left);
  }
}

std::string counted(const Ui& ui, std::string_view what, int64_t count) {
  const std::string& text = ui.tr(fmt::format("count.{}.{}", what, count == 1 ? "one" : "many"));
  return fmt::format(fmt::runtime(text), count);
}

void tooltip_over(const Ui& ui, const Rect& rect, std::string_view text) {
  if (ImGui::IsWindowHovered() && rect.contains(ImGui::GetIO().MousePos)) ui.tooltip(text);
}

Color ink_on(Color ground) {
  constexpr Color black = rgb(0x000000), white = rgb(0xffffff);
  return contrast(ground, black) > contrast(ground, white) ? black : white;
}

}  // namespace headlight::app
