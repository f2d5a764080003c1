// The random numbers of dropout: a function of key and index, the same on every backend. Key is made once per
// call; random_bits mixes it with the element's index, so any element can be had without the ones before it.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#define HEADLIGHT_HOST_DEVICE __host__ __device__
#else
#define HEADLIGHT_HOST_DEVICE
#endif

namespace headlight::kernels {

/// Two mixed words that seed and salt determine.
struct RandomKey {
  uint32_t low = 0;
  uint32_t high = 0;
};

/// Spreads every bit of `x` over all 64 (two rounds of xor-shift and odd multiplication).
HEADLIGHT_HOST_DEVICE inline uint64_t mix(uint64_t x) {
  x = (x ^ (x >> 31)) * 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 29)) * 0xBB67AE8584CAA73BULL;
  return x ^ (x >> 32);
}

HEADLIGHT_HOST_DEVICE inline RandomKey random_key(uint64_t seed, uint64_t salt) {
  const uint64_t mixed = mix(mix(seed + 0x632BE59BD9B4E019ULL) ^ (salt + 0x9E3779B97F4A7C15ULL));
  return {static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
}

/// 32 random bits of element `index`; the upper half of a 64-bit index belongs in the key (see shifted_key).
HEADLIGHT_HOST_DEVICE inline uint32_t random_bits(RandomKey key, uint32_t index) {
  uint32_t x = index * 0x9E3779B1U ^ key.low;
  x = (x ^ (x >> 16)) * 0x6A09E667U;
  x = (x ^ (x >> 15)) + key.high;
  x = (x ^ (x >> 14)) * 0xBB67AE85U;
  return x ^ (x >> 16);
}

/// The key for elements whose index has `upper` in bits 32 to 63.
HEADLIGHT_HOST_DEVICE inline RandomKey shifted_key(RandomKey key, uint32_t upper) {
  return upper == 0 ? key : random_key((static_cast<uint64_t>(key.high) << 32) | key.low, upper);
}

/// A number in [0, 1) with 24 bits.
HEADLIGHT_HOST_DEVICE inline float unit_float(uint32_t bits) {
  return static_cast<float>(bits >> 8) * (1.0F / 16777216.0F);
}

}  // namespace headlight::kernels
