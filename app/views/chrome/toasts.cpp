// Toasts.
#include <imgui_internal.h>

#include <algorithm>
#include <cmath>

#include "app/views/chrome/chrome.h"

namespace headlight::app {
namespace {

constexpr size_t most = 4;

}  // namespace

void Toasts::add(Notice::Level level, std::string text, double now) {
  newest_ = text;
  std::erase_if(shown_, [&](const Toast& toast) { return toast.text == text; });
  shown_.push_back({level, std::move(text), now + (level == Notice::Level::info ? 5 : 12)});
  while (shown_.size() > most) shown_.pop_front();
}

void Toasts::take(const Snapshot& snapshot, double now) {
  for (const Notice& notice : snapshot.notices) {
    if (notice.id <= last_id_) continue;
    last_id_ = notice.id;
    add(notice.level, notice.text, now);
  }
}

void Toasts::draw(const Ui& ui, const Rect& area, double now) {
  std::erase_if(shown_, [&](const Toast& toast) { return toast.until < now; });
  if (shown_.empty()) return;
  const Theme& t = ui.theme();
  const float width = std::min(ui.px(420), area.width() - ui.px(32));
  float height = 0;
  std::vector<float> heights;
  const auto text_room = [&](float y) { return Rect{0, y, width - ui.px(40), y}; };
  for (const Toast& toast : shown_) {
    heights.push_back(ui.paragraph(text_room(0), TextStyle::small, 0, toast.text) + ui.px(24));
    height += heights.back() + ui.px(8);
  }
  const float x = area.x1 - ui.px(16) - width;
  float y = area.y1 - ui.px(16) - height;
  ImGui::SetNextWindowPos({x, y});
  ImGui::SetNextWindowSize({width, height});
  ImGui::Begin("toasts", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
                   ImGuiWindowFlags_NoBackground | ImGuiWindowFlags_NoFocusOnAppearing |
                   ImGuiWindowFlags_NoNav);
  ImGui::BringWindowToDisplayFront(ImGui::GetCurrentWindow());
  size_t i = 0;
  std::optional<size_t> closed;
  for (const Toast& toast : shown_) {
    const Rect r{x, y, x + width, y + heights[i]};
    y = r.y1 + ui.px(8);
    const Press press = ui.press("toast." + std::to_string(i), r);
    const Color mark = toast.level == Notice::Level::error     ? t.error
                       : toast.level == Notice::Level::warning ? t.warning
                                                               : t.accent;
    ui.fill(r, t.raised, 8);
    ui.outline(r, t.line, 1, 8);
    ui.fill({r.x0 + ui.px(8), r.y0 + ui.px(10), r.x0 + ui.px(11), r.y1 - ui.px(10)}, mark, 2);
    ui.paragraph({r.x0 + ui.px(22), r.y0 + ui.px(12), r.x1 - ui.px(18), r.y1}, TextStyle::small, t.text,
                 toast.text);
    if (press.clicked) closed = i;
    ++i;
  }
  ImGui::End();
  if (closed) shown_.erase(shown_.begin() + static_cast<std::ptrdiff_t>(*closed));
}

}  // namespace headlight::app
