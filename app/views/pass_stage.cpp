// Matrices with titles, ticks, scales and marks.
#include "app/views/pass_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace headlight::app {
namespace {

using Attach = PassMatrix::Attach;

constexpr TextStyle tick_style = TextStyle::mono_small;
constexpr float cells_with_numbers = 38;  ///< CSS pixels from which on a cell shows its value
constexpr float zoomable_below = 6;       ///< cells smaller than this can be zoomed into

/// Multiples of a power of two, far enough apart.
int64_t tick_step(float cell, float pitch) {
  int64_t step = 1;
  while (static_cast<float>(step) * cell < pitch) step *= 2;
  return step;
}

HeatStyle style_of(const Ui& ui, const PassMatrix& m) {
  HeatStyle style;
  style.low = m.shown.low;
  style.high = m.shown.high;
  style.map = m.shown.is_signed ? ColorMap::diverging : ui.magnitudes();
  style.theme = ui.theme().kind;
  style.hatch_future = m.hatch_future && !m.shown.difference;
  return style;
}

std::string hook_text(const PassMatrix& m) {
  std::string name = m.detail;
  if (name.starts_with("blocks.")) name.erase(0, name.find('.', 7) + 1);
  if (name.starts_with("attn.") || name.starts_with("mlp.")) name.erase(0, name.find('.') + 1);
  return name;
}

std::string shape_text(const PassMatrix& m) {
  std::string_view row = m.cells.row_axis, col = m.cells.col_axis;
  if (m.transposed) std::swap(row, col);
  if (m.rows() == 1) return fmt::format("{} {}", col, m.cols());
  if (m.windowed() && !m.shown.plane.empty() && !m.transposed)
    return fmt::format("{} {}–{} ∕ {} × {} {}", row, m.first_row, m.first_row + m.rows() - 1,
                       m.cells.all_rows, col, m.cols());
  return fmt::format("{} {} × {} {}", row, m.rows(), col, m.cols());
}

/// The end of a scale: two decimals, or two digits where those would be zeros.
std::string scale_text(float value) {
  const double size = std::abs(static_cast<double>(value));
  if (size == 0 || size >= 0.1) return number_text(static_cast<double>(value), 2);
  if (size >= 0.001) return number_text(static_cast<double>(value), size >= 0.01 ? 3 : 4);
  std::string text = fmt::format("{:.1e}", value);
  if (text.front() == '-') text.replace(0, 1, "−");
  return text;
}

void gradient_bar(const Rect& room, const HeatStyle& style) {
  constexpr int steps = 16;
  for (int i = 0; i < steps; ++i) {
    const float u = static_cast<float>(i) / steps, v = static_cast<float>(i + 1) / steps;
    const Color left = map_color(style.map, u, style.theme), right = map_color(style.map, v, style.theme);
    Ui::draw().AddRectFilledMultiColor({room.x0 + u * room.width(), room.y0},
                                       {room.x0 + v * room.width(), room.y1}, left, right, right, left);
  }
}

/// The bar with its ends' values below it.
void legend_below(const Ui& ui, const Rect& rect, const HeatStyle& style) {
  const float line = ui.line_height(tick_style);
  gradient_bar({rect.x0, rect.y0, rect.x1, rect.y0 + ui.px(8)}, style);
  const Rect numbers{rect.x0, rect.y0 + ui.px(10), rect.x1, rect.y0 + ui.px(10) + line};
  ui.text_in(numbers, tick_style, ui.theme().muted, scale_text(style.low));
  ui.text_in(numbers, tick_style, ui.theme().muted, scale_text(style.high), Align::right);
}

/// "−2.1 ▬▬▬ 2.1" in one line, ending at the right. Returns its width, also when it only measures.
float inline_legend(const Ui& ui, const Rect& line, const HeatStyle& style, bool measure_only) {
  const std::string low = scale_text(style.low), high = scale_text(style.high);
  const float a = ui.measure(tick_style, low).x, b = ui.measure(tick_style, high).x;
  const float bar = ui.px(72), gap = ui.px(6), width = a + bar + b + 2 * gap;
  if (measure_only) return width;
  Rect r{line.x1 - width, line.y0, line.x1, line.y1};
  ui.text_in(r.cut_left(a), tick_style, ui.theme().muted, low);
  ui.text_in(r.cut_right(b), tick_style, ui.theme().muted, high);
  gradient_bar(r.inset(gap, 0).middle(bar, ui.px(7)), style);
  return width;
}

/// The length of a weight or a gradient, where it has room.
void draw_norm(const Ui& ui, const PassMatrix& m, const Rect& room) {
  const std::string text = "‖·‖ = " + number_text(*m.norm, 4);
  if (ui.measure(TextStyle::mono, text).x <= room.width())
    ui.text_in(room, TextStyle::mono, ui.theme().text, text);
}

/// Title, hook name, shape, and the scale where it has no room below; what does not fit is left out.
void draw_header(const Ui& ui, const PassMatrix& m, const PassSlotRects& slot) {
  const Theme& t = ui.theme();
  Rect line = slot.header;
  line.y1 -= ui.px(4);
  const std::string title = pass_title(ui, m);
  const float room = line.width();
  const float wide = ui.measure(TextStyle::heading, title).x;
  const Rect place = line.cut_left(std::min(wide, room));
  const std::string shown = wide <= room ? title : elide(ui.fonts(), TextStyle::heading, title, room);
  ui.text_in(place, TextStyle::heading, m.gradient || m.derived ? t.gradient : t.text, shown);
  if (slot.legend.empty() && m.missing == PassMatrix::Missing::none) {
    const HeatStyle style = style_of(ui, m);
    const float legend = inline_legend(ui, line, style, true);
    if (legend + ui.px(16) < line.width()) {
      // At the end of the cells where the title leaves room, else behind it.
      const float end = std::max(std::min(line.x1, slot.cells.x1), line.x0 + ui.px(16) + legend);
      inline_legend(ui, {line.x0, line.y0, end, line.y1}, style, false);
      line.x1 = end - legend - ui.px(16);
    }
  }
  line.cut_left(ui.px(12));
  for (const std::string& text : {m.derived ? std::string() : hook_text(m), shape_text(m)}) {
    const float width = ui.measure(TextStyle::mono, text).x;
    if (text.empty() || width > line.width()) continue;
    ui.text_in(line.cut_left(width), TextStyle::mono, t.muted, text);
    line.cut_left(ui.px(12));
  }
  if (m.norm && slot.legend.empty()) draw_norm(ui, m, line);
}

/// Numbers along an axis of features; every head's or third's bracket above them.
void draw_ticks(const Ui& ui, const PassMatrix& m, const PassSlotRects& slot, const MatrixResult& r) {
  const Theme& t = ui.theme();
  const float line = ui.line_height(tick_style);
  const Rect& cells = slot.cells;
  if (m.col_axis == PassAxis::index && slot.column_labels && m.attach == Attach::none) {
    const int64_t step = tick_step(r.cell_w, ui.px(36));
    for (int64_t j = (r.first_col + step - 1) / step * step; j < m.cols(); j += step) {
      const float x = r.centre(0, j).x;
      if (x > cells.x1) break;
      const std::string text = std::to_string(j);
      ui.text({x - ui.measure(tick_style, text).x / 2, cells.y0 - line - ui.px(3)}, tick_style, t.muted,
              text);
    }
  }
  if (m.row_axis == PassAxis::index && m.attach == Attach::none && m.rows() > 1) {
    const int64_t step = tick_step(r.cell_h, line * 1.05f);
    for (int64_t i = (r.first_row + step - 1) / step * step; i < m.rows(); i += step) {
      const float y = r.centre(i, 0).y;
      if (y > cells.y1) break;
      const std::string text = std::to_string(m.first_row + i);
      ui.text({cells.x0 - ui.px(8) - ui.measure(tick_style, text).x, y - line / 2}, tick_style, t.muted,
              text);
    }
  }
  if (m.bands.empty() || !slot.column_labels) return;
  const float top = cells.y0 - (m.col_axis == PassAxis::index ? line + ui.px(5) : ui.px(2));
  const bool named = r.cell_w * static_cast<float>(m.bands[0].last - m.bands[0].first) > ui.px(14);
  for (const PassBand& band : m.bands) {
    const float x0 = std::max(r.origin_x + static_cast<float>(band.first) * r.cell_w, cells.x0);
    const float x1 = std::min(r.origin_x + static_cast<float>(band.last) * r.cell_w, cells.x1);
    if (x1 - x0 < 2) continue;
    const Color color = t.meaning(band.meaning);
    ui.fill({x0, top - ui.px(3), x1 - ui.px(2), top}, color);
    if (!named) continue;
    const float width = ui.measure(TextStyle::mono_bold, band.text).x;
    if (width < x1 - x0)
      ui.text({(x0 + x1 - width) / 2, top - ui.px(4) - ui.line_height(TextStyle::mono_bold)},
              TextStyle::mono_bold, color, band.text);
  }
}

/// The values themselves, where cells are large.
void draw_numbers(const Ui& ui, const PassMatrix& m, const MatrixResult& r, const HeatStyle& style) {
  if (r.cell_w < ui.px(cells_with_numbers) || r.cell_h < ui.line_height(tick_style) ||
      m.rows() * m.cols() > 400)
    return;
  for (int64_t i = 0; i < m.rows(); ++i) {
    for (int64_t j = 0; j < m.cols(); ++j) {
      if ((m.used_rows >= 0 && i >= m.used_rows) || (m.used_cols >= 0 && j >= m.used_cols)) continue;
      const float v = m.shown.plane.at(i, j);
      if (!std::isfinite(v) || (style.hatch_future && j > i && v == 0)) continue;
      const float u = (v - style.low) / std::max(style.high - style.low, 1e-30f);
      const Color ground = map_color(style.map, std::clamp(u, 0.f, 1.f), style.theme);
      const Color ink = luminance(ground) > 0.18 ? rgb(0x10141a) : rgb(0xffffff);
      const std::string text = number_text(static_cast<double>(v), 2);
      const float width = ui.measure(tick_style, text).x;
      if (width + 2 > r.cell_w) continue;
      const ImVec2 at = r.centre(i, j);
      ui.text({at.x - width / 2, at.y - ui.line_height(tick_style) / 2}, tick_style, ink, text);
    }
  }
}

void draw_missing(const ViewContext& c, const PassMatrix& m, const Rect& cells) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  ui.fill(cells, t.masked);
  ui.outline(cells, t.line);
  const bool over = m.missing == PassMatrix::Missing::over_budget;
  const Rect inside = cells.inset(ui.px(10), ui.px(8));
  if (inside.width() > ui.px(60) && inside.height() > ui.line_height(TextStyle::caption))
    ui.paragraph(inside, TextStyle::caption,
                 !c.failure.empty() ? t.warning
                 : c.recording      ? t.accent
                                    : t.muted,
                 !c.failure.empty() ? c.failure
                 : c.recording      ? ui.tr("recording.buffer")
                 : over             ? ui.tr("pass.over_budget")
                                    : ui.tr("pass.not_captured"));
}

