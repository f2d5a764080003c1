// SiLU and its slope; far from 0 it is 0 or x; not-a-number stays.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class SiluTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(SiluTest);

TEST_P(SiluTest, MatchesTheOracleAndFiniteDifferences) {
  for (const int64_t n : {1, 3, 17, 65, 70001}) {
    const auto x = normal_values(n, 1, 3.0F);
    const auto dy = normal_values(n, 2);
    auto y = blank(n), dx = blank(n);
    kernels().silu_forward(context(), y, on_device(x), n);
    expect_close(y, oracle::silu(widen(x)), "y");
    kernels().silu_backward(context(), dx, on_device(dy), on_device(x), n);
    expect_gradient(
        dx, widen(x), [&](const Values& v) { return dot(oracle::silu(v), dy); }, "dx");
    auto in_place = on_device(dy);
    kernels().silu_backward(context(), in_place, in_place, on_device(x), n);
    EXPECT_EQ(in_place.get(), dx.get());
  }
}

TEST_P(SiluTest, ExtremesAreTheirLimits) {
  const std::vector<float> x = {0.0F, 1000.0F, -1000.0F, kInfinity, -kInfinity, kNan};
  auto y = blank(6), dx = blank(6);
  kernels().silu_forward(context(), y, on_device(x), 6);
  kernels().silu_backward(context(), dx, on_device(std::vector<float>(6, 1.0F)), on_device(x), 6);
  const auto out = y.get(), slope = dx.get();
  EXPECT_EQ(out[0], 0.0F);
  EXPECT_EQ(out[1], 1000.0F);
  EXPECT_EQ(out[2], 0.0F);
  EXPECT_EQ(out[3], kInfinity);
  EXPECT_EQ(out[4], 0.0F);
  EXPECT_TRUE(std::isnan(out[5]));
  EXPECT_EQ(slope[0], 0.5F);
  EXPECT_NEAR(slope[3], 1.0F, 1e-6F);
  EXPECT_NEAR(slope[4], 0.0F, 1e-6F);
  EXPECT_TRUE(std::isnan(slope[5]));
}

}  // namespace
}  // namespace headlight::test
