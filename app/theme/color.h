// Colours as ImGui packs them, and the contrast between two of them (WCAG 2). Header only; used by themes and
// their test.
#pragma once

#include <imgui.h>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace headlight::app {

using Color = ImU32;

/// 0xRRGGBB, opaque.
[[nodiscard]] constexpr Color rgb(uint32_t hex) {
  return 0xFF000000u | ((hex & 0xFFu) << 16) | (hex & 0xFF00u) | ((hex >> 16) & 0xFFu);
}

[[nodiscard]] constexpr float red(Color c) { return static_cast<float>(c & 0xFFu) / 255.f; }
[[nodiscard]] constexpr float green(Color c) { return static_cast<float>((c >> 8) & 0xFFu) / 255.f; }
[[nodiscard]] constexpr float blue(Color c) { return static_cast<float>((c >> 16) & 0xFFu) / 255.f; }

/// The same colour, `opacity` times as opaque.
[[nodiscard]] inline Color fade(Color c, float opacity) {
  const float a = static_cast<float>(c >> 24) * std::clamp(opacity, 0.f, 1.f);
  return (c & 0x00FFFFFFu) | (static_cast<Color>(std::lround(a)) << 24);
}

/// t of the way from a to b.
[[nodiscard]] inline Color mix(Color a, Color b, float t) {
  const auto channel = [&](int shift) {
    const float x = static_cast<float>((a >> shift) & 0xFFu), y = static_cast<float>((b >> shift) & 0xFFu);
    return static_cast<Color>(std::lround(x + (y - x) * t)) << shift;
  };
  return channel(0) | channel(8) | channel(16) | channel(24);
}

/// Relative luminance of an opaque colour, 0 black … 1 white.
[[nodiscard]] inline double luminance(Color c) {
  const auto linear = [](double v) { return v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4); };
  return 0.2126 * linear(red(c)) + 0.7152 * linear(green(c)) + 0.0722 * linear(blue(c));
}

/// WCAG 2 contrast ratio, 1 … 21.
[[nodiscard]] inline double contrast(Color a, Color b) {
  const double x = luminance(a), y = luminance(b);
  return (std::max(x, y) + 0.05) / (std::min(x, y) + 0.05);
}

}  // namespace headlight::app