/// Places of a cache that no token lies in cover what their memory holds.
void draw_unused(const Ui& ui, const PassMatrix& m, const Rect& cells, const MatrixResult& r) {
  const Theme& t = ui.theme();
  const bool in_rows = m.used_rows >= 0;
  if (!in_rows && m.used_cols < 0) return;
  Rect rest = cells;
  if (in_rows)
    rest.y0 = std::clamp(r.origin_y + static_cast<float>(m.used_rows) * r.cell_h, cells.y0, cells.y1);
  else
    rest.x0 = std::clamp(r.origin_x + static_cast<float>(m.used_cols) * r.cell_w, cells.x0, cells.x1);
  if (rest.empty()) return;
  ui.fill(rest, t.surface);
  const Rect frame = rest.inset(1);
  const std::array<ImVec2, 5> corners = {frame.min(), ImVec2{frame.x1, frame.y0}, frame.max(),
                                         ImVec2{frame.x0, frame.y1}, frame.min()};
  for (size_t i = 0; i + 1 < corners.size(); ++i) ui.dashed(corners[i], corners[i + 1], t.line, 1, 4, 4);
  const std::string& text = ui.tr("pass.unused");
  if (ui.measure(TextStyle::caption, text).x + ui.px(8) <= rest.width() &&
      ui.line_height(TextStyle::caption) <= rest.height())
    ui.text_in(rest, TextStyle::caption, t.muted, text, Align::centre);
}

