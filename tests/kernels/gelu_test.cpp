// Both GELUs over the whole range of their argument, and their slopes.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

using kernels::Kernels;

class GeluTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(GeluTest);

// Every step of 1/64 between −8 and 8, then far out.
std::vector<float> arguments() {
  std::vector<float> x;
  for (int i = -512; i <= 512; ++i) x.push_back(static_cast<float>(i) / 64.0F);
  for (const float far : {20.0F, 1e3F, 1e10F, 1e19F}) {
    x.push_back(far);
    x.push_back(-far);
  }
  return x;
}

TEST_P(GeluTest, MatchesTheOracle) {
  const auto x = arguments();
  const auto n = static_cast<int64_t>(x.size());
  auto y = blank(n);
  const auto check = [&](const Values& expected) {
    const auto found = y.get();
    for (size_t i = 0; i < x.size(); ++i) {
      const double tolerance =
          1e-6 * (std::abs(expected[i]) + std::min(1.0, std::abs(static_cast<double>(x[i]))));
      EXPECT_NEAR(static_cast<double>(found[i]), expected[i], tolerance) << "at " << x[i];
    }
  };
  kernels().gelu_tanh_forward(context(), y, on_device(x), n);
  check(oracle::gelu_tanh(widen(x)));
  kernels().gelu_erf_forward(context(), y, on_device(x), n);
  check(oracle::gelu_erf(widen(x)));
}

TEST_P(GeluTest, GradientsMatchFiniteDifferences) {
  for (const int64_t n : {1, 3, 17, 65, 5001}) {
    const auto x = normal_values(n, 1, 2.0F);
    const auto dy = normal_values(n, 2);
    auto dx = blank(n);
    kernels().gelu_tanh_backward(context(), dx, on_device(dy), on_device(x), n);
    expect_gradient(
        dx, widen(x), [&](const Values& v) { return dot(oracle::gelu_tanh(v), dy); }, "gelu_tanh");
    auto in_place = on_device(dy);
    kernels().gelu_tanh_backward(context(), in_place, in_place, on_device(x), n);
    EXPECT_EQ(in_place.get(), dx.get());

    kernels().gelu_erf_backward(context(), dx, on_device(dy), on_device(x), n);
    expect_gradient(
        dx, widen(x), [&](const Values& v) { return dot(oracle::gelu_erf(v), dy); }, "gelu_erf");
    auto in_place_erf = on_device(dy);
    kernels().gelu_erf_backward(context(), in_place_erf, in_place_erf, on_device(x), n);
    EXPECT_EQ(in_place_erf.get(), dx.get());
  }
}

TEST_P(GeluTest, SlopesFarOutAreZeroAndOneAndNansStay) {
  const std::vector<float> x = {-1e19F, -100.0F, 100.0F, 1e19F, kNan};
  const std::vector<float> dy(5, 1.0F);
  auto dx = blank(5), y = blank(5);
  const auto check = [&] {
    const auto slope = dx.get();
    EXPECT_EQ(slope[0], 0.0F);
    EXPECT_EQ(slope[1], 0.0F);
    EXPECT_EQ(slope[2], 1.0F);
    EXPECT_EQ(slope[3], 1.0F);
    EXPECT_TRUE(std::isnan(slope[4]));
    EXPECT_TRUE(std::isnan(y.get()[4]));
  };
  kernels().gelu_tanh_forward(context(), y, on_device(x), 5);
  kernels().gelu_tanh_backward(context(), dx, on_device(dy), on_device(x), 5);
  check();
  kernels().gelu_erf_forward(context(), y, on_device(x), 5);
  kernels().gelu_erf_backward(context(), dx, on_device(dy), on_device(x), 5);
  check();
}

}  // namespace
}  // namespace headlight::test
