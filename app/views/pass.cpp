// The Pass view: the current step's equation and its output.
#include "app/views/pass.h"

#include <fmt/format.h>

#include "app/widgets/equation.h"
#include "app/widgets/matrix.h"

namespace headlight::app {

void PassView::draw(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  if (!c.run || c.step < 0) return;
  const Step& step = c.run->program().step(c.step);
  Rect area = c.area;
  area.cut_top(draw_equation(ui, area.min(), step.op->equation(), area.width()).y);
  area.cut_top(ui.px(8));
  ui.text_in(area.cut_top(ui.line_height(TextStyle::small)), TextStyle::small, t.muted, step.name);
  area.cut_top(ui.px(14));
  if (step.outputs.empty() || step.outputs[0] == no_buffer) return;
  const auto plane =
      compared_plane(c.run, c.session.state.pins, c.run->program().buffer(step.outputs[0]).name, c.head);
  if (plane.plane.empty()) return;
  std::vector<std::string> labels;
  for (const std::string& token : c.tokens) labels.push_back(axis_text(token));
  const auto is_time = [](std::string_view axis) { return axis == "T" || axis == "Tq" || axis == "Tk"; };
  MatrixSpec spec;
  spec.map = {plane.key, plane.plane, plane.owner, {.low = plane.low, .high = plane.high}};
  spec.map.style.map = plane.is_signed ? ColorMap::diverging : ui.magnitudes();
  spec.map.style.hatch_future = plane.a.name.ends_with("hook_pattern");
  if (is_time(plane.a.row_axis)) spec.row_labels = labels;
  if (is_time(plane.a.col_axis)) spec.col_labels = labels;
  std::optional<BufferPlane::Cell> cell;
  if (c.provenance != nullptr && c.provenance->cell.buffer == plane.a.buffer)
    cell = plane.a.cell(c.provenance->cell.offset);
  MatrixMark mark;
  if (cell) {
    spec.lit_row = spec.outlined_row = cell->row;
    spec.lit_col = cell->col;
    mark = {cell->row, cell->col, t.strong, 2.5f};
    spec.marks = {&mark, 1};
  }
  const MatrixResult m = matrix(ui, "output", fit_matrix(ui, area, spec), spec);
  if (m.hovered) c.hover = CellPick{plane.a.name, plane.a.offset(m.hovered->row, m.hovered->col)};
  if (m.clicked)
    commands.push("cell.pin",
                  fmt::format("{} {}", plane.a.name, plane.a.offset(m.clicked->row, m.clicked->col)));
}

}  // namespace headlight::app
