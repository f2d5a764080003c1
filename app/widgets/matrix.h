// A matrix as a heat map with names on its axes, the selected row and cells outlined, hover and click. Zooms
// with the wheel and pans with the right button when `navigable`.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "app/widgets/ui.h"

namespace headlight::app {

/// A cell with an outline.
struct MatrixMark {
  int64_t row = 0, col = 0;
  Color color = 0;
  float width_css = 2.5f;
};

/// What part of the matrix is seen; kept by the view that owns the matrix.
struct MatrixWindow {
  double row = 0, col = 0;  ///< cell at the top left corner
  double zoom = 1;          ///< 1: the whole matrix
};

struct MatrixSpec {
  HeatMap map;
  std::span<const std::string> row_labels, col_labels;  ///< empty: none
  bool rotated_columns = true;                          ///< column labels rise at 56°
  std::optional<int64_t> lit_row, lit_col;              ///< labels in the colour of queries and keys
  std::optional<int64_t> outlined_row;  ///< a frame around the row's first outlined_columns cells
  int64_t outlined_columns = 0;         ///< 0: all
  Color outline = 0;                    ///< 0: the colour of queries
  std::span<const MatrixMark> marks;
  Color border = 0;       ///< thin frame around all, 0: none
  bool registers = true;  ///< false: no control, no hover (thumbnails)
};

struct MatrixResult {
  struct Cell {
    int64_t row = 0, col = 0;
  };
  std::optional<Cell> hovered, clicked;
  Rect cells;                    ///< where the cells were drawn
  float cell_w = 0, cell_h = 0;  ///< of one cell
  int64_t first_row = 0, first_col = 0;
  float origin_x = 0, origin_y = 0;  ///< where cell (0, 0) is, also when outside `cells`
  /// Middle of a cell's right and left edge, or its centre: for lines between matrices.
  [[nodiscard]] ImVec2 centre(int64_t row, int64_t col) const {
    return {origin_x + (static_cast<float>(col) + 0.5f) * cell_w,
            origin_y + (static_cast<float>(row) + 0.5f) * cell_h};
  }
  [[nodiscard]] ImVec2 right_of(int64_t row, int64_t col) const {
    return {origin_x + static_cast<float>(col + 1) * cell_w, centre(row, col).y};
  }
};

/// Room in pixels that the labels take at the left and above.
struct MatrixMargins {
  float left = 0, top = 0, right = 0;
};
[[nodiscard]] MatrixMargins matrix_margins(const Ui& ui, const MatrixSpec& spec);

/// `rect` is for the cells alone (labels stand outside, at the left and above). `window` null: not navigable.
MatrixResult matrix(const Ui& ui, std::string_view id, const Rect& rect, MatrixSpec spec,
                    MatrixWindow* window = nullptr);

/// The largest rectangle for rows × cols cells in `room` with its labels: square cells of a whole number of
/// pixels where they are large enough, at most `largest_css` each. Starts at the room's top left, labels
/// included.
[[nodiscard]] Rect fit_matrix(const Ui& ui, const Rect& room, const MatrixSpec& spec, float largest_css = 28);

/// The colour map with its ends' values.
void color_legend(const Ui& ui, const Rect& rect, const HeatStyle& style);

}  // namespace headlight::app
