// What a draw needs of a row of logits: the best in order, also where many are alike or lie side by side,
// masked and broken ones, the sums at several temperatures; and what a greedy draw feeds back.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

using kernels::BestOfRow;

class BestTest : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (!IsSkipped() && backend().inference() == nullptr) GTEST_SKIP() << "no inference on this backend";
  }
  [[nodiscard]] std::vector<BestOfRow> best(const std::vector<float>& x, double temperature, int64_t R,
                                            int64_t V, int64_t k, const kernels::Feedback& feedback = {}) {
    Buffer<BestOfRow> found(backend(), R);
    Buffer<float> rows(backend(), x);
    backend().inference()->best_of_rows(context(), found, rows, temperature, feedback, R, V, k);
    return found.get();
  }
};
HEADLIGHT_ON_EVERY_BACKEND(BestTest);

/// The columns of a row from the largest logit down, the first among equals first, NaN last.
std::vector<int32_t> ranked(const float* row, int64_t V) {
  std::vector<int32_t> order(static_cast<size_t>(V));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return std::isnan(row[b]) ? !std::isnan(row[a]) : row[a] > row[b];
  });
  return order;
}

TEST_P(BestTest, FindsTheBestAndTheSums) {
  struct Rows {
    int64_t R, V, k;
  };
  for (const auto& [R, V, k] : {Rows{1, 1, 1}, Rows{3, 5, 5}, Rows{2, 65, 10}, Rows{7, 300, 64},
                                Rows{2, 2049, 64}, Rows{1, 9001, 40}, Rows{3, 5003, 1}}) {
    for (const double temperature : {0.3, 1.0, 4.0}) {
      std::vector<float> x = normal_values(R * V, static_cast<uint32_t>(V), 5.0F);
      // Some alike, some masked.
      for (size_t i = 0; i < x.size(); i += 7) x[i] = 6.5F;
      for (size_t i = 1; i < x.size(); i += 11) x[i] = -kInfinity;
      const std::vector<BestOfRow> found = best(x, temperature, R, V, k);
      for (int64_t r = 0; r < R; ++r) {
        SCOPED_TRACE(fmt::format("row {} of {}, the first {} at {}", r, V, k, temperature));
        const float* row = x.data() + r * V;
        const std::vector<int32_t> order = ranked(row, V);
        const BestOfRow& it = found[static_cast<size_t>(r)];
        for (int64_t i = 0; i < k; ++i) {
          ASSERT_EQ(it.columns[i], order[static_cast<size_t>(i)]) << i;
          ASSERT_EQ(it.values[i], row[it.columns[i]]) << i;
        }
        double sum = 0, weighted = 0;
        for (int64_t j = 0; j < V; ++j) {
          const double z = (static_cast<double>(row[j]) - static_cast<double>(row[order[0]])) / temperature;
          if (z < -700) continue;
          sum += std::exp(z);
          weighted += std::exp(z) * z;
        }
        EXPECT_NEAR(it.sum, sum, 1e-12 * sum);
        EXPECT_NEAR(it.weighted, weighted, 1e-12 * std::abs(weighted));
      }
    }
  }
}

TEST_P(BestTest, ManyThatAreAlikeAreTakenInOrder) {
  // More equals than are looked at together, then a ramp whose best lie side by side.
  constexpr int64_t V = 12000, k = 64;
  std::vector<float> x(2 * V, 1.5F);
  for (int64_t i = 0; i < V; ++i) x[static_cast<size_t>(V + i)] = static_cast<float>(i / 3000);
  const std::vector<BestOfRow> found = best(x, 1.0, 2, V, k);
  for (int64_t i = 0; i < k; ++i) {
    EXPECT_EQ(found[0].columns[i], i);
    EXPECT_EQ(found[1].columns[i], 9000 + i);
  }
  EXPECT_EQ(found[0].sum, static_cast<double>(V));
  EXPECT_EQ(found[0].weighted, 0.0);
}

TEST_P(BestTest, BrokenLogitsShow) {
  constexpr int64_t V = 3000;
  const std::vector<float> good = normal_values(V, 5);
  for (const float bad : {kNan, kInfinity}) {
    std::vector<float> x = good;
    x[1234] = bad;
    EXPECT_TRUE(std::isnan(best(x, 1.0, 1, V, 3)[0].sum)) << bad;
  }
  const std::vector<float> nothing(V, -kInfinity);
  EXPECT_EQ(best(nothing, 1.0, 1, V, 3)[0].values[0], -kInfinity);
}

TEST_P(BestTest, AGreedyDrawFeedsItself) {
  constexpr int64_t R = 3, V = 700;
  const std::vector<float> x = normal_values(R * V, 8);
  Buffer<int32_t> tokens(backend(), R), places(backend(), std::vector<int32_t>{4, 0, 9});
  const std::vector<BestOfRow> found = best(x, 1.0, R, V, 1, {tokens, places});
  const std::vector<int32_t> fed = tokens.get();
  for (int64_t r = 0; r < R; ++r) {
    EXPECT_EQ(fed[static_cast<size_t>(r)], ranked(x.data() + r * V, V)[0]);
    EXPECT_EQ(found[static_cast<size_t>(r)].columns[0], fed[static_cast<size_t>(r)]);
  }
  EXPECT_EQ(places.get(), (std::vector<int32_t>{5, 1, 10}));
}

}  // namespace
}  // namespace headlight::test
