// Heat map, labels, outlines, hover.
#include "app/widgets/matrix.h"

#include <cmath>

#include "app/views/run_data.h"

namespace headlight::app {
namespace {

constexpr float column_angle = 56;
constexpr float longest_label_css = 84;

std::string label(const Ui& ui, const std::string& text) {
  const float room = ui.px(longest_label_css);
  return ui.measure(TextStyle::mono_small, text).x <= room
             ? text
             : elide(ui.fonts(), TextStyle::mono_small, text, room);
}

/// Draws every n-th label so that neighbours keep `pitch` pixels apart.
int64_t stride(float cell, float pitch) {
  return std::max<int64_t>(1, static_cast<int64_t>(std::ceil(pitch / std::max(cell, 0.01f))));
}

void navigate(const MatrixSpec& spec, const Rect& rect, const Press& press, MatrixWindow& w) {
  const ImGuiIO& io = ImGui::GetIO();
  const auto rows = static_cast<double>(spec.map.plane.rows), cols = static_cast<double>(spec.map.plane.cols);
  if (press.hovered && io.MouseWheel != 0) {
    const double fx = (io.MousePos.x - rect.x0) / rect.width(),
                 fy = (io.MousePos.y - rect.y0) / rect.height();
    const double x = w.col + fx * cols / w.zoom, y = w.row + fy * rows / w.zoom;
    w.zoom = std::clamp(w.zoom * std::pow(1.25, static_cast<double>(io.MouseWheel)), 1.0,
                        std::max(rows, cols) / 4 + 1);
    w.col = x - fx * cols / w.zoom;
    w.row = y - fy * rows / w.zoom;
  }
  if (press.hovered && ImGui::IsMouseDragging(ImGuiMouseButton_Right, 0)) {
    w.col -= io.MouseDelta.x / rect.width() * cols / w.zoom;
    w.row -= io.MouseDelta.y / rect.height() * rows / w.zoom;
  }
  w.col = std::clamp(w.col, 0.0, cols - cols / w.zoom);
  w.row = std::clamp(w.row, 0.0, rows - rows / w.zoom);
}

}  // namespace

MatrixMargins matrix_margins(const Ui& ui, const MatrixSpec& spec) {
  MatrixMargins m;
  float longest = 0;
  for (const std::string& text : spec.row_labels)
    longest = std::max(longest, ui.measure(TextStyle::mono_small, label(ui, text)).x);
  if (longest > 0) m.left = longest + ui.px(8);
  longest = 0;
  for (const std::string& text : spec.col_labels)
    longest = std::max(longest, ui.measure(TextStyle::mono_small, label(ui, text)).x);
  if (longest > 0) {
    const float line = ui.line_height(TextStyle::mono_small);
    if (spec.rotated_columns) {
      const float radians = column_angle * 3.14159265f / 180;
      m.top = longest * std::sin(radians) + line * 0.5f * std::cos(radians) + ui.px(8);
      m.right = longest * std::cos(radians);
    } else {
      m.top = line + ui.px(6);
    }
  }
  return m;
}

Rect fit_matrix(const Ui& ui, const Rect& room, const MatrixSpec& spec, float largest_css) {
  const MatrixMargins m = matrix_margins(ui, spec);
  const auto rows = static_cast<float>(spec.map.plane.rows), cols = static_cast<float>(spec.map.plane.cols);
  const float width = room.width() - m.left - m.right, height = room.height() - m.top;
  if (rows <= 0 || cols <= 0 || width <= 0 || height <= 0) return {room.x0, room.y0, room.x0, room.y0};
  float cell = std::min({width / cols, height / rows, ui.px(largest_css)});
  if (cell >= 3) cell = std::floor(cell);
  const float x = room.x0 + m.left, y = room.y0 + m.top;
  return {x, y, x + std::max(cell * cols, 1.f), y + std::max(cell * rows, 1.f)};
}

MatrixResult matrix(const Ui& ui, std::string_view id, const Rect& rect, MatrixSpec spec,
                    MatrixWindow* window) {
  MatrixResult result;
  const Theme& t = ui.theme();
  const int64_t rows = spec.map.plane.rows, cols = spec.map.plane.cols;
  result.cells = rect;
  if (rows <= 0 || cols <= 0 || rect.empty()) return result;

  Press press;
  if (spec.registers) press = ui.press(id, rect);
  MatrixWindow whole;
  if (window != nullptr && spec.registers) navigate(spec, rect, press, *window);
  const MatrixWindow& w = window != nullptr ? *window : whole;
  const double seen_rows = static_cast<double>(rows) / w.zoom, seen_cols = static_cast<double>(cols) / w.zoom;
  result.cell_w = rect.width() / static_cast<float>(seen_cols);
  result.cell_h = rect.height() / static_cast<float>(seen_rows);
  result.origin_x = rect.x0 - static_cast<float>(w.col) * result.cell_w;
  result.origin_y = rect.y0 - static_cast<float>(w.row) * result.cell_h;
  result.first_row = static_cast<int64_t>(w.row);
  result.first_col = static_cast<int64_t>(w.col);

  spec.map.style.theme = t.kind;
  spec.map.style.gap = std::max(1.f, std::floor(ui.scale()));
  spec.map.style.stripe = std::max(1.f, ui.scale());
  ui.heat_map(rect, spec.map,
              {static_cast<float>(w.col), static_cast<float>(w.row), static_cast<float>(w.col + seen_cols),
               static_cast<float>(w.row + seen_rows)});
  if (spec.border != 0) ui.outline({rect.x0 - 1, rect.y0 - 1, rect.x1 + 1, rect.y1 + 1}, spec.border);

  const float line = ui.line_height(TextStyle::mono_small);
  const int64_t row_step = stride(result.cell_h, line * 0.82f), col_step = stride(result.cell_w, line * 0.9f);
  const auto shown = [](std::optional<int64_t> lit, int64_t i, int64_t step) {
    if (lit == i || i % step == 0) return !(lit && lit != i && std::abs(*lit - i) < step);
    return false;
  };
  for (int64_t i = result.first_row; i < static_cast<int64_t>(spec.row_labels.size()) && i < rows; ++i) {
    const float y = result.centre(i, 0).y;
    if (y > rect.y1) break;
    if (y < rect.y0 || !shown(spec.lit_row, i, row_step)) continue;
    const std::string text = label(ui, spec.row_labels[static_cast<size_t>(i)]);
    const float width = ui.measure(TextStyle::mono_small, text).x;
    ui.text({rect.x0 - ui.px(8) - width, y - line / 2}, TextStyle::mono_small,
            spec.lit_row == i ? t.query : t.muted, text);
  }
  for (int64_t j = result.first_col; j < static_cast<int64_t>(spec.col_labels.size()) && j < cols; ++j) {
    const float x = result.centre(0, j).x;
    if (x > rect.x1) break;
    if (x < rect.x0 || !shown(spec.lit_col, j, col_step)) continue;
    const std::string text = label(ui, spec.col_labels[static_cast<size_t>(j)]);
    const Color color = spec.lit_col == j ? t.key : t.muted;
    if (spec.rotated_columns)
      ui.rotated_text({x + ui.px(1), rect.y0 - ui.px(8)}, column_angle, TextStyle::mono_small, color, text);
    else
      ui.text({x - ui.measure(TextStyle::mono_small, text).x / 2, rect.y0 - line - ui.px(4)},
              TextStyle::mono_small, color, text);
  }

  ImDrawList& list = Ui::draw();
  list.PushClipRect({rect.x0 - ui.px(3), rect.y0 - ui.px(3)}, {rect.x1 + ui.px(3), rect.y1 + ui.px(3)}, true);
  const auto frame = [&](int64_t row, int64_t col, int64_t wide, Color color, float width_css) {
    const float x = result.origin_x + static_cast<float>(col) * result.cell_w;
    const float y = result.origin_y + static_cast<float>(row) * result.cell_h;
    ui.outline({x - 1, y - 1, x + static_cast<float>(wide) * result.cell_w, y + result.cell_h}, color,
               width_css);
  };
  if (spec.outlined_row && *spec.outlined_row < rows)
    frame(*spec.outlined_row, 0, spec.outlined_columns > 0 ? spec.outlined_columns : cols,
          spec.outline != 0 ? spec.outline : t.query, 1.5f);
  for (const MatrixMark& mark : spec.marks) frame(mark.row, mark.col, 1, mark.color, mark.width_css);

  if (press.hovered) {
    const ImVec2 mouse = ImGui::GetIO().MousePos;
    const auto row = static_cast<int64_t>(std::floor((mouse.y - result.origin_y) / result.cell_h));
    const auto col = static_cast<int64_t>(std::floor((mouse.x - result.origin_x) / result.cell_w));
    if (row >= 0 && row < rows && col >= 0 && col < cols) {
      result.hovered = {row, col};
      if (press.clicked) result.clicked = result.hovered;
      frame(row, col, 1, t.strong, 2.5f);
    }
  }
  list.PopClipRect();
  return result;
}

void color_legend(const Ui& ui, const Rect& rect, const HeatStyle& style) {
  const Theme& t = ui.theme();
  constexpr int steps = 24;
  const float line = ui.line_height(TextStyle::mono_small);
  const Rect bar{rect.x0, rect.y0, rect.x1, rect.y1 - line - ui.px(2)};
  for (int i = 0; i < steps; ++i) {
    const float a = static_cast<float>(i) / steps, b = static_cast<float>(i + 1) / steps;
    const Color left = map_color(style.map, a, t.kind), right = map_color(style.map, b, t.kind);
    Ui::draw().AddRectFilledMultiColor({bar.x0 + a * bar.width(), bar.y0}, {bar.x0 + b * bar.width(), bar.y1},
                                       left, right, right, left);
  }
  const Rect numbers{rect.x0, bar.y1 + ui.px(2), rect.x1, rect.y1};
  ui.text_in(numbers, TextStyle::mono_small, t.muted, number_text(style.low, 2), Align::left);
  ui.text_in(numbers, TextStyle::mono_small, t.muted, number_text(style.high, 2), Align::right);
}

}  // namespace headlight::app
