// Random numbers, comparisons.
#include "tests/kernels/harness.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <random>

namespace headlight::test {

std::vector<float> normal_values(int64_t n, uint32_t seed, float spread) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(engine);
  return values;
}

std::vector<int32_t> random_tokens(int64_t n, int32_t limit, uint32_t seed) {
  std::mt19937 engine(seed);
  std::uniform_int_distribution<int32_t> uniform(0, limit - 1);
  std::vector<int32_t> tokens(static_cast<size_t>(n));
  for (int32_t& token : tokens) token = uniform(engine);
  return tokens;
}

Values widen(const std::vector<float>& values) { return {values.begin(), values.end()}; }

double dot(const Values& a, const std::vector<float>& b) {
  double total = 0;
  for (size_t i = 0; i < a.size(); ++i) total += a[i] * static_cast<double>(b[i]);
  return total;
}

void KernelTest::SetUp() {
  std::string why_not;
  backend_ = GetParam().factory(why_not);
  if (!backend_) GTEST_SKIP() << why_not;
}

void KernelTest::expect_close(const std::vector<float>& actual, const Values& expected,
                              const std::string& what, double slack) const {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  double squares = 0;
  double finite = 0;
  for (const double value : expected) {
    if (!std::isfinite(value)) continue;
    squares += value * value;
    finite += 1;
  }
  const double typical = finite == 0 ? 0 : std::sqrt(squares / finite);
  const double tolerance = GetParam().tolerance * slack;
  for (size_t i = 0; i < actual.size(); ++i) {
    const auto found = static_cast<double>(actual[i]);
    const bool same_kind =
        std::isnan(expected[i]) ? std::isnan(found)
        : std::isinf(expected[i])
            ? found == expected[i]
            : std::abs(found - expected[i]) <= tolerance * (std::abs(expected[i]) + typical) + 1e-37;
    ASSERT_TRUE(same_kind) << fmt::format("{}[{}] is {:.9g}, the oracle says {:.9g} (typically {:.3g})", what,
                                          i, found, expected[i], typical);
  }
}

void KernelTest::expect_gradient(const Buffer<float>& actual, const Values& x,
                                 const std::function<double(const Values&)>& loss, const std::string& what,
                                 double slack) const {
  const std::vector<float> all = actual.get();
  ASSERT_EQ(all.size(), x.size()) << what;
  constexpr size_t kSamples = 48;
  const size_t stride = std::max<size_t>(1, x.size() / kSamples) | 1U;
  std::vector<float> found;
  Values expected;
  Values moved = x;
  for (size_t i = 0; i < x.size(); i += stride) {
    const double step = 1e-5 * std::max(1.0, std::abs(x[i]));
    moved[i] = x[i] + step;
    const double above = loss(moved);
    moved[i] = x[i] - step;
    const double below = loss(moved);
    moved[i] = x[i];
    found.push_back(all[i]);
    expected.push_back((above - below) / (2 * step));
  }
  // What was not sampled must at least have been written.
  for (const float value : all)
    ASSERT_FALSE(std::isnan(value)) << what << " has an element that was not written";
  expect_close(found, expected, what, 4 * slack);
}

}  // namespace headlight::test
