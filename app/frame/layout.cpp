// The grid of the window, and what gives way where it is small.
#include <cmath>

#include "app/frame/app.h"

namespace headlight::app {

WindowLayout window_layout(Rect window, float scale, float topbar_height, const Layout& layout) {
  const float w = window.width() / scale, h = window.height() / scale;
  const auto px = [scale](float css) { return std::round(css * scale); };
  WindowLayout result;
  Rect rest = window;
  result.topbar = rest.cut_top(topbar_height);
  if (layout.presenter) {
    result.tabs = {};
    result.stage = rest;
    return result;
  }
  const bool wide = w >= 1600;
  const float tree_css = wide ? 300 : 240, inspector_css = wide ? 360 : 300;
  const bool tree = layout.tree && w >= 860, inspector = layout.inspector && w >= 1080;
  const float below = rest.height() / scale;
  if (layout.bottom && below >= 420) {
    const float bottom_css = h >= 900 ? 236 : 184;
    Rect bottom = rest.cut_bottom(px(bottom_css));
    if (w >= 860) result.next = bottom.cut_left(px(tree_css));
    if (w >= 700) result.training = bottom.cut_right(px(inspector ? inspector_css : 300));
    result.prompt = bottom;
  } else if (layout.bottom && below >= 220) {
    result.prompt = rest.cut_bottom(px(78));  // the chips alone
  }
  if (tree) result.tree = rest.cut_left(px(tree_css));
  result.tabs = rest.cut_top(px(44));
  if (inspector) result.inspector = rest.cut_right(px(inspector_css));
  result.stage = rest;
  return result;
}

}  // namespace headlight::app
