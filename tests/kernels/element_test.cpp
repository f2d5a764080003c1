// The 16-bit element types: every value there and back, rounding against the nearest neighbours, specials.
#include "kernels/element.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <random>

namespace headlight::test {

using kernels::bfloat16;
using kernels::float16;
using kernels::from_float;
using kernels::to_float;

/// The format by its definition.
template <class E>
double defined_value(uint16_t bits) {
  constexpr bool brain = std::is_same_v<E, bfloat16>;
  constexpr int fraction_bits = brain ? 7 : 10, bias = brain ? 127 : 15;
  const int exponent = (bits & 0x7FFF) >> fraction_bits;
  const int fraction = bits & ((1 << fraction_bits) - 1);
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  if (exponent == 2 * bias + 1)
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  const double scale = std::ldexp(1.0, std::max(exponent, 1) - bias - fraction_bits);
  return sign * scale * (fraction + (exponent > 0 ? 1 << fraction_bits : 0));
}

template <class E>
class ElementTest : public ::testing::Test {};
using Elements = ::testing::Types<bfloat16, float16>;
TYPED_TEST_SUITE(ElementTest, Elements);

TYPED_TEST(ElementTest, EveryValueIsWidenedExactlyAndComesBack) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const TypeParam value{static_cast<uint16_t>(bits)};
    const double expected = defined_value<TypeParam>(value.bits);
    const float wide = to_float(value);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(wide)) << bits;
      ASSERT_TRUE(std::isnan(to_float(from_float<TypeParam>(wide)))) << bits;
      continue;
    }
    ASSERT_EQ(static_cast<double>(wide), expected) << bits;
    ASSERT_EQ(std::signbit(wide), (bits & 0x8000) != 0) << bits;
    ASSERT_EQ(from_float<TypeParam>(wide).bits, value.bits) << bits;
  }
}

TYPED_TEST(ElementTest, BetweenTwoValuesTheNearestIsTakenAndTiesGoToTheEvenOne) {
  // Every pair of neighbours among the positive numbers: halfway, and one float below and above.
  for (uint32_t bits = 0; std::isfinite(defined_value<TypeParam>(static_cast<uint16_t>(bits + 1))); ++bits) {
    const double low = defined_value<TypeParam>(static_cast<uint16_t>(bits));
    const double high = defined_value<TypeParam>(static_cast<uint16_t>(bits + 1));
    const auto middle = static_cast<float>((low + high) / 2);
    if (static_cast<double>(middle) != (low + high) / 2) continue;  // lost below the smallest float
    const uint32_t even = (bits & 1U) == 0 ? bits : bits + 1;
    ASSERT_EQ(from_float<TypeParam>(middle).bits, even) << bits;
    ASSERT_EQ(from_float<TypeParam>(std::nextafter(middle, 0.0F)).bits, bits);
    ASSERT_EQ(from_float<TypeParam>(std::nextafter(middle, std::numeric_limits<float>::infinity())).bits,
              bits + 1);
    ASSERT_EQ(from_float<TypeParam>(-middle).bits, even | 0x8000U);
  }
}

TYPED_TEST(ElementTest, TooLargeNumbersBecomeInfinite) {
  const float infinity = std::numeric_limits<float>::infinity();
  const float largest = std::numeric_limits<float>::max();
  EXPECT_EQ(to_float(from_float<TypeParam>(largest)), infinity);
  EXPECT_EQ(to_float(from_float<TypeParam>(-largest)), -infinity);
  EXPECT_EQ(to_float(from_float<TypeParam>(infinity)), infinity);
  // A NaN whose fraction lies in its low bits alone must not become an infinity.
  EXPECT_TRUE(std::isnan(to_float(from_float<TypeParam>(std::bit_cast<float>(0x7F800001U)))));
}

TEST(Float16Test, OverflowsFromHalfwayBehindItsLargestNumber) {
  EXPECT_EQ(to_float(from_float<float16>(65519.996F)), 65504.0F);
  EXPECT_EQ(to_float(from_float<float16>(65520.0F)), std::numeric_limits<float>::infinity());
}

}  // namespace headlight::test
