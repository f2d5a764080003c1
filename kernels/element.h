// The 16-bit element types of activations and weights: storage only, arithmetic is done in float. Included by
// kernels.h, so by host and device code alike; a device keeps the same bits in its own types.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define HEADLIGHT_HOST_DEVICE __host__ __device__
#else
#define HEADLIGHT_HOST_DEVICE
#endif

namespace headlight::kernels {

/// The upper half of a float: sign, 8 exponent bits, 7 of the fraction.
struct bfloat16 {
  uint16_t bits;
};

/// IEEE 754 binary16: sign, 5 exponent bits, 10 of the fraction; largest finite number 65504.
struct float16 {
  uint16_t bits;
};

HEADLIGHT_HOST_DEVICE inline uint32_t float_bits(float value) {
  uint32_t bits = 0;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
HEADLIGHT_HOST_DEVICE inline float float_of_bits(uint32_t bits) {
  float value = 0;
  memcpy(&value, &bits, sizeof value);
  return value;
}

/// Exact.
HEADLIGHT_HOST_DEVICE inline float to_float(float value) { return value; }
HEADLIGHT_HOST_DEVICE inline float to_float(bfloat16 value) {
  return float_of_bits(static_cast<uint32_t>(value.bits) << 16);
}
HEADLIGHT_HOST_DEVICE inline float to_float(float16 value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000U) << 16;
  const uint32_t magnitude = value.bits & 0x7FFFU;
  // Fraction and exponent move to float's places; the factor 2^112 mends the exponent's bias and normalises
  // subnormal numbers. Infinity and NaN keep the largest exponent.
  const float scaled = float_of_bits(magnitude << 13) * 0x1p112F;
  const uint32_t bits = magnitude < 0x7C00U ? float_bits(scaled) : (magnitude << 13) | 0x7F800000U;
  return float_of_bits(sign | bits);
}

/// Nearest E, ties to even; NaN stays NaN.
template <class E>
HEADLIGHT_HOST_DEVICE inline E from_float(float value);

template <>
HEADLIGHT_HOST_DEVICE inline float from_float<float>(float value) {
  return value;
}
template <>
HEADLIGHT_HOST_DEVICE inline bfloat16 from_float<bfloat16>(float value) {
  const uint32_t bits = float_bits(value);
  const uint32_t rounded = bits + 0x7FFFU + ((bits >> 16) & 1U);
  const bool is_nan = (bits & 0x7FFFFFFFU) > 0x7F800000U;
  return {static_cast<uint16_t>((is_nan ? bits | 0x400000U : rounded) >> 16)};
}
template <>
HEADLIGHT_HOST_DEVICE inline float16 from_float<float16>(float value) {
  const uint32_t bits = float_bits(value);
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  // Below 2^−14 the result is subnormal: adding 1/2 leaves its bits, rounded by the addition, at the
  // fraction's end. Above, the carry of the rounding moves into the exponent by itself.
  const uint32_t subnormal = float_bits(float_of_bits(magnitude) + 0.5F) - float_bits(0.5F);
  const uint32_t normal = (magnitude - (112U << 23) + 0xFFFU + ((magnitude >> 13) & 1U)) >> 13;
  const uint32_t finite = magnitude < (113U << 23) ? subnormal : normal;
  const uint32_t infinite = magnitude > 0x7F800000U ? 0x7E00U : 0x7C00U;
  // From 65520 on the nearest is infinity.
  const uint32_t result = magnitude >= 0x477FF000U ? infinite : finite;
  return {static_cast<uint16_t>((bits >> 31 << 15) | result)};
}

}  // namespace headlight::kernels