/// Name of a vector that is attached to a matrix.
void draw_attached_name(const Ui& ui, const PassMatrix& m, const Rect& cells) {
  const Theme& t = ui.theme();
  const std::string name = pass_title(ui, m);
  const Color color = m.gradient ? t.gradient : t.muted;
  if (m.attach == Attach::right) {
    ui.rotated_text({cells.centre().x + ui.px(1), cells.y0 - ui.px(8)}, 56, tick_style, color, name);
  } else {
    const float width = ui.measure(tick_style, name).x;
    ui.text({cells.x0 - ui.px(8) - width, cells.centre().y - ui.line_height(tick_style) / 2}, tick_style,
            color, name);
  }
}

void draw_matrix(PassStage& stage, int index) {
  const ViewContext& c = stage.context;
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const auto n = static_cast<size_t>(index);
  const PassMatrix& m = stage.scene.matrices[n];
  const PassSlotRects& slot = stage.geometry.slots[n];
  MatrixResult& result = stage.drawn[n];
  if (slot.cells.empty()) return;
  if (m.attach == Attach::none)
    draw_header(ui, m, slot);
  else
    draw_attached_name(ui, m, slot.cells);
  if (m.missing != PassMatrix::Missing::none) {
    draw_missing(c, m, slot.cells);
    return;
  }

  MatrixSpec spec;
  spec.map = {m.shown.key, m.shown.plane, m.shown.owner, style_of(ui, m), m.shown.on_device};
  if (m.attach == Attach::none) {
    spec.row_labels = stage.labels.of_rows(m);
    if (slot.column_labels) spec.col_labels = stage.labels.of_columns(m);
    spec.border = fade(t.meaning(m.meaning), 0.5f);
  }
  // The token under consideration, and what made the explained cell.
  const PassFlows& flows = stage.flows;
  // The right-hand factor of a product has rows of its own: keys, not the queries under consideration.
  const bool own_rows = stage.scene.layout == PassScene::Layout::product && index == stage.scene.top;
  std::optional<int64_t> token;
  if (stage.token && *stage.token >= m.first_row && *stage.token < m.first_row + m.rows())
    token = *stage.token - m.first_row;
  if (m.row_axis == PassAxis::tokens && token && !own_rows) spec.lit_row = token;
  std::vector<MatrixMark> marks;
  for (const BufferPlane::Cell& cell : m.marks) marks.push_back({cell.row, cell.col, t.key, 1.5f});
  const bool is_result = flows.to && flows.to->matrix == index;
  if (is_result) {
    spec.lit_row = flows.to->row;
    spec.lit_col = flows.to->col;
    // Attention rows end at the diagonal.
    if (m.cols() > 1 && m.rows() > 1) spec.outlined_row = flows.to->row;
    if (m.hatch_future) spec.outlined_columns = flows.to->row + 1;
    marks.push_back({flows.to->row, flows.to->col, t.strong, 2.5f});
  } else if (!flows.to && m.row_axis == PassAxis::tokens && token && m.rows() > 1 &&
             m.attach == Attach::none && !own_rows) {
    spec.outlined_row = token;
    if (m.hatch_future) spec.outlined_columns = *token + 1;
  }
  bool first = true;
  for (const PassFlow& flow : flows.lines) {
    if (flow.from.matrix != index) continue;
    if (first && m.col_axis != PassAxis::index) spec.lit_col = flow.from.col;
    if (first && !spec.lit_row && m.row_axis != PassAxis::index) spec.lit_row = flow.from.row;
    first = false;
    if (flow.weight > 0.3f || flows.lines.size() <= 4)
      marks.push_back({flow.from.row, flow.from.col, fade(t.strong, 0.35f + 0.5f * flow.weight), 1.2f});
  }
  spec.marks = marks;

  MatrixWindow* window = nullptr;
  const float cell_w = slot.cells.width() / static_cast<float>(m.cols()),
              cell_h = slot.cells.height() / static_cast<float>(m.rows());
  if (std::min(cell_w, cell_h) < ui.px(zoomable_below) && m.attach == Attach::none)
    window = &stage.windows[index];
  const std::string id = fmt::format(
      "pass.{}", m.derived ? std::string("change") : c.run->program().buffer(m.cells.buffer).name);
  result = matrix(ui, id, slot.cells, spec, window);
  for (const PassFlows::Box& box : flows.boxes) {
    if (box.matrix != index || (box.row1 - box.row0) * (box.col1 - box.col0) < 2) continue;
    const ImVec2 a = result.centre(box.row0, box.col0), b = result.centre(box.row1 - 1, box.col1 - 1);
    const Rect around{a.x - result.cell_w / 2 - 1, a.y - result.cell_h / 2 - 1, b.x + result.cell_w / 2,
                      b.y + result.cell_h / 2};
    const Rect seen = slot.cells.inset(-ui.px(3));
    Ui::draw().PushClipRect(seen.min(), seen.max(), true);
    ui.outline(around, t.query, 1.5f);
    Ui::draw().PopClipRect();
  }
  draw_unused(ui, m, slot.cells, result);
  draw_ticks(ui, m, slot, result);
  draw_numbers(ui, m, result, spec.map.style);
  if (!slot.legend.empty()) {
    Rect legend = slot.legend;
    legend.x1 = std::min(legend.x1, legend.x0 + ui.px(150));
    if (legend.width() > ui.px(60)) legend_below(ui, legend, style_of(ui, m));
    if (m.norm)
      draw_norm(ui, m,
                {legend.x1 + ui.px(20), legend.y0, std::max(slot.cells.x1, legend.x1), slot.legend.y1});
  }
  if (result.hovered)
    c.hover = CellPick{c.run->program().buffer(m.cells.buffer).name,
                       m.offset(result.hovered->row, result.hovered->col)};
  if (result.clicked)
    stage.commands.push("cell.pin", fmt::format("{} {}", c.run->program().buffer(m.cells.buffer).name,
                                                m.offset(result.clicked->row, result.clicked->col)));
  if (window != nullptr && slot.cells.contains(ImGui::GetIO().MousePos) &&
      ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left))
    *window = {};
}

}  // namespace

