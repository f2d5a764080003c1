// The playhead's slider: the whole pass as one line, its phases in their colours, a knob where the pass
// stands.
#include <fmt/format.h>
#include <imgui.h>

#include <algorithm>
#include <cmath>

#include "app/views/chrome/chrome.h"

namespace headlight::app {

int step_at(float x, const Rect& track, int steps) {
  const float unit = (x - track.x0) / std::max(track.width(), 1.f);
  return std::clamp(static_cast<int>(std::lround(unit * static_cast<float>(steps - 1))), 0, steps - 1);
}

void draw_playhead(const ViewContext& c, CommandQueue& commands, Rect area) {
  if (!c.run || c.step < 0) return;
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const Program& program = *c.run->recorded_program;
  const auto steps = static_cast<int>(program.steps().size());
  const std::string count = fmt::format("{} / {}", c.step + 1, steps);
  const float count_width = ui.measure(TextStyle::mono_small, fmt::format("{} / {}", steps, steps)).x;
  if (steps < 2 || area.width() < count_width + ui.px(80)) return;
  ui.text_in(area.cut_right(count_width), TextStyle::mono_small, t.muted, count, Align::right);
  area.cut_right(ui.px(14));

  const float knob = ui.px(7), y = area.centre().y;
  const Rect track{area.x0 + knob, y - ui.px(2), area.x1 - knob, y + ui.px(2)};
  const auto x_of = [&](int step) {
    return track.x0 + track.width() * static_cast<float>(step) / static_cast<float>(steps - 1);
  };
  const std::pair<Phase, Color> phases[] = {{Phase::forward, t.residual},
                                            {Phase::loss, t.logits},
                                            {Phase::backward, t.gradient},
                                            {Phase::update, t.muted}};
  for (const auto& [phase, color] : phases) {
    const Program::Range range = program.range(phase);
    if (range.first == range.last) continue;
    const Rect part{x_of(range.first), track.y0, x_of(std::min(range.last, steps - 1)), track.y1};
    ui.fill(part, fade(color, 0.45f));
    ui.fill({part.x0, part.y0, std::clamp(x_of(c.step), part.x0, part.x1), part.y1}, color);
  }
  const Press press = ui.press("playhead", area);
  Ui::draw().AddCircleFilled({x_of(c.step), y}, press.held || press.hovered ? knob * 1.15f : knob, t.accent,
                             24);
  if (!press.hovered && !press.held) return;
  const int pointed = step_at(ImGui::GetIO().MousePos.x, track, steps);
  const std::string& name = program.step(pointed).name;
  if (press.held && ImGui::IsMouseDown(ImGuiMouseButton_Left) && pointed != c.step)
    commands.push("step.go", name);
  ui.tooltip(fmt::format("{} · {}", pointed + 1, name));
}

}  // namespace headlight::app
