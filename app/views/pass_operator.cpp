// The operator between inputs and output, and the lines from the cells that made the explained one.
#include <algorithm>
#include <cmath>

#include "app/views/pass_stage.h"
#include "app/widgets/arcs.h"
#include "app/widgets/icons.h"

namespace headlight::app {
namespace {

constexpr TextStyle tick_style = TextStyle::mono_small;

}  // namespace

void draw_pass_chip(PassStage& stage) {
  const Ui& ui = stage.context.ui;
  const Theme& t = ui.theme();
  const PassScene& scene = stage.scene;
  const Rect& room = stage.geometry.chip;
  if (room.empty()) return;
  // Not what a backward pass computes again on its way.
  const bool gradient = std::any_of(scene.matrices.begin(), scene.matrices.end(), [](const PassMatrix& m) {
    return m.part == PassMatrix::Part::output && m.gradient;
  });
  const std::string name = ui.tr("pass.chip." + scene.kind);
  const std::string detail =
      scene.chip_detail.empty() ? ui.tr("pass.detail." + scene.kind) : scene.chip_detail;
  const Color color = gradient                                        ? t.gradient
                      : scene.meaning == EquationPart::Meaning::plain ? t.text
                                                                      : t.meaning(scene.meaning);
  const float name_w = ui.measure(TextStyle::operation, name).x, detail_w = ui.measure(tick_style, detail).x;
  if (stage.geometry.downwards) {
    // One line below the inputs, with an arrow downwards.
    const float arrow = ui.px(16), pad = ui.px(12), gap = ui.px(12);
    const float width = std::min(arrow + name_w + gap + detail_w + 2 * pad + ui.px(6), room.width());
    const Rect chip{room.x0, room.centre().y - ui.px(15), room.x0 + width, room.centre().y + ui.px(15)};
    stage.chip = chip;
    ui.fill(chip, t.raised, 10);
    Rect inside = chip.inset(pad, 0);
    draw_icon(ui, Icon::down, inside.cut_left(arrow), 9, t.muted);
    inside.cut_left(ui.px(6));
    ui.text_in(inside.cut_left(name_w), TextStyle::operation, color, name);
    inside.cut_left(gap);
    if (inside.width() + 1 >= detail_w) ui.text_in(inside, tick_style, t.muted, detail);
    return;
  }
  const float pad = ui.px(14);
  const float width =
      std::min(std::max(std::max(name_w, detail_w) + 2 * pad, ui.px(92)), room.width() - ui.px(6));
  const float height = ui.px(62);
  if (width < ui.px(40)) return;
  // Beside few rows it starts in line with them.
  const float top = stage.geometry.crossed ? room.centre().y - height / 2
                                           : std::max(room.centre().y - height / 2, room.y0 - ui.px(6));
  const Rect chip{room.centre().x - width / 2, top, room.centre().x + width / 2, top + height};
  if (stage.geometry.crossed && room.height() < height) return;
  stage.chip = chip;
  ui.fill(chip, t.raised, 12);
  Rect inside = chip.inset(ui.px(4), ui.px(8));
  const bool both = detail_w <= inside.width();
  if (both)
    ui.text_in(inside.cut_bottom(ui.line_height(tick_style) + ui.px(2)), tick_style, t.muted, detail,
               Align::centre);
  if (name_w <= inside.width())
    ui.text_in(inside, TextStyle::operation, color, name, Align::centre);
  else
    ui.text_in(inside, TextStyle::operation, color,
               elide(ui.fonts(), TextStyle::operation, name, inside.width()), Align::centre);
}

void draw_pass_flows(const PassStage& stage) {
  const PassFlows& flows = stage.flows;
  if (!flows.to || flows.lines.empty()) return;
  const Ui& ui = stage.context.ui;
  const Theme& t = ui.theme();
  const MatrixResult& end = stage.drawn[static_cast<size_t>(flows.to->matrix)];
  if (end.cell_w <= 0) return;
  const ImVec2 to = end.centre(flows.to->row, flows.to->col);
  if (!end.cells.inset(-2).contains(to)) return;
  const Rect& chip = stage.chip;
  const Color negative = map_color(ColorMap::diverging, 0.1f, t.kind);
  const bool product = stage.geometry.crossed;
  ImDrawList& list = Ui::draw();
  const ImVec2 chip_left{chip.x0 + ui.px(10), chip.centre().y},
      chip_right{chip.x1 - ui.px(10), chip.centre().y};
  // Smallest first, so that the large ones lie on top.
  for (auto it = flows.lines.rbegin(); it != flows.lines.rend(); ++it) {
    const MatrixResult& source = stage.drawn[static_cast<size_t>(it->from.matrix)];
    if (source.cell_w <= 0) continue;
    const ImVec2 from = source.centre(it->from.row, it->from.col);
    if (!source.cells.inset(-2).contains(from)) continue;
    const Color color = fade(it->value < 0 ? negative : t.accent, 0.14f + 0.66f * std::sqrt(it->weight));
    const float width = std::max(0.6f, (0.6f + 3.4f * it->weight) * ui.scale());
    if (product) {
      // Along the row or the column, bowed so that neighbours stay apart.
      const float dx = to.x - from.x, dy = to.y - from.y;
      const float bow = std::min(ui.px(42), std::hypot(dx, dy) * 0.16f);
      const bool sideways = std::abs(dx) > std::abs(dy);
      const ImVec2 a =
          sideways ? ImVec2{from.x + dx * 0.3f, from.y - bow} : ImVec2{from.x + bow, from.y + dy * 0.3f};
      const ImVec2 b =
          sideways ? ImVec2{from.x + dx * 0.7f, to.y - bow} : ImVec2{to.x + bow, from.y + dy * 0.7f};
      list.AddBezierCubic(from, a, b, to, color, width);
    } else if (stage.geometry.downwards) {
      const float bend = (to.y - from.y) * 0.45f;
      list.AddBezierCubic(from, {from.x, from.y + bend}, {to.x, to.y - bend}, to, color, width);
    } else if (!chip.empty() && from.x < chip.x0 && to.x > chip.x1) {
      flow_line(ui, from, chip_left, color, 0.6f + 3.4f * it->weight);
    } else {
      flow_line(ui, from, to, color, 0.6f + 3.4f * it->weight);
    }
  }
  if (!product && !stage.geometry.downwards && !chip.empty() && to.x > chip.x1)
    flow_line(ui, chip_right, {to.x - end.cell_w / 2, to.y}, fade(t.accent, 0.8f), 2.5f);
}

}  // namespace headlight::app
