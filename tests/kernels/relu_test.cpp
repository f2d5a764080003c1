// ReLU and its slope, 0 at 0; not-a-number stays.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class ReluTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(ReluTest);

TEST_P(ReluTest, MatchesTheOracleAndFiniteDifferences) {
  for (const int64_t n : {1, 3, 17, 65, 70001}) {
    const auto x = normal_values(n, 1);
    const auto dy = normal_values(n, 2);
    auto y = blank(n), dx = blank(n);
    kernels().relu_forward(context(), y, on_device(x), n);
    expect_close(y, oracle::relu(widen(x)), "y");
    kernels().relu_backward(context(), dx, on_device(dy), on_device(x), n);
    expect_gradient(
        dx, widen(x), [&](const Values& v) { return dot(oracle::relu(v), dy); }, "dx");
    auto in_place = on_device(dy);
    kernels().relu_backward(context(), in_place, in_place, on_device(x), n);
    EXPECT_EQ(in_place.get(), dx.get());
  }
}

TEST_P(ReluTest, ZeroHasSlopeZeroAndNansStay) {
  auto y = blank(2), dx = blank(2);
  const std::vector<float> x = {0.0F, kNan};
  kernels().relu_forward(context(), y, on_device(x), 2);
  kernels().relu_backward(context(), dx, on_device(std::vector<float>{1.0F, 1.0F}), on_device(x), 2);
  EXPECT_EQ(y.get()[0], 0.0F);
  EXPECT_TRUE(std::isnan(y.get()[1]));
  EXPECT_EQ(dx.get()[0], 0.0F);
}

}  // namespace
}  // namespace headlight::test
