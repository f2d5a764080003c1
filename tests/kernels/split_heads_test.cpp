// Splitting qkv into heads, its gradient, and merging heads again: copies, so they must be exact.
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class SplitHeadsTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(SplitHeadsTest);

TEST_P(SplitHeadsTest, SplitsAndJoinsExactly) {
  const int64_t B = 2;
  const int64_t T = 5;
  struct Shape {
    int64_t H, H_kv, D;
  };
  for (const auto& [H, H_kv, D] :
       {Shape{1, 1, 1}, Shape{3, 3, 7}, Shape{4, 4, 16}, Shape{1, 1, 65}, Shape{6, 2, 5}, Shape{4, 1, 16}}) {
    const int64_t n = B * T * H * D, m = B * T * H_kv * D;
    const auto qkv = normal_values(n + 2 * m, 1);
    auto q = blank(n), k = blank(m), v = blank(m);
    kernels().split_heads_forward(context(), q, k, v, on_device(qkv), B, T, H, H_kv, D);
    const auto expected = oracle::split_heads(widen(qkv), B, T, H, H_kv, D);
    EXPECT_EQ(widen(q.get()), expected.q);
    EXPECT_EQ(widen(k.get()), expected.k);
    EXPECT_EQ(widen(v.get()), expected.v);
    auto joined = blank(n + 2 * m);
    kernels().split_heads_backward(context(), joined, q, k, v, B, T, H, H_kv, D);
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
