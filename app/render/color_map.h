// Colour maps of matrices: viridis and cividis for magnitudes, purple–orange (PuOr) centred on 0 for signed
// values. The heat map's shader samples the same tables.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "app/theme/theme.h"

namespace headlight::app {

enum class ColorMap { viridis, cividis, diverging };

/// The colour at t in [0, 1]. The middle of the diverging map is the theme's neutral colour.
[[nodiscard]] Color map_color(ColorMap map, float t, ThemeKind theme);

/// "viridis", "cividis", "puor".
[[nodiscard]] std::string_view color_map_name(ColorMap map);
[[nodiscard]] std::optional<ColorMap> color_map_from_name(std::string_view name);

}  // namespace headlight::app
