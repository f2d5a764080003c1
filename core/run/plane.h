// A matrix inside a buffer. Read by digests, by the views and by the renderer.
#pragma once

#include <cstdint>

namespace headlight {

/// A matrix inside a buffer, by strides in elements.
struct Plane {
  const float* data = nullptr;
  int64_t rows = 0, cols = 0;
  int64_t row_stride = 0, col_stride = 1;
  [[nodiscard]] float at(int64_t row, int64_t col) const { return data[row * row_stride + col * col_stride]; }
  [[nodiscard]] bool empty() const { return data == nullptr || rows <= 0 || cols <= 0; }
};

}  // namespace headlight
