// p·v for every head and its gradients.
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class WeightedSumTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(WeightedSumTest);

struct Shape {
  int64_t B, T, H, H_kv, D;
};

TEST_P(WeightedSumTest, MatchesTheOracleAndFiniteDifferences) {
  for (const auto& [B, T, H, H_kv, D] :
       {Shape{1, 1, 1, 1, 1}, Shape{2, 3, 3, 3, 5}, Shape{1, 17, 2, 2, 16}, Shape{2, 65, 1, 1, 33},
        Shape{1, 130, 2, 2, 7}, Shape{2, 9, 6, 2, 5}, Shape{1, 33, 4, 1, 16}}) {
    const auto p = normal_values(B * H * T * T, 1);
    const auto v = normal_values(B * T * H_kv * D, 2);
    const auto dz = normal_values(B * T * H * D, 3);
    auto z = blank(B * T * H * D), dv = blank(B * T * H_kv * D), dp = blank(B * H * T * T);
    kernels().weighted_sum_forward(context(), z, on_device(p), on_device(v), B, T, H, H_kv, D);
    expect_close(z, oracle::weighted_sum(widen(p), widen(v), B, T, H, H_kv, D), "z");
    kernels().weighted_sum_backward_pattern(context(), dp, on_device(dz), on_device(v), B, T, H, H_kv, D);
    kernels().weighted_sum_backward_value(context(), dv, on_device(dz), on_device(p), B, T, H, H_kv, D);
    expect_gradient(
        dp, widen(p),
        [&](const Values& x) { return dot(oracle::weighted_sum(x, widen(v), B, T, H, H_kv, D), dz); }, "dp");
    expect_gradient(
        dv, widen(v),
        [&](const Values& x) { return dot(oracle::weighted_sum(widen(p), x, B, T, H, H_kv, D), dz); }, "dv");
  }
}

}  // namespace
}  // namespace headlight::test
