// RMSNorm: size, output and gradients at odd widths; rows of zeros and not-a-number.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class RmsNormTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(RmsNormTest);

constexpr float kEpsilon = 1e-5F;

TEST_P(RmsNormTest, MatchesTheOracle) {
  for (const int64_t C : {1, 3, 17, 65, 256, 1000}) {
    const int64_t R = 37;
    const auto x = normal_values(R * C, 1, 3.0F);
    const auto gain = normal_values(C, 2);
    auto scale = blank(R), normalized = blank(R * C), y = blank(R * C), lean = blank(R * C);
    kernels().rmsnorm_forward(context(), scale, normalized, y, on_device(x), on_device(gain), R, C, kEpsilon);
    const auto expected = oracle::rmsnorm(widen(x), widen(gain), C, static_cast<double>(kEpsilon));
    expect_close(scale, expected.scale, "scale");
    expect_close(normalized, expected.normalized, "normalized");
    expect_close(y, expected.y, "y");
    kernels().rmsnorm_forward(context(), scale, nullptr, lean, on_device(x), on_device(gain), R, C, kEpsilon);
    EXPECT_EQ(lean.get(), y.get());
  }
}

TEST_P(RmsNormTest, GradientsMatchFiniteDifferences) {
  for (const int64_t C : {2, 17, 65, 300}) {
    const int64_t R = 19;
    const auto x = normal_values(R * C, 1);
    const auto gain = normal_values(C, 2);
    const auto dy = normal_values(R * C, 4);
    auto scale = blank(R), y = blank(R * C), dx = blank(R * C), dgain = blank(C);
    auto x_device = on_device(x), gain_device = on_device(gain);
    kernels().rmsnorm_forward(context(), scale, nullptr, y, x_device, gain_device, R, C, kEpsilon);
    kernels().rmsnorm_backward(context(), dx, dgain, on_device(dy), x_device, scale, gain_device, R, C);
    const auto loss = [&](const Values& input, const Values& g) {
      return dot(oracle::rmsnorm(input, g, C, static_cast<double>(kEpsilon)).y, dy);
    };
    // Two elements may lie near 0, where the gradient changes within the step of a difference.
    const double slack = C == 2 ? 500 : 4;
    expect_gradient(
        dx, widen(x), [&](const Values& v) { return loss(v, widen(gain)); }, "dx", slack);
    expect_gradient(
        dgain, widen(gain), [&](const Values& v) { return loss(widen(x), v); }, "dgain");
  }
}

TEST_P(RmsNormTest, RowsOfZerosStayZeroAndNansStayInTheirRow) {
  const int64_t C = 17;
  std::vector<float> x(2 * C, 0.0F);
  x[C + 3] = kNan;
  auto scale = blank(2), y = blank(2 * C);
  kernels().rmsnorm_forward(context(), scale, nullptr, y, on_device(x),
                            on_device(std::vector<float>(C, 2.0F)), 2, C, kEpsilon);
  const auto out = y.get();
  for (size_t i = 0; i < C; ++i) {
    EXPECT_EQ(out[i], 0.0F);
    EXPECT_TRUE(std::isnan(out[C + i]));
  }
}

}  // namespace
}  // namespace headlight::test
