// Splitting qkv into heads, its gradient, and merging heads again: copies, so they must be exact.
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class SplitHeadsTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(SplitHeadsTest);

TEST_P(SplitHeadsTest, SplitsAndJoinsExactly) {
  const int64_t B = 2;
  const int64_t T = 5;
  for (const auto& [H, D] : {std::pair<int64_t, int64_t>{1, 1}, {3, 7}, {4, 16}, {1, 65}}) {
    const int64_t n = B * T * H * D;
    const auto qkv = normal_values(3 * n, 1);
    auto q = blank(n), k = blank(n), v = blank(n);
    kernels().split_heads_forward(context(), q, k, v, on_device(qkv), B, T, H, D);
    const auto expected = oracle::split_heads(widen(qkv), B, T, H, D);
    EXPECT_EQ(widen(q.get()), expected.q);
    EXPECT_EQ(widen(k.get()), expected.k);
    EXPECT_EQ(widen(v.get()), expected.v);
    auto joined = blank(3 * n);
    kernels().split_heads_backward(context(), joined, q, k, v, B, T, H, D);
    EXPECT_EQ(joined.get(), qkv);
  }
}

TEST_P(SplitHeadsTest, MergesHeadsSideBySide) {
  const int64_t n = 2 * 5 * 3 * 7;
  const auto x = normal_values(n, 1);
  auto y = blank(n);
  kernels().merge_heads(context(), y, on_device(x), 2, 5, 3, 7);
  EXPECT_EQ(y.get(), x);
  auto in_place = on_device(x);
  kernels().merge_heads(context(), in_place, in_place, 2, 5, 3, 7);
  EXPECT_EQ(in_place.get(), x);
}

}  // namespace
}  // namespace headlight::test
