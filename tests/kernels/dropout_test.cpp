// Dropout: the share that is kept, its scale, and that the choice depends on seed, salt and index alone.
#include <cmath>

#include "kernels/random.h"
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class DropoutTest : public KernelTest {
 protected:
  std::vector<float> dropped(const std::vector<float>& x, float p, uint64_t seed, uint64_t salt) {
    auto y = blank(static_cast<int64_t>(x.size()));
    Buffer<uint64_t> seed_device(backend(), std::vector<uint64_t>{seed});
    kernels().dropout(context(), y, on_device(x), p, seed_device, salt, static_cast<int64_t>(x.size()));
    return y.get();
  }
};
HEADLIGHT_ON_EVERY_BACKEND(DropoutTest);

TEST_P(DropoutTest, KeepsTheRightShareScaledUp) {
  const int64_t n = 200003;
  const std::vector<float> ones(n, 1.0F);
  for (const float p : {0.1F, 0.5F, 0.9F}) {
    const auto y = dropped(ones, p, 42, 7);
    double kept = 0;
    double pairs = 0;  // neighbours that are both kept: independent choices
    for (size_t i = 0; i < y.size(); ++i) {
      if (y[i] == 0.0F) continue;
      EXPECT_FLOAT_EQ(y[i], 1.0F / (1.0F - p));
      kept += 1;
      if (i + 1 < y.size() && y[i + 1] != 0.0F) pairs += 1;
    }
    const double keep = 1.0 - static_cast<double>(p);
    EXPECT_NEAR(kept / n, keep, 5 * std::sqrt(keep * (1 - keep) / n));
    EXPECT_NEAR(pairs / n, keep * keep, 8 * std::sqrt(keep * (1 - keep) / n));
  }
}

TEST_P(DropoutTest, DependsOnSeedSaltAndIndexAlone) {
  const int64_t n = 50001;
  const auto x = normal_values(n, 1);
  const auto y = dropped(x, 0.3F, 5, 9);
  EXPECT_EQ(dropped(x, 0.3F, 5, 9), y);
  EXPECT_NE(dropped(x, 0.3F, 6, 9), y);
  EXPECT_NE(dropped(x, 0.3F, 5, 10), y);
  // A shorter tensor makes the same choices for the elements that it has, as backward does on another tensor.
  const auto head = dropped({x.begin(), x.begin() + 777}, 0.3F, 5, 9);
  EXPECT_EQ(head, std::vector<float>(y.begin(), y.begin() + 777));
  // The choice is the one that kernels/random.h defines, on every backend.
  const kernels::RandomKey key = kernels::random_key(5, 9);
  for (uint32_t i = 0; i < n; ++i) {
    const bool keep = kernels::unit_float(kernels::random_bits(key, i)) >= 0.3F;
    EXPECT_EQ(y[i] != 0.0F, keep && x[i] != 0.0F) << i;
  }
}

TEST_P(DropoutTest, ZeroKeepsAllOneDropsAllAndInPlaceIsTheSame) {
  const auto x = normal_values(1001, 1);
  EXPECT_EQ(dropped(x, 0.0F, 1, 2), x);
  EXPECT_EQ(dropped(x, 1.0F, 1, 2), std::vector<float>(1001, 0.0F));
  auto in_place = on_device(x);
  Buffer<uint64_t> seed(backend(), std::vector<uint64_t>{1});
  kernels().dropout(context(), in_place, in_place, 0.4F, seed, 2, 1001);
  EXPECT_EQ(in_place.get(), dropped(x, 0.4F, 1, 2));
}

}  // namespace
}  // namespace headlight::test
