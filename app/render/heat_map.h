// What a widget asks the renderer to draw as a heat map. Widgets put one of these into the frame's arena and
// add an image to the draw list whose texture id points to it; the renderer uploads the plane (once for each
// key) and switches shaders. Building a frame thus needs no OpenGL.
#pragma once

#include <compare>
#include <cstdint>
#include <deque>
#include <memory>

#include "app/render/color_map.h"
#include "core/run/plane.h"

namespace headlight::app {

/// Which texture: the same key always has the same values.
struct HeatKey {
  uint64_t run = 0;
  uint64_t other_run = 0;  ///< the run that was subtracted, 0: none
  int32_t buffer = -1;
  int64_t plane = 0;
  auto operator<=>(const HeatKey&) const = default;
};

struct HeatStyle {
  float low = 0, high = 1;  ///< values at the ends of the map
  ColorMap map = ColorMap::viridis;
  ThemeKind theme = ThemeKind::dark;
  float gap = 1;              ///< pixels between cells that are at least 6 pixels large
  float stripe = 1;           ///< width of the stripes on masked cells, pixels
  bool hatch_future = false;  ///< a zero right of the diagonal is masked, as −∞ always is
};

struct HeatMap {
  HeatKey key;
  Plane plane;
  std::shared_ptr<const void> owner;  ///< keeps plane.data alive until the frame is drawn
  HeatStyle style;
  /// plane.data on the device that computed it; null where it lies on the host alone.
  std::shared_ptr<const float> on_device = nullptr;
};

/// Heat maps of the frame being built. Pointers stay valid until clear().
using HeatMaps = std::deque<HeatMap>;

}  // namespace headlight::app
