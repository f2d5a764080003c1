// Attention over a cache: new places, each step against the fused one and the oracle, unequal sequences,
// heads that share keys, and that neither unused places nor filled-up tokens reach anything.
#include <cmath>

#include "tests/kernels/harness.h"
#include "tests/support/oracle_inference.h"

namespace headlight::test {
namespace {

class CacheTest : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped()) return;
    if (backend().inference() == nullptr) GTEST_SKIP() << "no inference kernels on this backend";
  }
  [[nodiscard]] const kernels::InferenceKernels& inference() { return *backend().inference(); }
};
HEADLIGHT_ON_EVERY_BACKEND(CacheTest);

struct Case {
  oracle::CacheSizes sizes;
  std::vector<int32_t> at, count;
};
// One new token, a few, a tile and more; caches empty, filled and full, in one part and in several; heads
// alone and in groups.
const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {{1, 1, 2, 2, 5, 8}, {0}, {1}},
      {{3, 1, 4, 2, 40, 20}, {39, 0, 7}, {1, 1, 0}},
      {{2, 5, 3, 3, 33, 64}, {3, 28}, {2, 5}},
      {{2, 8, 6, 2, 50, 17}, {0, 42}, {8, 3}},
      {{2, 130, 2, 1, 300, 32}, {170, 0}, {130, 97}},
      {{3, 2, 4, 2, 290, 20}, {288, 62, 64}, {2, 2, 1}},
      {{1, 1, 1, 1, 200, 17}, {199}, {1}},
      {{1, 3, 1, 1, 150, 260}, {130}, {3}},
  };
  return all;
}

struct Data {
  std::vector<float> q, new_k, new_v, k, v;
};
Data data_of(const oracle::CacheSizes& s) {
  return {normal_values(s.B * s.T * s.H * s.D, 1), normal_values(s.B * s.T * s.G * s.D, 2),
          normal_values(s.B * s.T * s.G * s.D, 3), normal_values(s.B * s.G * s.S * s.D, 4),
          normal_values(s.B * s.G * s.S * s.D, 5)};
}

// The cache after the new rows, by hand.
std::vector<float> appended(const std::vector<float>& cache, const std::vector<float>& rows, const Case& c) {
  const auto& s = c.sizes;
  std::vector<float> result = cache;
  for (int64_t b = 0; b < s.B; ++b) {
    for (int64_t g = 0; g < s.G; ++g) {
      for (int64_t t = 0; t < c.count[static_cast<size_t>(b)]; ++t) {
        for (int64_t d = 0; d < s.D; ++d) {
          const int64_t place = c.at[static_cast<size_t>(b)] + t;
          result[static_cast<size_t>(((b * s.G + g) * s.S + place) * s.D + d)] =
              rows[static_cast<size_t>(((b * s.T + t) * s.G + g) * s.D + d)];
        }
      }
    }
  }
  return result;
}

TEST_P(CacheTest, AppendsTheRealTokensAlone) {
  for (const Case& c : cases()) {
    const auto& s = c.sizes;
    const Data data = data_of(s);
    auto cache = on_device(data.k);
    inference().cache_append(context(), cache, on_device(data.new_k), on_device(c.at), on_device(c.count),
                             s.B, s.T, s.G, s.S, s.D);
    EXPECT_EQ(cache.get(), appended(data.k, data.new_k, c));
  }
}

