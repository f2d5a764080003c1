// Text, shapes and hit tests on ImGui's draw lists.
#include "app/widgets/ui.h"

#include <cmath>
#include <numbers>

namespace headlight::app {

Ui::Ui(Parts parts, ThemeKind kind, Language language, float scale, ColorMap magnitudes, bool motion)
    : parts_(parts),
      theme_(headlight::app::theme(kind)),
      language_(language),
      scale_(scale),
      magnitudes_(magnitudes),
      motion_(motion) {}

ImVec2 Ui::measure(TextStyle style, std::string_view text) const { return parts_.fonts.measure(style, text); }

float Ui::text(ImVec2 at, TextStyle style, Color color, std::string_view text) const {
  if (text.empty()) return 0;
  ImFont* font = parts_.fonts.font(style);
  draw().AddText(font, font->FontSize, {std::round(at.x), std::round(at.y)}, color, text.data(),
                 text.data() + text.size());
  return measure(style, text).x;
}

std::string elide(const Fonts& fonts, TextStyle style, std::string_view text, float width) {
  std::string cut(text);
  while (!cut.empty() && fonts.measure(style, cut + "…").x > width) {
    do cut.pop_back();
    while (!cut.empty() && (static_cast<unsigned char>(cut.back()) & 0xC0u) == 0x80u);
    if (!cut.empty() && static_cast<unsigned char>(cut.back()) >= 0xC0u) cut.pop_back();
  }
  return cut + "…";
}

float Ui::text_in(const Rect& rect, TextStyle style, Color color, std::string_view text, Align align) const {
  const ImVec2 size = measure(style, text);
  std::string shorter;
  float width = size.x;
  if (width > rect.width() + 1) {
    parts_.controls.add_cut(text, rect, width);
    shorter = elide(parts_.fonts, style, text, rect.width());
    text = shorter;
    width = measure(style, text).x;
    if (width > rect.width() + 0.5f) return 0;
  }
  float x = rect.x0;
  if (align == Align::centre) x += (rect.width() - width) / 2;
  if (align == Align::right) x = rect.x1 - width;
  this->text({x, rect.y0 + (rect.height() - size.y) / 2}, style, color, text);
  return width;
}

float Ui::paragraph(const Rect& rect, TextStyle style, Color color, std::string_view text) const {
  ImFont* font = parts_.fonts.font(style);
  const float leading = std::round(font->FontSize * 1.2f);
  const char* p = text.data();
  const char* end = p + text.size();
  float y = rect.y0;
  while (p < end) {
    const char* stop = font->CalcWordWrapPositionA(1.f, p, end, rect.width());
    if (stop == p) ++stop;
    if (const char* newline = static_cast<const char*>(memchr(p, '\n', static_cast<size_t>(stop - p))))
      stop = newline;
    if (color != 0) this->text({rect.x0, y}, style, color, {p, static_cast<size_t>(stop - p)});
    y += leading;
    p = stop;
    while (p < end && (*p == ' ' || *p == '\n')) ++p;
  }
  return y - rect.y0;
}

void Ui::rotated_text(ImVec2 at, float degrees, TextStyle style, Color color, std::string_view text) const {
  ImDrawList& list = draw();
  ImFont* font = parts_.fonts.font(style);
  const int first = list.VtxBuffer.Size;
  // Glyphs are laid out beside the origin on whole pixels, then turned about it. Laying out passes over those
  // outside the rectangle it is given, which therefore has no ends; the current clip rectangle still cuts the
  // result.
  const ImVec4 everywhere{-1e9f, -1e9f, 1e9f, 1e9f};
  const float half = font->FontSize / 2;
  const ImVec2 base{std::round(at.x), std::round(at.y)};
  font->RenderText(&list, font->FontSize, {base.x, base.y - std::round(half)}, color, everywhere, text.data(),
                   text.data() + text.size());
  const float angle = -degrees * std::numbers::pi_v<float> / 180;
  const float c = std::cos(angle), s = std::sin(angle);
  for (int i = first; i < list.VtxBuffer.Size; ++i) {
    ImVec2& p = list.VtxBuffer[i].pos;
    const float x = p.x - base.x, y = p.y - base.y;
    p = {base.x + c * x - s * y, base.y + s * x + c * y};
  }
}

void Ui::fill(const Rect& r, Color color, float radius_css) const {
  if (!r.empty()) draw().AddRectFilled(r.min(), r.max(), color, px(radius_css));
}

void Ui::outline(const Rect& r, Color color, float width_css, float radius_css) const {
  draw().AddRect(r.min(), r.max(), color, px(radius_css), 0, std::max(1.f, width_css * scale_));
}

void Ui::horizontal(float x0, float x1, float y, Color color) const {
  const float w = std::max(1.f, std::floor(scale_));
  draw().AddRectFilled({x0, y}, {x1, y + w}, color);
}

void Ui::vertical(float x, float y0, float y1, Color color) const {
  const float w = std::max(1.f, std::floor(scale_));
  draw().AddRectFilled({x, y0}, {x + w, y1}, color);
}

void Ui::dashed(ImVec2 a, ImVec2 b, Color color, float width_css, float on_css, float off_css) const {
  const float length = std::hypot(b.x - a.x, b.y - a.y);
  if (length <= 0) return;
  const ImVec2 d{(b.x - a.x) / length, (b.y - a.y) / length};
  const float on = on_css * scale_, period = on + off_css * scale_;
  for (float t = 0; t < length; t += period) {
    const float u = std::min(t + on, length);
    draw().AddLine({a.x + d.x * t, a.y + d.y * t}, {a.x + d.x * u, a.y + d.y * u}, color, width_css * scale_);
  }
}

void Ui::heat_map(const Rect& rect, HeatMap map, const Rect& cells) const {
  if (map.plane.empty() || rect.empty()) return;
  parts_.heat_maps.push_back(std::move(map));
  draw().AddImage(&parts_.heat_maps.back(), rect.min(), rect.max(), {cells.x0, cells.y0},
                  {cells.x1, cells.y1});
}

Press Ui::press(std::string_view id, const Rect& rect, bool enabled) const {
  const ImVec2 low = draw().GetClipRectMin(), high = draw().GetClipRectMax();
  parts_.controls.add(id, rect, {low.x, low.y, high.x, high.y}, enabled);
  Press press;
  if (!enabled || rect.empty()) return press;
  const ImVec2 before = ImGui::GetCursorScreenPos();
  ImGui::SetCursorScreenPos(rect.min());
  ImGui::PushID(id.data(), id.data() + id.size());
  press.clicked = ImGui::InvisibleButton("", rect.size());
  press.hovered = ImGui::IsItemHovered();
  press.held = ImGui::IsItemActive();
  press.right_clicked = press.hovered && ImGui::IsMouseClicked(ImGuiMouseButton_Right);
  press.double_clicked = press.hovered && ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left);
  ImGui::PopID();
  ImGui::SetCursorScreenPos(before);
  return press;
}

void Ui::tooltip(std::string_view text) const {
  ImGui::PushFont(parts_.fonts.font(TextStyle::caption));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, {px(10), px(8)});
  ImGui::BeginTooltip();
  ImGui::PushTextWrapPos(px(360));
  ImGui::TextUnformatted(text.data(), text.data() + text.size());
  ImGui::PopTextWrapPos();
  ImGui::EndTooltip();
  ImGui::PopStyleVar();
  ImGui::PopFont();
}

}  // namespace headlight::app
