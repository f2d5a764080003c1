// Legends.
#include "app/widgets/legend.h"

#include "app/widgets/flow.h"

namespace headlight::app {

float chart_legend(const Ui& ui, const Rect& rect, std::span<const Series> series) {
  const float sample = ui.px(22), gap = ui.px(7);
  Flow flow(ui, rect, 18, 14, 0);
  for (const Series& s : series) {
    Rect r = flow.next(sample + gap + ui.measure(TextStyle::label, s.name).x + 1);
    const Rect line = r.cut_left(sample);
    const ImVec2 a{line.x0, line.centre().y}, b{line.x1, line.centre().y};
    if (s.dashed)
      ui.dashed(a, b, s.color, s.width_css, s.on_css, s.off_css);
    else
      Ui::draw().AddLine(a, b, s.color, std::max(1.f, s.width_css * ui.scale()));
    if (s.markers) Ui::draw().AddCircleFilled(line.centre(), ui.px(3), s.color, 12);
    r.cut_left(gap);
    ui.text_in(r, TextStyle::label, ui.theme().muted, s.name);
  }
  return flow.bottom() - rect.y0;
}

}  // namespace headlight::app
