// The elementwise product, which is also its own gradient.
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class MultiplyTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(MultiplyTest);

TEST_P(MultiplyTest, MatchesTheOracleAlsoInPlace) {
  for (const int64_t n : {1, 3, 17, 65, 70001}) {
    const auto a = normal_values(n, 1), b = normal_values(n, 2), dy = normal_values(n, 3);
    auto y = blank(n), da = blank(n);
    kernels().multiply_forward(context(), y, on_device(a), on_device(b), n);
    expect_close(y, oracle::multiply(widen(a), widen(b)), "y");
    auto first = on_device(a), second = on_device(b);
    kernels().multiply_forward(context(), first, first, second, n);
    EXPECT_EQ(first.get(), y.get());
    auto fresh = on_device(a);
    kernels().multiply_forward(context(), second, fresh, second, n);
    EXPECT_EQ(second.get(), y.get());
    kernels().multiply_forward(context(), da, on_device(dy), on_device(b), n);
    expect_gradient(
        da, widen(a), [&](const Values& v) { return dot(oracle::multiply(v, widen(b)), dy); }, "da");
  }
}

}  // namespace
}  // namespace headlight::test
