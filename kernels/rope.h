// The angles of rotary positions, for every backend: how fast each pair of a head's elements turns.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/element.h"

namespace headlight::kernels {

/// How RoPE is stretched over a longer context than the model was trained on.
enum class RopeScaling : int32_t {
  none,
  linear,  ///< every angle divided by `factor` (Chen et al. 2023)
  llama3,  ///< slow pairs divided by `factor`, fast ones kept, those between mixed (Llama 3.1)
};

/// RoPE's constants (Su et al. 2021).
struct RopeConstants {
  double theta = 10000.0;
  RopeScaling scaling = RopeScaling::none;
  double factor = 1.0;
  double low_frequency_factor = 1.0;   ///< llama3: longer waves than original / this are slow
  double high_frequency_factor = 4.0;  ///< llama3: shorter waves than original / this are fast
  double original_positions = 8192;    ///< llama3: the context that the model was trained on
  bool operator==(const RopeConstants&) const = default;
};

/// Radians a position for the pair (pair, pair + D/2) of a head of D elements.
HEADLIGHT_HOST_DEVICE inline double rope_frequency(const RopeConstants& c, int64_t pair, int64_t D) {
  const double plain = pow(c.theta, -2.0 * static_cast<double>(pair) / static_cast<double>(D));
  if (c.scaling == RopeScaling::none) return plain;
  if (c.scaling == RopeScaling::linear) return plain / c.factor;
  // Waves that fit into the original context so many times.
  const double turns = c.original_positions * plain / 6.283185307179586;
  if (turns < c.low_frequency_factor) return plain / c.factor;
  if (turns > c.high_frequency_factor) return plain;
  const double fast = (turns - c.low_frequency_factor) / (c.high_frequency_factor - c.low_frequency_factor);
  return (1.0 - fast) * plain / c.factor + fast * plain;
}

}  // namespace headlight::kernels
