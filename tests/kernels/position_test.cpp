// Learned positions: the same rows for every batch item; rows beyond T get no gradient.
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class PositionTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(PositionTest);

TEST_P(PositionTest, RepeatsRowsAndSumsTheirGradients) {
  for (const int64_t C : {1, 17, 65}) {
    const int64_t B = 3;
    const int64_t T = 5;
    const int64_t P = 9;
    const auto table = normal_values(P * C, 1);
    const auto dy = normal_values(B * T * C, 2);
    auto y = blank(B * T * C);
    kernels().position_forward(context(), y, on_device(table), B, T, C);
    expect_close(y, oracle::position(widen(table), B, T, C), "y");
    auto dtable = blank(P * C);
    kernels().position_backward(context(), dtable, on_device(dy), B, T, C, P);
    expect_gradient(
        dtable, widen(table), [&](const Values& x) { return dot(oracle::position(x, B, T, C), dy); },
        "dtable");
    const auto all = dtable.get();
    for (int64_t i = T * C; i < P * C; ++i) EXPECT_EQ(all[static_cast<size_t>(i)], 0.0F);
  }
}

}  // namespace
}  // namespace headlight::test
