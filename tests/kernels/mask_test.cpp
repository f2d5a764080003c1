// The four masks, their gradients, and the course's lesson: −∞ leaks nothing, zero does.
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

using kernels::MaskKind;

class MaskTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(MaskTest);

constexpr MaskKind kKinds[] = {MaskKind::none, MaskKind::causal, MaskKind::zero, MaskKind::finite};

TEST_P(MaskTest, MatchesTheOracleInAndOutOfPlace) {
  for (const int64_t T : {1, 3, 17, 65}) {
    for (const MaskKind kind : kKinds) {
      const int64_t G = 3;
      const auto x = normal_values(G * T * T, 1);
      auto y = blank(G * T * T);
      kernels().mask_forward(context(), y, on_device(x), kind, G, T);
      EXPECT_EQ(widen(y.get()), oracle::mask(widen(x), kind, G, T));
      auto in_place = on_device(x);
      kernels().mask_forward(context(), in_place, in_place, kind, G, T);
      EXPECT_EQ(in_place.get(), y.get());
    }
  }
}

TEST_P(MaskTest, NoGradientReachesTheFuture) {
  for (const int64_t T : {1, 17, 65}) {
    for (const MaskKind kind : kKinds) {
      const int64_t G = 2;
      const auto dy = normal_values(G * T * T, 1);
      auto dx = blank(G * T * T);
      kernels().mask_backward(context(), dx, on_device(dy), kind, G, T);
      const MaskKind gradient = kind == MaskKind::none ? MaskKind::none : MaskKind::zero;
      EXPECT_EQ(widen(dx.get()), oracle::mask(widen(dy), gradient, G, T));
      auto in_place = on_device(dy);
      kernels().mask_backward(context(), in_place, in_place, kind, G, T);
      EXPECT_EQ(in_place.get(), dx.get());
    }
  }
}

TEST_P(MaskTest, ZeroLeaksTheFutureAndMinusInfinityDoesNot) {
  const int64_t T = 9;
  const auto scores = normal_values(T * T, 1);
  const auto leak = [&](MaskKind kind) {
    auto s = on_device(scores);
    kernels().mask_forward(context(), s, s, kind, 1, T);
    kernels().softmax_forward(context(), s, s, 1.0F, T, T);
    const auto p = s.get();
    float future = 0.0F;
    for (int64_t i = 0; i < T; ++i) {
      for (int64_t j = i + 1; j < T; ++j) future += p[static_cast<size_t>(i * T + j)];
    }
    return future;
  };
  EXPECT_EQ(leak(MaskKind::causal), 0.0F);
  EXPECT_EQ(leak(MaskKind::finite), 0.0F);  // e^−1e9 is 0 in single precision
  EXPECT_GT(leak(MaskKind::zero), 0.5F);
  EXPECT_GT(leak(MaskKind::none), 0.5F);
}

TEST_P(MaskTest, EqualLogitsUnderTheCausalMaskGiveOneOverTheCount) {
  const int64_t T = 33;
  auto s = on_device(std::vector<float>(T * T, 7.25F));
  kernels().mask_forward(context(), s, s, MaskKind::causal, 1, T);
  kernels().softmax_forward(context(), s, s, 1.0F, T, T);
  const auto p = s.get();
  for (int64_t i = 0; i < T; ++i) {
    for (int64_t j = 0; j < T; ++j) {
      const float value = p[static_cast<size_t>(i * T + j)];
      if (j > i) {
        EXPECT_EQ(value, 0.0F);
      } else {
        EXPECT_NEAR(value, 1.0F / static_cast<float>(i + 1), 1e-6F);
      }
    }
  }
}

}  // namespace
}  // namespace headlight::test