TEST_P(CacheTest, StepsAndFusedMatchTheOracle) {
  for (const Case& c : cases()) {
    const auto& s = c.sizes;
    const Data data = data_of(s);
    const double factor = 1 / std::sqrt(static_cast<double>(s.D));
    const auto expected =
        oracle::cached_attention(widen(data.q), widen(data.k), widen(data.v), c.at, c.count, factor, s);
    auto q = on_device(data.q), k = on_device(data.k), v = on_device(data.v);
    auto at = on_device(c.at), count = on_device(c.count);
    auto z = blank(s.B * s.T * s.H * s.D);
    inference().cached_attention(context(), z, q, k, v, at, count, static_cast<float>(factor), s.B, s.T, s.H,
                                 s.G, s.S, s.D);
    expect_close(z, expected, "fused", 4);

    const int64_t plane = s.B * s.H * s.T * s.S;
    auto scores = blank(plane), steps = blank(s.B * s.T * s.H * s.D);
    inference().cached_scores(context(), scores, q, k, at, count, s.B, s.T, s.H, s.G, s.S, s.D);
    kernels().scale(context(), scores, scores, static_cast<float>(factor), plane);
    inference().cached_mask(context(), scores, scores, at, s.B, s.H, s.T, s.S);
    kernels().softmax_forward(context(), scores, scores, 1.0F, s.B * s.H * s.T, s.S);
    inference().cached_weighted_sum(context(), steps, scores, v, at, count, s.B, s.T, s.H, s.G, s.S, s.D);
    std::vector<float> found = steps.get();
    for (int64_t b = 0; b < s.B; ++b) {  // the other rows are nobody's
      for (int64_t i = c.count[static_cast<size_t>(b)]; i < s.T; ++i) {
        const auto from = found.begin() + (b * s.T + i) * s.H * s.D;
        for (auto value = from; value != from + s.H * s.D; ++value) EXPECT_TRUE(std::isfinite(*value));
        std::fill(from, from + s.H * s.D, 0.0F);
      }
    }
    expect_close(found, expected, "steps", 4);
  }
}

TEST_P(CacheTest, UnusedPlacesAndOtherTokensReachNothing) {
  for (const Case& c : cases()) {
    const auto& s = c.sizes;
    Data data = data_of(s);
    const auto run = [&] {
      auto z = blank(s.B * s.T * s.H * s.D);
      inference().cached_attention(context(), z, on_device(data.q), on_device(data.k), on_device(data.v),
                                   on_device(c.at), on_device(c.count), 0.3F, s.B, s.T, s.H, s.G, s.S, s.D);
      return z.get();
    };
    const auto clean = run();
    for (int64_t b = 0; b < s.B; ++b) {
      const int64_t used = c.at[static_cast<size_t>(b)] + c.count[static_cast<size_t>(b)];
      for (int64_t g = 0; g < s.G; ++g) {
        for (int64_t at = ((b * s.G + g) * s.S + used) * s.D; at < (b * s.G + g + 1) * s.S * s.D; ++at) {
          data.k[static_cast<size_t>(at)] = data.v[static_cast<size_t>(at)] = kNan;
        }
      }
      for (int64_t at = (b * s.T + c.count[static_cast<size_t>(b)]) * s.H * s.D;
           at < (b + 1) * s.T * s.H * s.D; ++at) {
        data.q[static_cast<size_t>(at)] = kNan;
      }
    }
    EXPECT_EQ(run(), clean);
  }
}

TEST_P(CacheTest, PositionsAndLastRowsGoByPlace) {
  const int64_t B = 3, T = 4, C = 5, P = 9;
  const auto table = normal_values(P * C, 1), x = normal_values(B * T * C, 2);
  const std::vector<int32_t> at{0, 7, 3}, count{4, 2, 0};
  auto y = blank(B * T * C), last = blank(B * C);
  inference().position_at(context(), y, on_device(table), on_device(at), B, T, C, P);
  inference().last_rows(context(), last, on_device(x), on_device(count), B, T, C);
  const auto positions = y.get(), rows = last.get();
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t c = 0; c < C; ++c) {
      for (int64_t t = 0; t < T; ++t) {
        const int64_t p = std::min<int64_t>(at[static_cast<size_t>(b)] + t, P - 1);
        EXPECT_EQ(positions[static_cast<size_t>((b * T + t) * C + c)], table[static_cast<size_t>(p * C + c)]);
      }
      const int64_t t = std::max(count[static_cast<size_t>(b)], 1) - 1;
      EXPECT_EQ(rows[static_cast<size_t>(b * C + c)], x[static_cast<size_t>((b * T + t) * C + c)]);
    }
  }
}

}  // namespace
}  // namespace headlight::test
