// Vectors of floats in the compiler's own vector types: as wide as the target (-march) allows, 4 to 16 lanes.
// Used by every CPU kernel; the order of every sum depends on the width alone, never on who runs it.
#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace headlight::kernels::cpu {

#if defined(__AVX512F__)
inline constexpr int kWidth = 16;
#elif defined(__AVX__)
inline constexpr int kWidth = 8;
#else
inline constexpr int kWidth = 4;
#endif

/// kWidth floats, and as many integers of the same size (the result of a comparison: 0 or −1 in each lane).
typedef float Floats __attribute__((vector_size(kWidth * 4)));
typedef int32_t Ints __attribute__((vector_size(kWidth * 4)));
typedef uint32_t Bits __attribute__((vector_size(kWidth * 4)));
/// The same in memory, at any address.
typedef float LooseFloats __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));

inline Floats load(const float* from) { return *reinterpret_cast<const LooseFloats*>(from); }
inline void store(float* to, Floats value) { *reinterpret_cast<LooseFloats*>(to) = value; }
inline Floats fill(float value) { return Floats{} + value; }

/// The first `count` < kWidth lanes from memory, `rest` in the others.
inline Floats load_partial(const float* from, int64_t count, float rest = 0.0F) {
#if defined(__AVX512F__)
  const auto lanes = static_cast<__mmask16>((1U << count) - 1U);
  return _mm512_mask_loadu_ps(_mm512_set1_ps(rest), lanes, from);
#else
  Floats value = fill(rest);
  for (int64_t i = 0; i < count && i < kWidth; ++i) value[i] = from[i];
  return value;
#endif
}
/// Writes the first `count` < kWidth lanes only.
inline void store_partial(float* to, Floats value, int64_t count) {
#if defined(__AVX512F__)
  const auto lanes = static_cast<__mmask16>((1U << count) - 1U);
  _mm512_mask_storeu_ps(to, lanes, value);
#else
  for (int64_t i = 0; i < count && i < kWidth; ++i) to[i] = value[i];
#endif
}

/// As many of `count` lanes as there are, `rest` in the others.
inline Floats load_some(const float* from, int64_t count, float rest = 0.0F) {
  return count >= kWidth ? load(from) : load_partial(from, count, rest);
}
/// Writes as many of `count` lanes as there are.
inline void store_some(float* to, Floats value, int64_t count) {
  if (count >= kWidth) {
    store(to, value);
  } else {
    store_partial(to, value, count);
  }
}

inline Ints bits_of(Floats value) {
  Ints bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline Floats floats_of(Ints bits) {
  Floats value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

/// The larger of each pair; b where either is not a number.
inline Floats max(Floats a, Floats b) { return a > b ? a : b; }
/// The smaller of each pair; b where either is not a number.
inline Floats min(Floats a, Floats b) { return a < b ? a : b; }

namespace detail {
template <int... Lane>
inline Ints lane_numbers(std::integer_sequence<int, Lane...> /*lanes*/) {
  return Ints{Lane...};
}
// Lanes in an order in which i and i ^ Half have changed places.
template <int Half, int... Lane>
inline Floats swapped(Floats value, std::integer_sequence<int, Lane...>) {
  return __builtin_shuffle(value, Ints{(Lane ^ Half)...});
}
template <int Half>
inline Floats swapped(Floats value) {
  return swapped<Half>(value, std::make_integer_sequence<int, kWidth>{});
}
}  // namespace detail

/// −1 in the first `count` lanes, 0 in the others; count may be negative or more than there are.
inline Ints first_lanes(int64_t count) {
  return detail::lane_numbers(std::make_integer_sequence<int, kWidth>{}) <
         Ints{} + static_cast<int32_t>(count);
}

/// Sum of the lanes, in pairs.
inline float sum(Floats value) {
  if constexpr (kWidth >= 16) value += detail::swapped<8>(value);
  if constexpr (kWidth >= 8) value += detail::swapped<4>(value);
  value += detail::swapped<2>(value);
  value += detail::swapped<1>(value);
  return value[0];
}
/// Largest lane. A lane that is not a number may or may not win.
inline float largest(Floats value) {
  if constexpr (kWidth >= 16) value = max(value, detail::swapped<8>(value));
  if constexpr (kWidth >= 8) value = max(value, detail::swapped<4>(value));
  value = max(value, detail::swapped<2>(value));
  value = max(value, detail::swapped<1>(value));
  return value[0];
}

/// y[i] = function(x[i]…) over n elements, kWidth at a time, the last ones in a partial vector.
template <class Function>
inline void map(float* y, const float* x, int64_t n, const Function& function) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, function(load(x + i)));
  if (i < n) store_partial(y + i, function(load_partial(x + i, n - i)), n - i);
}
template <class Function>
inline void map(float* y, const float* a, const float* b, int64_t n, const Function& function) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(y + i, function(load(a + i), load(b + i)));
  if (i < n) {
    store_partial(y + i, function(load_partial(a + i, n - i), load_partial(b + i, n - i)), n - i);
  }
}

}  // namespace headlight::kernels::cpu
