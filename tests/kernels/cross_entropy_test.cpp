// Cross-entropy of probabilities: mean over counted rows, ignored rows, gradient.
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class CrossEntropyTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(CrossEntropyTest);

std::vector<float> narrow(const Values& values) { return {values.begin(), values.end()}; }

TEST_P(CrossEntropyTest, MatchesTheOracleAndFiniteDifferences) {
  for (const int64_t V : {1, 3, 17, 65, 300}) {
    const int64_t R = 23;
    const auto p = narrow(oracle::softmax(widen(normal_values(R * V, 1)), 1.0, V));
    auto targets = random_tokens(R, static_cast<int32_t>(V), 2);
    targets[3] = targets[R - 1] = -1;
    auto loss = blank(1), rows = blank(R), dp = blank(R * V);
    kernels().cross_entropy_forward(context(), loss, rows, on_device(p), on_device(targets), R, V);
    const auto expected = oracle::cross_entropy(widen(p), targets, V);
    expect_close(loss, {expected.loss}, "loss");
    expect_close(rows, expected.rows, "loss_row");
    kernels().cross_entropy_backward(context(), dp, on_device(std::vector<float>{0.5F}), on_device(p),
                                     on_device(targets), R, V);
    if (V == 1) continue;  // p = 1 is the edge of log's domain
    // d log(p) needs a step that is small beside p.
    const auto gradient = dp.get();
    const auto counted = static_cast<double>(R - 2);
    Values exact(static_cast<size_t>(R * V), 0.0);
    for (int64_t r = 0; r < R; ++r) {
      if (targets[static_cast<size_t>(r)] < 0) continue;
      const auto at = static_cast<size_t>(r * V + targets[static_cast<size_t>(r)]);
      Values moved = widen(p);
      const double step = 1e-6 * moved[at];
      moved[at] += step;
      const double above = oracle::cross_entropy(moved, targets, V).loss;
      moved[at] -= 2 * step;
      exact[at] = 0.5 * (above - oracle::cross_entropy(moved, targets, V).loss) / (2 * step);
      EXPECT_NEAR(static_cast<double>(gradient[at]) * static_cast<double>(p[at]) * counted, -0.5, 1e-5);
    }
    expect_close(dp, exact, "dp", 40);
  }
}

TEST_P(CrossEntropyTest, NothingToCountGivesZero) {
  const std::vector<int32_t> targets(5, -1);
  auto loss = blank(1), rows = blank(5), dp = blank(15);
  const std::vector<float> p(15, 1.0F / 3.0F);
  kernels().cross_entropy_forward(context(), loss, rows, on_device(p), on_device(targets), 5, 3);
  EXPECT_EQ(loss.get()[0], 0.0F);
  EXPECT_EQ(rows.get(), std::vector<float>(5, 0.0F));
  kernels().cross_entropy_backward(context(), dp, on_device(std::vector<float>{1.0F}), on_device(p),
                                   on_device(targets), 5, 3);
  EXPECT_EQ(dp.get(), std::vector<float>(15, 0.0F));
}

}  // namespace
}  // namespace headlight::test
