// A rectangle in pixels and the cuts that the layout is made of: take a strip off one side, keep the rest.
#pragma once

#include <imgui.h>

#include <algorithm>

namespace headlight::app {

/// Half-open: [x0, x1) × [y0, y1).
struct Rect {
  float x0 = 0, y0 = 0, x1 = 0, y1 = 0;

  [[nodiscard]] float width() const { return x1 - x0; }
  [[nodiscard]] float height() const { return y1 - y0; }
  [[nodiscard]] bool empty() const { return x1 <= x0 || y1 <= y0; }
  [[nodiscard]] ImVec2 min() const { return {x0, y0}; }
  [[nodiscard]] ImVec2 max() const { return {x1, y1}; }
  [[nodiscard]] ImVec2 size() const { return {width(), height()}; }
  [[nodiscard]] ImVec2 centre() const { return {(x0 + x1) / 2, (y0 + y1) / 2}; }
  [[nodiscard]] bool contains(ImVec2 p) const { return p.x >= x0 && p.x < x1 && p.y >= y0 && p.y < y1; }
  [[nodiscard]] bool contains(const Rect& r) const {
    return r.x0 >= x0 && r.x1 <= x1 && r.y0 >= y0 && r.y1 <= y1;
  }
  [[nodiscard]] bool overlaps(const Rect& r) const {
    return x0 < r.x1 && r.x0 < x1 && y0 < r.y1 && r.y0 < y1;
  }
  /// Smaller by these margins on each side.
  [[nodiscard]] Rect inset(float horizontal, float vertical) const {
    return {x0 + horizontal, y0 + vertical, x1 - horizontal, y1 - vertical};
  }
  [[nodiscard]] Rect inset(float all) const { return inset(all, all); }
  /// Cuts a strip of at most this size off one side and returns it; what is left stays here.
  Rect cut_left(float w) {
    const Rect r{x0, y0, std::min(x0 + w, x1), y1};
    x0 = r.x1;
    return r;
  }
  Rect cut_right(float w) {
    const Rect r{std::max(x1 - w, x0), y0, x1, y1};
    x1 = r.x0;
    return r;
  }
  Rect cut_top(float h) {
    const Rect r{x0, y0, x1, std::min(y0 + h, y1)};
    y0 = r.y1;
    return r;
  }
  Rect cut_bottom(float h) {
    const Rect r{x0, std::max(y1 - h, y0), x1, y1};
    y1 = r.y0;
    return r;
  }
  /// A box of this size in the middle.
  [[nodiscard]] Rect middle(float w, float h) const {
    const float cx = (x0 + x1 - w) / 2, cy = (y0 + y1 - h) / 2;
    return {cx, cy, cx + w, cy + h};
  }
};

}  // namespace headlight::app
