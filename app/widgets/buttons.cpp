// Buttons and their kin.
#include "app/widgets/buttons.h"

#include <fmt/format.h>

#include <cmath>

namespace headlight::app {
namespace {

constexpr float padding = 12, radius = 8;

/// Ground and text of one cell of a group; rounded only at the group's ends.
void cell(const Ui& ui, const Rect& r, std::string_view label, bool on, bool hovered, bool enabled,
          bool first, bool last) {
  const Theme& t = ui.theme();
  if (on || hovered) {
    ImDrawFlags corners = ImDrawFlags_RoundCornersNone;
    if (first) corners |= ImDrawFlags_RoundCornersLeft;
    if (last) corners |= ImDrawFlags_RoundCornersRight;
    if (first || last) corners &= ~ImDrawFlags_RoundCornersNone;
    Ui::draw().AddRectFilled(r.min(), r.max(), on ? t.chosen : t.hovered, ui.px(radius), corners);
  }
  const Color color = !enabled ? fade(t.muted, 0.55f) : on ? t.on_chosen : t.muted;
  ui.text_in(r, TextStyle::body_medium, color, label, Align::centre);
}

float cell_width(const Ui& ui, std::string_view label) {
  return std::max(ui.measure(TextStyle::body_medium, label).x + 2 * ui.px(11), ui.px(28));
}

}  // namespace

float segmented_width(const Ui& ui, std::span<const Segment> segments) {
  float width = 0;
  for (const Segment& s : segments) width += cell_width(ui, s.label);
  return width;
}

std::optional<size_t> segmented(const Ui& ui, std::string_view id, const Rect& rect,
                                std::span<const Segment> segments, std::optional<size_t> chosen) {
  ui.fill(rect, ui.theme().raised, radius);
  std::optional<size_t> clicked;
  Rect rest = rect;
  for (size_t i = 0; i < segments.size(); ++i) {
    const Rect r = i + 1 == segments.size() ? rest : rest.cut_left(cell_width(ui, segments[i].label));
    const Press press = ui.press(fmt::format("{}.{}", id, segments[i].id), r, segments[i].enabled);
    cell(ui, r, segments[i].label, chosen == i, press.hovered, segments[i].enabled, i == 0,
         i + 1 == segments.size());
    if (press.clicked) clicked = i;
  }
  return clicked;
}

float toggles_width(const Ui& ui, std::span<const Toggle> toggles) {
  float width = 0;
  for (const Toggle& t : toggles) width += cell_width(ui, t.label);
  return width;
}

std::optional<size_t> toggles(const Ui& ui, std::string_view id, const Rect& rect,
                              std::span<const Toggle> all) {
  ui.fill(rect, ui.theme().raised, radius);
  std::optional<size_t> clicked;
  Rect rest = rect;
  for (size_t i = 0; i < all.size(); ++i) {
    const Rect r = i + 1 == all.size() ? rest : rest.cut_left(cell_width(ui, all[i].label));
    const Press press = ui.press(fmt::format("{}.{}", id, all[i].id), r, all[i].enabled);
    cell(ui, r, all[i].label, all[i].on, press.hovered, all[i].enabled, i == 0, i + 1 == all.size());
    if (press.clicked) clicked = i;
  }
  return clicked;
}

std::optional<double> slider_pill(const Ui& ui, std::string_view id, const Rect& rect, double value,
                                  const SliderSpec& spec) {
  const Theme& t = ui.theme();
  const auto to_unit = [&](double v) {
    return spec.logarithmic ? std::log(v / spec.low) / std::log(spec.high / spec.low)
                            : (v - spec.low) / (spec.high - spec.low);
  };
  const auto from_unit = [&](double u) {
    u = std::clamp(u, 0.0, 1.0);
    return spec.logarithmic ? spec.low * std::pow(spec.high / spec.low, u)
                            : spec.low + u * (spec.high - spec.low);
  };
  const auto rounded = [&](double v) {
    const double step = std::pow(10.0, -spec.digits);
    return std::clamp(std::round(v / step) * step, spec.low, spec.high);
  };
  ui.fill(rect, t.raised, radius);
  const Press press = ui.press(id, rect);
  const std::string number = fmt::format("{:.{}f}", value, spec.digits);
  Rect inside = rect.inset(ui.px(padding), 0);
  const float number_width = ui.measure(TextStyle::mono, fmt::format("{:.{}f}", spec.high, spec.digits)).x;
  ui.text_in(inside.cut_right(number_width), TextStyle::mono, t.text, number, Align::right);
  inside.cut_right(ui.px(10));
  const float knob = ui.px(7);
  const float y = (rect.y0 + rect.y1) / 2;
  const Rect track{inside.x0, y - ui.px(2), inside.x1, y + ui.px(2)};
  ui.fill(track, t.track, 2);
  const auto unit = static_cast<float>(std::clamp(to_unit(value), 0.0, 1.0));
  const float x = track.x0 + knob + unit * std::max(track.width() - 2 * knob, 1.f);
  Ui::draw().AddCircleFilled({x, y}, press.held || press.hovered ? knob * 1.15f : knob, t.accent, 24);

  if (press.double_clicked) return spec.reset;
  if (press.held && ImGui::IsMouseDown(ImGuiMouseButton_Left)) {
    const double u = (ImGui::GetIO().MousePos.x - track.x0 - knob) / std::max(track.width() - 2 * knob, 1.f);
    const double next = rounded(from_unit(u));
    if (next != value) return next;
  }
  if (press.hovered && ImGui::GetIO().MouseWheel != 0) {
    const double next = rounded(from_unit(to_unit(value) + 0.04 * ImGui::GetIO().MouseWheel));
    if (next != value) return next;
  }
  return std::nullopt;
}

float button_width(const Ui& ui, const ButtonSpec& spec) {
  if (spec.label.empty()) return ui.px(38);
  const TextStyle style = spec.main ? TextStyle::body_semibold : TextStyle::body_medium;
  return ui.measure(style, spec.label).x + (spec.icon ? ui.px(12) + ui.px(8) : 0) + 2 * ui.px(padding);
}

bool button(const Ui& ui, std::string_view id, const Rect& rect, const ButtonSpec& spec) {
  const Theme& t = ui.theme();
  const Press press = ui.press(id, rect, spec.enabled);
  Color ground = spec.main ? t.accent : press.hovered ? t.hovered : t.raised;
  if (spec.main && press.hovered) ground = mix(t.accent, t.strong, 0.18f);
  if (press.held) ground = mix(ground, t.background, 0.15f);
  Color ink = spec.main ? t.on_accent : t.text;
  if (!spec.enabled) {
    if (spec.main) ground = fade(ground, 0.45f);
    ink = fade(ink, 0.4f);
  }
  ui.fill(rect, ground, radius);
  const TextStyle style = spec.main ? TextStyle::body_semibold : TextStyle::body_medium;
  if (spec.label.empty()) {
    if (spec.icon) draw_icon(ui, *spec.icon, rect, 11, ink);
  } else {
    const float gap = spec.icon ? ui.px(12) + ui.px(8) : 0;
    const float room = rect.width() - 2 * ui.px(4);
    const float width = std::min(ui.measure(style, spec.label).x + gap, room);
    Rect content = rect.middle(width, rect.height());
    if (spec.icon) {
      draw_icon(ui, *spec.icon, content.cut_left(ui.px(12)), 10, ink);
      content.cut_left(ui.px(8));
    }
    ui.text_in(content, style, ink, spec.label);
  }
  if (press.hovered && !spec.tooltip.empty()) ui.tooltip(spec.tooltip);
  return press.clicked;
}

float pill_width(const Ui& ui, const PillSpec& spec) {
  float width = 2 * ui.px(padding);
  if (!spec.label.empty()) width += ui.measure(TextStyle::body, spec.label).x;
  if (!spec.detail.empty()) width += ui.measure(TextStyle::mono, spec.detail).x;
  if (!spec.label.empty() && !spec.detail.empty()) width += ui.px(10);
  if (spec.opens) width += ui.px(10) + ui.px(10);
  return width;
}

bool pill(const Ui& ui, std::string_view id, const Rect& rect, const PillSpec& spec) {
  const Theme& t = ui.theme();
  const Press press = ui.press(id, rect, spec.opens);
  ui.fill(rect, press.hovered ? t.hovered : t.raised, radius);
  Rect inside = rect.inset(ui.px(padding), 0);
  if (spec.opens) {
    draw_icon(ui, Icon::down, inside.cut_right(ui.px(10)), 9, t.text);
    inside.cut_right(ui.px(10));
  }
  if (!spec.detail.empty()) {
    const float detail = ui.measure(TextStyle::mono, spec.detail).x;
    const Color color = spec.label.empty() ? t.text : t.muted;
    ui.text_in(inside.cut_right(detail), TextStyle::mono, color, spec.detail, Align::right);
    if (!spec.label.empty()) inside.cut_right(ui.px(10));
  }
  if (!spec.label.empty()) ui.text_in(inside, TextStyle::body, t.text, spec.label);
  return press.clicked;
}

}  // namespace headlight::app
