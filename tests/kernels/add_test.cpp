// y = a + b, out of place and in place on either side.
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class AddTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(AddTest);

TEST_P(AddTest, AddsInAndOutOfPlace) {
  for (const int64_t n : {1, 3, 17, 65, 100003}) {
    const auto a = normal_values(n, 1);
    const auto b = normal_values(n, 2);
    auto y = blank(n);
    kernels().add_forward(context(), y, on_device(a), on_device(b), n);
    expect_close(y, oracle::add(widen(a), widen(b)), "y");
    auto left = on_device(a);
    kernels().add_forward(context(), left, left, on_device(b), n);
    EXPECT_EQ(left.get(), y.get());
    auto right = on_device(b);
    kernels().add_forward(context(), right, on_device(a), right, n);
    EXPECT_EQ(right.get(), y.get());
  }
}

}  // namespace
}  // namespace headlight::test