std::span<const std::string> PassLabels::of(PassAxis axis, int64_t first, int64_t used) const {
  const std::span<const std::string> all = axis == PassAxis::tokens       ? std::span(tokens)
                                           : axis == PassAxis::places     ? std::span(places)
                                           : axis == PassAxis::vocabulary ? std::span(vocabulary)
                                                                          : std::span<const std::string>();
  const auto from = all.subspan(std::min(static_cast<size_t>(first), all.size()));
  return used < 0 ? from : from.first(std::min(static_cast<size_t>(used), from.size()));
}

std::string pass_title(const Ui& ui, const PassMatrix& m) {
  const std::string title = ui.tr(m.title) + (m.transposed ? "ᵀ" : "");
  if (!m.gradient) return title;
  if (m.attach != Attach::none) return "d " + title;
  return fmt::format(fmt::runtime(ui.tr("pass.gradient_of")), title);
}

PassMetrics pass_metrics(const Ui& ui) {
  PassMetrics m;
  for (float* size : {&m.header, &m.legend, &m.gap, &m.chip, &m.chip_least, &m.chip_row, &m.cell, &m.attached,
                      &m.attached_gap, &m.row_least})
    *size = ui.px(*size);
  m.header = std::max(m.header, ui.line_height(TextStyle::heading) + ui.px(6));
  return m;
}

