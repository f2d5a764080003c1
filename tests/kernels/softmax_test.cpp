// Softmax by row: sums, temperature, extreme logits, its gradient, in place.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class SoftmaxTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(SoftmaxTest);

TEST_P(SoftmaxTest, MatchesTheOracleInAndOutOfPlace) {
  for (const int64_t N : {1, 3, 16, 17, 65, 300, 5003}) {
    for (const float inverse_temperature : {1.0F, 0.25F, 10.0F}) {
      const int64_t R = 9;
      const auto x = normal_values(R * N, 1, 3.0F);
      auto y = blank(R * N);
      kernels().softmax_forward(context(), y, on_device(x), inverse_temperature, R, N);
      // A logit of 30·ε: the exponent of a large logit carries its rounding.
      expect_close(y, oracle::softmax(widen(x), static_cast<double>(inverse_temperature), N), "y", 4);
      const auto p = y.get();
      for (int64_t r = 0; r < R; ++r) {
        double total = 0;
        for (int64_t i = 0; i < N; ++i) total += static_cast<double>(p[static_cast<size_t>(r * N + i)]);
        EXPECT_NEAR(total, 1.0, 2e-6);
      }
      auto in_place = on_device(x);
      kernels().softmax_forward(context(), in_place, in_place, inverse_temperature, R, N);
      EXPECT_EQ(in_place.get(), y.get());
    }
  }
}

TEST_P(SoftmaxTest, GradientMatchesFiniteDifferences) {
  for (const int64_t N : {1, 3, 17, 65, 300}) {
    const int64_t R = 5;
    const float inverse_temperature = 0.7F;
    const auto x = normal_values(R * N, 1);
    const auto dy = normal_values(R * N, 2);
    auto y = blank(R * N), dx = blank(R * N);
    kernels().softmax_forward(context(), y, on_device(x), inverse_temperature, R, N);
    kernels().softmax_backward(context(), dx, on_device(dy), y, inverse_temperature, R, N);
    expect_gradient(
        dx, widen(x),
        [&](const Values& v) {
          return dot(oracle::softmax(v, static_cast<double>(inverse_temperature), N), dy);
        },
        "dx");
    auto in_place = on_device(dy);
    kernels().softmax_backward(context(), in_place, in_place, y, inverse_temperature, R, N);
    EXPECT_EQ(in_place.get(), dx.get());
  }
}

TEST_P(SoftmaxTest, ExtremeLogits) {
  const int64_t N = 19;
  std::vector<float> x(6 * N, 0.0F);
  const auto at = [&](int64_t r, int64_t i) -> float& { return x[static_cast<size_t>(r * N + i)]; };
  for (int64_t i = 0; i < N; ++i) {
    at(0, i) = i == 4 ? 3e38F : -3e38F;     // overflow without the maximum taken off
    at(1, i) = i <= 2 ? 1.0F : -kInfinity;  // what a causal mask leaves
    at(2, i) = -kInfinity;                  // nothing to attend to
    at(3, i) = i == 18 ? kNan : 0.5F;       // in the last, partial vector
    at(4, i) = i == 3 ? kNan : 0.5F;
    at(5, i) = i == 7 ? kInfinity : 0.5F;  // ∞ − ∞
  }
  auto y = blank(6 * N);
  kernels().softmax_forward(context(), y, on_device(x), 1.0F, 6, N);
  const auto p = y.get();
  for (int64_t i = 0; i < N; ++i) {
    const auto found = [&](int64_t r) { return p[static_cast<size_t>(r * N + i)]; };
    EXPECT_EQ(found(0), i == 4 ? 1.0F : 0.0F);
    if (i <= 2) {
      EXPECT_NEAR(found(1), 1.0F / 3.0F, 1e-6F);
    } else {
      EXPECT_EQ(found(1), 0.0F);
    }
    EXPECT_TRUE(std::isnan(found(2)));
    EXPECT_TRUE(std::isnan(found(3)));
    EXPECT_TRUE(std::isnan(found(4)));
    EXPECT_TRUE(i != 7 || std::isnan(found(5)));
  }
}

}  // namespace
}  // namespace headlight::test
