// What `headlight bench attention` measures: both ways compute the same, and need the memory that is said.
#include "kernels/bench_attention.h"

#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

using kernels::AttentionShape;
using kernels::AttentionWay;

class BenchAttentionTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(BenchAttentionTest);

TEST_P(BenchAttentionTest, BothWaysComputeTheSame) {
  const AttentionShape shape{2, 20, 2, 16};
  EXPECT_LT(kernels::attention_difference<float>(backend(), shape), 1e-5);
  EXPECT_LT(kernels::attention_difference<kernels::bfloat16>(backend(), shape), 0.02);
}

TEST_P(BenchAttentionTest, TimesBothWays) {
  for (const bool backward : {false, true}) {
    for (const AttentionWay way : {AttentionWay::steps, AttentionWay::fused}) {
      const auto timing = kernels::time_attention<float>(backend(), {1, 9, 2, 8, backward}, way, 0);
      EXPECT_EQ(timing.first_calls.size(), 3U);
      EXPECT_GT(timing.seconds, 0.0);
    }
  }
}

TEST(BenchAttentionSizesTest, CountWhatACausalMaskLeaves) {
  const AttentionShape forward{2, 3, 5, 7};
  EXPECT_EQ(forward.flops(), 2 * 2 * 2 * 5 * 7 * 6.0);  // two products of six pairs
  const AttentionShape both{2, 3, 5, 7, true};
  EXPECT_EQ(both.flops(), 7 * 2 * 2 * 5 * 7 * 6.0);
  // qkv and z, and the log-sum-exp of each row.
  EXPECT_EQ(forward.bytes(AttentionWay::fused, 2), 4 * 210 * 2U + 30 * 4U);
  // q, k, v apart, and scores and pattern.
  EXPECT_EQ(forward.bytes(AttentionWay::steps, 4), (7 * 210 + 2 * 90) * 4U);
  EXPECT_GT(both.bytes(AttentionWay::steps, 4), forward.bytes(AttentionWay::steps, 4));
}

}  // namespace
}  // namespace headlight::test
