// Tabs of the views.
#include <fmt/format.h>

#include <filesystem>

#include "app/views/chrome/chrome.h"

namespace headlight::app {

void draw_tabs(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  Rect rest = c.area.inset(ui.px(24), 0);
  float wanted = 0;
  for (int i = 0; i < view_count; ++i)
    wanted +=
        ui.measure(TextStyle::body_medium, ui.tr(fmt::format("view.{}", view_name(static_cast<ViewId>(i)))))
            .x +
        ui.px(36);
  // Narrow windows: less air, the same words.
  const float padding = wanted <= rest.width()
                            ? ui.px(16)
                            : std::max(ui.px(4), ui.px(16) - (wanted - rest.width()) / (2 * view_count));
  for (int i = 0; i < view_count; ++i) {
    const auto id = static_cast<ViewId>(i);
    const std::string& label = ui.tr(fmt::format("view.{}", view_name(id)));
    const float width = ui.measure(TextStyle::body_medium, label).x + 2 * padding;
    const Rect r = rest.cut_left(width);
    rest.cut_left(padding / 4);
    const Press press = ui.press(fmt::format("tab.{}", view_name(id)), r);
    const bool on = c.session.state.layout.view == id;
    ui.text_in(r, TextStyle::body_medium,
               on              ? t.strong
               : press.hovered ? t.text
                               : t.muted,
               label, Align::centre);
    if (on) ui.fill({r.x0, c.area.y1 - ui.px(2), r.x1, c.area.y1}, t.accent);
    if (press.clicked) commands.push(fmt::format("view.{}", view_name(id)));
  }
  if (c.snapshot.busy) {
    // A dot while the engine works on a request.
    const Rect dot = rest.cut_right(ui.px(16));
    Ui::draw().AddCircleFilled(dot.centre(), ui.px(3), t.accent, 12);
  }
  rest.cut_left(ui.px(24));
  if (c.snapshot.loading) {
    const LoadingState& loading = *c.snapshot.loading;
    const auto percent = static_cast<int>(loading.fraction * 100);
    const std::string name = std::filesystem::path(loading.path).filename().string();
    const std::string words = fmt::format(fmt::runtime(ui.tr("loading.opening")), name, percent);
    ui.text_in(rest, TextStyle::body_medium, t.muted, words, Align::right);
    const float width = (c.area.x1 - c.area.x0) * static_cast<float>(loading.fraction);
    ui.fill({c.area.x0, c.area.y1 - ui.px(3), c.area.x0 + width, c.area.y1}, t.accent);
  } else if (c.session.state.layout.view != ViewId::tokens) {  // there the transport moves merges
    draw_playhead(c, commands, rest);
  }
  ui.horizontal(c.area.x0, c.area.x1, c.area.y1 - 1, t.line);
}

}  // namespace headlight::app
