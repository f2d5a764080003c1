// Reductions over one row: largest value, sum of exponentials, dot product. Used by softmax and the losses.
#pragma once

#include <limits>

#include "kernels/cpu/math.h"

namespace headlight::kernels::cpu {

/// Largest x[i]·factor; −∞ for an empty row. A value that is not a number may be passed over: it shows in the
/// sums.
inline float row_largest(const float* x, int64_t n, float factor) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  Floats top = fill(kLowest);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) top = max(load(x + i) * factor, top);
  if (i < n) {
    const Floats last = load_partial(x + i, n - i, x[i]) * factor;
    top = max(last, top);
  }
  return largest(top);
}

/// y[i] = e^(x[i]·factor − top) (y or null); returns their sum.
inline float row_exponentials(float* y, const float* x, int64_t n, float factor, float top) {
  Floats total{};
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const Floats value = exp(load(x + i) * factor - top);
    if (y != nullptr) store(y + i, value);
    total += value;
  }
  if (i < n) {
    const Floats value = exp(load_partial(x + i, n - i) * factor - top);
    if (y != nullptr) store_partial(y + i, value, n - i);
    total += first_lanes(n - i) ? value : fill(0.0F);
  }
  return sum(total);
}

inline float row_dot(const float* a, const float* b, int64_t n) {
  Floats total{};
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) total += load(a + i) * load(b + i);
  if (i < n) total += load_partial(a + i, n - i) * load_partial(b + i, n - i);
  return sum(total);
}

}  // namespace headlight::kernels::cpu
