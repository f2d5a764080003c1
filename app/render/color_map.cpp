// Tables of the colour maps, interpolated linearly.
#include "app/render/color_map.h"

#include <array>

namespace headlight::app {
namespace {

constexpr std::array<uint32_t, 10> viridis = {0x440154, 0x482878, 0x3e4a89, 0x31688e, 0x26828e,
                                              0x1f9e89, 0x35b779, 0x6dcd59, 0xb4de2c, 0xfde725};
constexpr std::array<uint32_t, 10> cividis = {0x00204c, 0x00346e, 0x273f6c, 0x4c556b, 0x5b5f6d,
                                              0x757575, 0x928c78, 0xb0a572, 0xd1bf66, 0xffe945};

Color along(std::span<const uint32_t> stops, float t) {
  const float x = std::clamp(t, 0.f, 1.f) * static_cast<float>(stops.size() - 1);
  const size_t i = std::min(static_cast<size_t>(x), stops.size() - 2);
  return mix(rgb(stops[i]), rgb(stops[i + 1]), x - static_cast<float>(i));
}

}  // namespace

Color map_color(ColorMap map, float t, ThemeKind kind) {
  switch (map) {
    case ColorMap::viridis:
      return along(viridis, t);
    case ColorMap::cividis:
      return along(cividis, t);
    case ColorMap::diverging:
      break;
  }
  const Theme& th = theme(kind);
  const Color negative = rgb(th.dark ? 0x785ede : 0x5e3c99), positive = rgb(0xe66101);
  const float x = std::clamp(t, 0.f, 1.f) * 2 - 1;
  return mix(th.neutral, x < 0 ? negative : positive, std::abs(x));
}

std::string_view color_map_name(ColorMap map) {
  constexpr std::array<std::string_view, 3> names = {"viridis", "cividis", "puor"};
  return names[static_cast<size_t>(map)];
}

std::optional<ColorMap> color_map_from_name(std::string_view name) {
  for (const ColorMap map : {ColorMap::viridis, ColorMap::cividis, ColorMap::diverging})
    if (color_map_name(map) == name) return map;
  return std::nullopt;
}

}  // namespace headlight::app
