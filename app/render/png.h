// Pictures as PNG files, written with libpng.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace headlight::app {

/// 8-bit RGBA, top row first.
struct Picture {
  int width = 0, height = 0;
  std::vector<uint8_t> rgba;
  [[nodiscard]] const uint8_t* pixel(int x, int y) const {
    return rgba.data() + 4 * (static_cast<size_t>(y) * static_cast<size_t>(width) + static_cast<size_t>(x));
  }
};

/// Writes RGB (opacity is dropped). Throws Error naming the file.
void write_png(const std::filesystem::path& file, const Picture& picture);

}  // namespace headlight::app
