// Softmax and cross-entropy in one: loss, log-sum-exp, gradient, ignored rows, extreme logits; the accuracy
// of exp.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class SoftmaxCrossEntropyTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(SoftmaxCrossEntropyTest);

TEST_P(SoftmaxCrossEntropyTest, MatchesTheOracleAndFiniteDifferences) {
  for (const int64_t V : {1, 3, 17, 65, 300, 5003}) {
    const int64_t R = 21;
    const auto logits = normal_values(R * V, 1, 2.0F);
    auto targets = random_tokens(R, static_cast<int32_t>(V), 2);
    targets[3] = targets[R - 1] = -1;
    auto loss = blank(1), rows = blank(R), lse = blank(R), dlogits = blank(R * V);
    kernels().softmax_cross_entropy_forward(context(), loss, rows, lse, on_device(logits), on_device(targets),
                                            R, V);
    const auto expected = oracle::softmax_cross_entropy(widen(logits), targets, V);
    expect_close(lse, expected.lse, "lse");
    // A loss near 0 is a difference of logits.
    if (V > 1) {
      expect_close(loss, {expected.loss}, "loss");
      expect_close(rows, expected.rows, "loss_row");
    }
    auto dloss = on_device(std::vector<float>{0.5F});
    kernels().softmax_cross_entropy_backward(context(), dlogits, dloss, on_device(logits), lse,
                                             on_device(targets), R, V);
    if (V > 1) {
      expect_gradient(
          dlogits, widen(logits),
          [&](const Values& x) { return 0.5 * oracle::softmax_cross_entropy(x, targets, V).loss; }, "dlogits",
          4);
    }
    for (int64_t v = 0; v < V; ++v) EXPECT_EQ(dlogits.get()[static_cast<size_t>(3 * V + v)], 0.0F);
    auto in_place = on_device(logits);
    kernels().softmax_cross_entropy_backward(context(), in_place, dloss, in_place, lse, on_device(targets), R,
                                             V);
    EXPECT_EQ(in_place.get(), dlogits.get());
    if (V > 300) break;  // one large vocabulary is enough
  }
}

TEST_P(SoftmaxCrossEntropyTest, NothingToCountGivesZero) {
  const std::vector<int32_t> targets(5, -1);
  auto loss = blank(1), rows = blank(5), lse = blank(5), dlogits = blank(15);
  const auto logits = normal_values(15, 1);
  kernels().softmax_cross_entropy_forward(context(), loss, rows, lse, on_device(logits), on_device(targets),
                                          5, 3);
  EXPECT_EQ(loss.get()[0], 0.0F);
  kernels().softmax_cross_entropy_backward(context(), dlogits, on_device(std::vector<float>{1.0F}),
                                           on_device(logits), lse, on_device(targets), 5, 3);
  EXPECT_EQ(dlogits.get(), std::vector<float>(15, 0.0F));
}

TEST_P(SoftmaxCrossEntropyTest, HugeLogitsStayFiniteAndNansShow) {
  std::vector<float> logits(3 * 17, -1e30F);
  logits[2] = 1e30F;
  logits[17 + 5] = 88.0F;
  logits[2 * 17 + 16] = kNan;
  const std::vector<int32_t> targets = {2, 5, 1};
  auto loss = blank(1), rows = blank(3), lse = blank(3);
  kernels().softmax_cross_entropy_forward(context(), loss, rows, lse, on_device(logits), on_device(targets),
                                          3, 17);
  const auto row = rows.get();
  EXPECT_EQ(row[0], 0.0F);
  EXPECT_EQ(row[1], 0.0F);
  EXPECT_TRUE(std::isnan(row[2]));
  EXPECT_TRUE(std::isnan(loss.get()[0]));
}

// With a log-sum-exp of 0 and one counted row, the gradient of a logit that is not the target is e^logit.
TEST_P(SoftmaxCrossEntropyTest, ExponentialsAreAccurateToAFewUlp) {
  std::vector<float> x = {0.0F};  // the target
  for (float value = -87.3F; value < 88.7F; value += 0.00731F) x.push_back(value);
  const auto V = static_cast<int64_t>(x.size());
  auto y = blank(V);
  kernels().softmax_cross_entropy_backward(context(), y, on_device(std::vector<float>{1.0F}), on_device(x),
                                           on_device(std::vector<float>{0.0F}),
                                           on_device(std::vector<int32_t>{0}), 1, V);
  const auto found = y.get();
  double worst = 0;
  for (size_t i = 1; i < x.size(); ++i) {
    const double exact = std::exp(static_cast<double>(x[i]));
    const double ulp = static_cast<double>(std::nextafter(static_cast<float>(exact), kInfinity)) -
                       static_cast<double>(static_cast<float>(exact));
    worst = std::max(worst, std::abs(static_cast<double>(found[i]) - exact) / ulp);
  }
  EXPECT_LT(worst, 3.0);
}

}  // namespace
}  // namespace headlight::test
