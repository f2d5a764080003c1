// LayerNorm: statistics, output and gradients at odd widths; optional pointers; constant and extreme rows.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class LayerNormTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(LayerNormTest);

constexpr float kEpsilon = 1e-5F;

TEST_P(LayerNormTest, MatchesTheOracle) {
  for (const int64_t C : {1, 3, 17, 65, 256, 1000}) {
    const int64_t R = 37;
    const auto x = normal_values(R * C, 1, 3.0F);
    const auto gain = normal_values(C, 2);
    const auto bias = normal_values(C, 3);
    auto mean = blank(R), scale = blank(R), normalized = blank(R * C), y = blank(R * C);
    kernels().layernorm_forward(context(), mean, scale, normalized, y, on_device(x), on_device(gain),
                                on_device(bias), R, C, kEpsilon);
    const auto expected =
        oracle::layernorm(widen(x), widen(gain), widen(bias), C, static_cast<double>(kEpsilon));
    expect_close(mean, expected.mean, "mean");
    expect_close(scale, expected.scale, "scale");
    expect_close(normalized, expected.normalized, "normalized");
    expect_close(y, expected.y, "y");

    auto lean = blank(R * C);
    kernels().layernorm_forward(context(), mean, scale, nullptr, lean, on_device(x), on_device(gain), nullptr,
                                R, C, kEpsilon);
    expect_close(lean, oracle::layernorm(widen(x), widen(gain), {}, C, static_cast<double>(kEpsilon)).y,
                 "y without bias");
  }
}

TEST_P(LayerNormTest, GradientsMatchFiniteDifferences) {
  for (const int64_t C : {2, 17, 65, 300}) {
    const int64_t R = 19;
    const auto x = normal_values(R * C, 1);
    const auto gain = normal_values(C, 2);
    const auto bias = normal_values(C, 3);
    const auto dy = normal_values(R * C, 4);
    auto mean = blank(R), scale = blank(R), y = blank(R * C);
    auto x_device = on_device(x), gain_device = on_device(gain), dy_device = on_device(dy);
    kernels().layernorm_forward(context(), mean, scale, nullptr, y, x_device, gain_device, on_device(bias), R,
                                C, kEpsilon);
    auto dx = blank(R * C), dgain = blank(C), dbias = blank(C);
    kernels().layernorm_backward(context(), dx, dgain, dbias, dy_device, x_device, mean, scale, gain_device,
                                 R, C);
    const auto loss = [&](const Values& input, const Values& g, const Values& b) {
      return dot(oracle::layernorm(input, g, b, C, static_cast<double>(kEpsilon)).y, dy);
    };
    // Two elements leave a gradient that is the small difference of large terms.
    const double slack = C == 2 ? 500 : 4;
    expect_gradient(
        dx, widen(x), [&](const Values& v) { return loss(v, widen(gain), widen(bias)); }, "dx", slack);
    expect_gradient(
        dgain, widen(gain), [&](const Values& v) { return loss(widen(x), v, widen(bias)); }, "dgain");
    expect_gradient(
        dbias, widen(bias), [&](const Values& v) { return loss(widen(x), widen(gain), v); }, "dbias");

    auto dx_lean = blank(R * C), dgain_lean = blank(C);
    kernels().layernorm_backward(context(), dx_lean, dgain_lean, nullptr, dy_device, x_device, mean, scale,
                                 gain_device, R, C);
    EXPECT_EQ(dx_lean.get(), dx.get());
    EXPECT_EQ(dgain_lean.get(), dgain.get());
  }
}

TEST_P(LayerNormTest, ConstantRowsGiveTheBiasAndNansStayInTheirRow) {
  const int64_t C = 17;
  std::vector<float> x(2 * C, 5.0F);
  x[C + 3] = kNan;
  const std::vector<float> gain(C, 2.0F);
  const std::vector<float> bias(C, 0.5F);
  auto mean = blank(2), scale = blank(2), y = blank(2 * C);
  kernels().layernorm_forward(context(), mean, scale, nullptr, y, on_device(x), on_device(gain),
                              on_device(bias), 2, C, kEpsilon);
  const auto out = y.get();
  for (size_t i = 0; i < C; ++i) {
    EXPECT_NEAR(out[i], 0.5F, 1e-4F);
    EXPECT_TRUE(std::isnan(out[C + i]));
  }
}

}  // namespace
}  // namespace headlight::test
