// AdamW against the oracle over several steps, with clipping and decay, in place and not.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class AdamWTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(AdamWTest);

TEST_P(AdamWTest, FollowsTheOracle) {
  for (const int64_t n : {1, 3, 17, 65, 50001}) {
    const kernels::AdamWConstants constants{0.9F, 0.95F, 1e-8F, 0.1F};
    const float clip = 0.5F;
    const float rate = 3e-3F;
    auto w = on_device(normal_values(n, 1)), m = on_device(std::vector<float>(static_cast<size_t>(n), 0.0F)),
         v = on_device(std::vector<float>(static_cast<size_t>(n), 0.0F));
    oracle::AdamWState expected{widen(w.get()), widen(m.get()), widen(v.get())};
    for (int step = 1; step <= 5; ++step) {
      const auto g = normal_values(n, 10 + static_cast<uint32_t>(step));
      const float correction1 = 1.0F - static_cast<float>(std::pow(constants.beta1, step));
      const float correction2 = 1.0F - static_cast<float>(std::pow(constants.beta2, step));
      auto clip_device = on_device(std::vector<float>{clip});
      auto schedule = on_device(std::vector<float>{rate, correction1, correction2});
      auto g_device = on_device(g);
      auto w_new = blank(n), m_new = blank(n), v_new = blank(n);
      kernels().adamw(context(), w_new, m_new, v_new, w, m, v, g_device, clip_device, schedule, constants, n);
      kernels().adamw(context(), w, m, v, w, m, v, g_device, clip_device, schedule, constants, n);
      EXPECT_EQ(w.get(), w_new.get());
      EXPECT_EQ(m.get(), m_new.get());
      EXPECT_EQ(v.get(), v_new.get());
      expected = oracle::adamw(expected, widen(g), static_cast<double>(clip), static_cast<double>(rate),
                               static_cast<double>(correction1), static_cast<double>(correction2), constants);
    }
    expect_close(w, expected.w, "w");
    expect_close(m, expected.m, "m");
    expect_close(v, expected.v, "v", 4);
  }
}

TEST_P(AdamWTest, AFactorThatIsNoNumberChangesNothing) {
  const int64_t n = 70;
  const auto w = normal_values(n, 1), m = normal_values(n, 2), v = normal_values(n, 3);
  auto w_new = blank(n), m_new = blank(n), v_new = blank(n);
  auto g = on_device(std::vector<float>(static_cast<size_t>(n), kInfinity));
  auto clip = on_device(std::vector<float>{kNan}),
       schedule = on_device(std::vector<float>{1e-3F, 0.1F, 0.05F});
  kernels().adamw(context(), w_new, m_new, v_new, on_device(w), on_device(m), on_device(v), g, clip, schedule,
                  {}, n);
  EXPECT_EQ(w_new.get(), w);
  EXPECT_EQ(m_new.get(), m);
  EXPECT_EQ(v_new.get(), v);
}

}  // namespace
}  // namespace headlight::test
