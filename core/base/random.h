// Repeatable random numbers: a counter-based generator whose whole state is two integers, so that a
// checkpoint holds it and a resumed run draws the same numbers.
#pragma once

#include <cstdint>

namespace headlight {

/// SplitMix64 (Steele, Lea & Flood 2014) over a counter: number n of stream `seed` is a pure function of
/// both.
class Random {
 public:
  explicit Random(uint64_t seed = 0, uint64_t counter = 0) : seed_(seed), counter_(counter) {}
  /// 64 uniform bits.
  uint64_t next();
  /// Uniform in [0, 1), 53 bits.
  double uniform();
  /// Uniform integer in [0, bound), without modulo bias. bound > 0.
  uint64_t below(uint64_t bound);
  /// Standard normal (Box–Muller, one number a call).
  double normal();

  [[nodiscard]] uint64_t seed() const { return seed_; }
  [[nodiscard]] uint64_t counter() const { return counter_; }

 private:
  uint64_t seed_;
  uint64_t counter_;
};

}  // namespace headlight
