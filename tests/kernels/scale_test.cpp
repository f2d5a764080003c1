// y = x·factor, out of place and in place.
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class ScaleTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(ScaleTest);

TEST_P(ScaleTest, MultipliesEveryElement) {
  for (const int64_t n : {1, 3, 17, 65, 100003}) {
    const auto x = normal_values(n, 1);
    auto y = blank(n);
    kernels().scale(context(), y, on_device(x), 0.3F, n);
    expect_close(y, oracle::scale(widen(x), static_cast<double>(0.3F)), "y");
    auto in_place = on_device(x);
    kernels().scale(context(), in_place, in_place, 0.3F, n);
    EXPECT_EQ(in_place.get(), y.get());
  }
}

}  // namespace
}  // namespace headlight::test
