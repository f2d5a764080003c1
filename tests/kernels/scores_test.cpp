// q·kᵀ for every head, its gradients, and the variance that the course derives.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class ScoresTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(ScoresTest);

struct Shape {
  int64_t B, T, H, H_kv, D;
};
constexpr Shape kShapes[] = {{1, 1, 1, 1, 1},   {2, 3, 3, 3, 5}, {1, 17, 2, 2, 16}, {2, 65, 1, 1, 33},
                             {1, 130, 2, 2, 7}, {2, 9, 6, 2, 5}, {1, 33, 4, 1, 16}};

TEST_P(ScoresTest, MatchesTheOracle) {
  for (const auto& [B, T, H, H_kv, D] : kShapes) {
    const auto q = normal_values(B * T * H * D, 1);
    const auto k = normal_values(B * T * H_kv * D, 2);
    auto s = blank(B * H * T * T);
    kernels().scores_forward(context(), s, on_device(q), on_device(k), B, T, H, H_kv, D);
    expect_close(s, oracle::scores(widen(q), widen(k), B, T, H, H_kv, D), "s");
  }
}

TEST_P(ScoresTest, GradientsMatchFiniteDifferences) {
  for (const auto& [B, T, H, H_kv, D] : kShapes) {
    const auto q = normal_values(B * T * H * D, 1);
    const auto k = normal_values(B * T * H_kv * D, 2);
    const auto ds = normal_values(B * H * T * T, 3);
    auto dq = blank(B * T * H * D), dk = blank(B * T * H_kv * D);
    kernels().scores_backward_query(context(), dq, on_device(ds), on_device(k), B, T, H, H_kv, D);
    kernels().scores_backward_key(context(), dk, on_device(ds), on_device(q), B, T, H, H_kv, D);
    expect_gradient(
        dq, widen(q), [&](const Values& x) { return dot(oracle::scores(x, widen(k), B, T, H, H_kv, D), ds); },
        "dq");
    expect_gradient(
        dk, widen(k), [&](const Values& x) { return dot(oracle::scores(widen(q), x, B, T, H, H_kv, D), ds); },
        "dk");
  }
}

// For q and k of unit variance, Var(q·k) = D; divided by √D it is 1.
TEST_P(ScoresTest, VarianceIsTheHeadSizeAndOneWhenScaled) {
  const int64_t T = 128;
  for (const int64_t D : {16, 64, 256}) {
    const auto q = normal_values(T * D, 1);
    const auto k = normal_values(T * D, 2);
    auto s = blank(T * T);
    kernels().scores_forward(context(), s, on_device(q), on_device(k), 1, T, 1, 1, D);
    const auto variance = [&] {
      const auto values = s.get();
      double mean = 0;
      double squares = 0;
      for (const float value : values) {
        mean += static_cast<double>(value);
        squares += static_cast<double>(value) * static_cast<double>(value);
      }
      mean /= static_cast<double>(values.size());
      return squares / static_cast<double>(values.size()) - mean * mean;
    };
    EXPECT_NEAR(variance() / static_cast<double>(D), 1.0, 0.05);
    kernels().scale(context(), s, s, 1.0F / std::sqrt(static_cast<float>(D)), T * T);
    EXPECT_NEAR(variance(), 1.0, 0.05);
  }
}

}  // namespace
}  // namespace headlight::test
