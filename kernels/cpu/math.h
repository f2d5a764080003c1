// exp, logistic and error function on vectors. Polynomials fitted for Headlight (Chebyshev interpolation in
// 40 digits); the error bounds were measured against double precision over every exponent. Used by softmax,
// GELU, attention and the loss.
#pragma once

#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

/// e^x within 1.5 ulp. Results below 2^−126 become 0, above the largest float +∞; not-a-number stays.
inline Floats exp(Floats x) {
  constexpr float kLog2E = 1.44269504F;
  // ln 2 in two parts, the first with few bits, so that n·ln2 is exact.
  constexpr float kLn2High = 0.693145752F;
  constexpr float kLn2Low = 1.42860677e-6F;
  // Adding 1.5·2^23 rounds to the nearest integer and leaves it in the low bits.
  constexpr float kRound = 12582912.0F;
  const Floats shifted = x * kLog2E + kRound;
  const Floats n = shifted - kRound;
  const Floats r = (x - n * kLn2High) - n * kLn2Low;
  Floats q = fill(0.0013926926614F);
  q = q * r + 0.00836377387441F;
  q = q * r + 0.0416665501103F;
  q = q * r + 0.166665733819F;
  q = q * r + 0.5F;
  const Floats p = (q * r) * r + r + 1.0F;
#if defined(__AVX512F__)
  // The masked form: the plain one reads an undefined register in GCC 12's header, which it then warns about.
  const Floats y = _mm512_maskz_scalef_ps(0xFFFF, p, n);
#else
  // p lies in [0.7, 1.42]: adding n to its exponent stays inside the format over the range kept below.
  const Floats y = floats_of(bits_of(p) + ((bits_of(shifted) - bits_of(fill(kRound))) << 23));
#endif
  constexpr float kSmallest = -87.3365402F;  // ln 2^−126
  constexpr float kLargest = 88.7228394F;    // ln of the largest float
  const Floats outside = x > kLargest ? fill(__builtin_inff()) : (x < kSmallest ? fill(0.0F) : x);
  const Ints inside = (x >= kSmallest) & (x <= kLargest);
  return inside ? y : outside;
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