std::vector<PassMargins> pass_margins(const Ui& ui, const PassScene& scene, const PassLabels& labels) {
  const float line = ui.line_height(tick_style);
  std::vector<PassMargins> all(scene.matrices.size());
  for (size_t i = 0; i < all.size(); ++i) {
    const PassMatrix& m = scene.matrices[i];
    PassMargins& margin = all[i];
    const std::string name = m.attach == Attach::none ? std::string() : pass_title(ui, m);
    if (m.attach == Attach::right) {
      margin.top = ui.measure(tick_style, name).x * 0.83f + ui.px(14);
      continue;
    }
    if (m.attach == Attach::below) {
      PassMargins& host = all[static_cast<size_t>(m.host)];
      host.left = std::max(host.left, ui.measure(tick_style, name).x + ui.px(8));
      continue;
    }
    MatrixSpec spec;
    spec.map.plane = m.shown.plane;
    spec.row_labels = labels.of_rows(m);
    spec.col_labels = labels.of_columns(m);
    const MatrixMargins own = matrix_margins(ui, spec);
    margin = {own.left, own.top, own.right};
    if (m.row_axis == PassAxis::index && m.rows() > 1)
      margin.left = ui.measure(tick_style, std::to_string(m.rows() - 1)).x + ui.px(8);
    if (m.col_axis == PassAxis::index) margin.top = line + ui.px(5);
    if (!m.bands.empty()) margin.top += ui.line_height(TextStyle::mono_bold) + ui.px(8);
  }
  return all;
}

void draw_pass_matrices(PassStage& stage) {
  stage.drawn.assign(stage.scene.matrices.size(), {});
  for (size_t i = 0; i < stage.scene.matrices.size(); ++i) draw_matrix(stage, static_cast<int>(i));
  const Ui& ui = stage.context.ui;
  const bool product = stage.scene.layout == PassScene::Layout::product;
  if (stage.scene.kind == "add" || product)
    for (const Rect& join : stage.geometry.joins)
      ui.text_in(join.middle(ui.px(20), ui.px(30)), TextStyle::display, ui.theme().muted, product ? "×" : "+",
                 Align::centre);
}

}  // namespace headlight::app
