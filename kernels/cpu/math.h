// exp, logistic and error function on vectors. Polynomials fitted for Headlight (Chebyshev interpolation in
// 40 digits); the error bounds were measured against double precision over every exponent. Used by softmax,
// GELU, attention and the loss.
#pragma once

#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

namespace detail {
// e^x = 2^n·p, with n the integer next to x·log2(e) and p = e^r for the rest r, |r| ≤ ln(2)/2.
struct Exponential {
  Floats n;
  Floats p;
};
inline Exponential exponential(Floats x) {
  constexpr float kLog2E = 1.44269504F;
  // ln 2 in two parts, the first with few bits, so that n·ln2 is exact.
  constexpr float kLn2High = 0.693145752F;
  constexpr float kLn2Low = 1.42860677e-6F;
  constexpr float kRound = 12582912.0F;  // adding 1.5·2^23 rounds to an integer
  const Floats n = (x * kLog2E + kRound) - kRound;
  const Floats r = (x - n * kLn2High) - n * kLn2Low;
  Floats q = fill(0.0013926926614F);
  q = q * r + 0.00836377387441F;
  q = q * r + 0.0416665501103F;
  q = q * r + 0.166665733819F;
  q = q * r + 0.5F;
  return {n, (q * r) * r + r + 1.0F};
}
}  // namespace detail

/// e^x within 1.5 ulp. Exactly 0 at −∞, +∞ above the largest float, not-a-number stays. Results below 2^−126
/// may become 0.
inline Floats exp(Floats x) {
#if defined(__AVX512F__)
  // Masked forms, because GCC 12 warns of the undefined register that its header reads in the plain ones.
  // Minimum and maximum return their second argument where either is not a number.
  const Floats high = _mm512_maskz_min_ps(0xFFFF, fill(89.0F), x);
  const Floats bounded = _mm512_maskz_max_ps(0xFFFF, fill(-110.0F), high);
  const auto [n, p] = detail::exponential(bounded);
  return _mm512_maskz_scalef_ps(0xFFFF, p, n);
#else
  constexpr float kSmallest = -87.3365402F;  // ln 2^−126
  constexpr float kLargest = 88.7228394F;    // ln of the largest float
  const Floats outside = x > kLargest ? fill(__builtin_inff()) : (x < kSmallest ? fill(0.0F) : x);
  const Ints inside = (x >= kSmallest) & (x <= kLargest);
  const auto [n, p] = detail::exponential(inside ? x : fill(0.0F));
  // p lies in [0.7, 1.42]: adding n to its exponent stays inside the format.
  const Floats y = floats_of(bits_of(p) + (__builtin_convertvector(n, Ints) << 23));
  return inside ? y : outside;
#endif
}

/// 1/(1 + e^−x) within 3 ulp.
inline Floats logistic(Floats x) { return 1.0F / (1.0F + exp(-x)); }

/// erf(x) within 3 ulp.
inline Floats erf(Floats x) {
  const Ints sign = bits_of(x) & static_cast<int32_t>(0x80000000U);
  const Floats magnitude = floats_of(bits_of(x) & 0x7FFFFFFF);
  const Floats square = x * x;
  // erf(x)/x as a polynomial in x², for |x| < 1.
  Floats near = fill(7.87587506269e-5F);
  near = near * square - 0.000801686428717F;
  near = near * square + 0.00518908742343F;
  near = near * square - 0.0268542120106F;
  near = near * square + 0.112835947152F;
  near = near * square - 0.376126266667F;
  near = near * square + 1.12837916585F;
  near *= x;
  // −log erfc(|x|) as a polynomial, for 1 ≤ |x| < 4; beyond, erf is 1 in single precision.
  const Floats t = magnitude > 4.0F ? fill(4.0F) : magnitude;
  Floats far = fill(1.36041364274e-5F);
  far = far * t - 0.000322967783925F;
  far = far * t + 0.0034781096137F;
  far = far * t - 0.0227921486252F;
  far = far * t + 0.103727129461F;
  far = far * t + 0.638525849274F;
  far = far * t + 1.12634823161F;
  far = far * t + 0.000627529517038F;
  far = floats_of(bits_of(1.0F - exp(-far)) | sign);
  return magnitude < 1.0F ? near : far;
}

}  // namespace headlight::kernels::cpu
