// Places controls from left to right and goes on in a new row where the next one finds no room. Header only;
// used by views whose controls must fit narrow windows.
#pragma once

#include "app/widgets/ui.h"

namespace headlight::app {

class Flow {
 public:
  /// Rows of `row_css` within the width of `area`, from its top downwards.
  Flow(const Ui& ui, const Rect& area, float row_css, float gap_css, float row_gap_css)
      : area_(area),
        x_(area.x0),
        y_(area.y0),
        row_(ui.px(row_css)),
        gap_(ui.px(gap_css)),
        row_gap_(ui.px(row_gap_css)) {}

  /// The next place of this width; never wider than the area.
  Rect next(float width) {
    width = std::min(width, area_.width());
    if (x_ > area_.x0 && x_ + width > area_.x1 + 0.5f) {
      x_ = area_.x0;
      y_ += row_ + row_gap_;
      ++rows_;
    }
    const Rect r{x_, y_, x_ + width, y_ + row_};
    x_ += width + gap_;
    return r;
  }
  /// Below the last row.
  [[nodiscard]] float bottom() const { return y_ + row_; }
  /// Room left in the last row.
  [[nodiscard]] float left() const { return area_.x1 - x_; }
  [[nodiscard]] int rows() const { return rows_; }

 private:
  Rect area_;
  float x_, y_, row_, gap_, row_gap_;
  int rows_ = 1;
};

}  // namespace headlight::app
