// Rotary positions: the table against formulas in double, the rotation against complex multiplication, its
// gradient, and what makes it useful: scores depend on the distance alone.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

using kernels::RopeConstants;
using kernels::RopeScaling;

class RopeTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(RopeTest);

struct Shape {
  int64_t B, T, heads, rotated, D;
};
constexpr Shape kShapes[] = {
    {1, 1, 1, 1, 2}, {2, 3, 3, 3, 6}, {1, 17, 4, 2, 16}, {2, 65, 5, 4, 34}, {1, 9, 2, 2, 128}};

TEST_P(RopeTest, MatchesTheOracleAlsoInPlaceAndAtPositionsOfTheirOwn) {
  for (const auto& [B, T, heads, rotated, D] : kShapes) {
    const auto x = normal_values(B * T * heads * D, 1);
    for (const bool own : {false, true}) {
      const std::vector<int32_t> first = own ? random_tokens(B, 500, 3) : std::vector<int32_t>();
      const int64_t S = own ? B : 1;
      auto cosine = blank(S * T * D / 2), sine = blank(S * T * D / 2), y = blank(B * T * heads * D);
      RopeConstants constants;
      constants.theta = 1000;
      auto positions = on_device(own ? first : std::vector<int32_t>{0});
      kernels().rope_table(context(), cosine, sine, own ? static_cast<int32_t*>(positions) : nullptr,
                           constants, S, T, D);
      kernels().rope(context(), y, on_device(x), cosine, sine, false, B, S, T, heads, rotated, D);
      expect_close(y, oracle::rope(widen(x), first, 1000, B, T, heads, rotated, D), "y");
      auto in_place = on_device(x);
      kernels().rope(context(), in_place, in_place, cosine, sine, false, B, S, T, heads, rotated, D);
      EXPECT_EQ(in_place.get(), y.get());
      // Turned back it is x again, and that is also the gradient.
      kernels().rope(context(), in_place, in_place, cosine, sine, true, B, S, T, heads, rotated, D);
      expect_close(in_place, widen(x), "turned back", 2);
      const auto dy = normal_values(B * T * heads * D, 2);
      auto dx = blank(B * T * heads * D);
      kernels().rope(context(), dx, on_device(dy), cosine, sine, true, B, S, T, heads, rotated, D);
      expect_gradient(
          dx, widen(x),
          [&](const Values& v) { return dot(oracle::rope(v, first, 1000, B, T, heads, rotated, D), dy); },
          "dx");
    }
  }
}

TEST_P(RopeTest, ScalingChangesTheSlowPairsOnly) {
  const int64_t T = 4, D = 128;
  const auto table = [&](const RopeConstants& constants) {
    auto cosine = blank(T * D / 2), sine = blank(T * D / 2);
    kernels().rope_table(context(), cosine, sine, nullptr, constants, 1, T, D);
    return std::pair(cosine.get(), sine.get());
  };
  const RopeConstants plain{.theta = 500000};
  RopeConstants scaled{.theta = 500000,
                       .scaling = RopeScaling::llama3,
                       .factor = 8,
                       .low_frequency_factor = 1,
                       .high_frequency_factor = 4,
                       .original_positions = 8192};
  const auto [cosine, sine] = table(plain);
  const auto [scaled_cosine, scaled_sine] = table(scaled);
  const size_t row = 3 * D / 2;
  for (size_t d = 0; d < D / 2; ++d) {
    const double frequency = std::pow(500000.0, -2.0 * static_cast<double>(d) / D);
    const double wave = 2 * M_PI / frequency;
    double expected = frequency;
    if (wave > 8192) expected = frequency / 8;
    if (wave > 8192 / 4.0 && wave <= 8192) {
      const double smooth = (8192 / wave - 1) / 3;
      expected = (1 - smooth) * frequency / 8 + smooth * frequency;
    }
    EXPECT_NEAR(static_cast<double>(sine[row + d]), std::sin(3 * frequency), 1e-6) << d;
    EXPECT_NEAR(static_cast<double>(scaled_sine[row + d]), std::sin(3 * expected), 1e-6) << d;
    EXPECT_NEAR(static_cast<double>(scaled_cosine[row + d]), std::cos(3 * expected), 1e-6) << d;
  }
  EXPECT_EQ(cosine[row], scaled_cosine[row]);
  scaled.scaling = RopeScaling::linear;
  EXPECT_NEAR(table(scaled).second[row], std::sin(3.0F / 8), 1e-6F);
}

// A query at i and a key at j give the same score as at i + n and j + n.
TEST_P(RopeTest, ScoresDependOnTheDistanceAlone) {
  const int64_t D = 32;
  const auto score = [&](int32_t i, int32_t j) {
    auto x = on_device(normal_values(2 * D, 1));
    auto cosine = blank(D), sine = blank(D);
    kernels().rope_table(context(), cosine, sine, on_device(std::vector<int32_t>{i, j}), {}, 2, 1, D);
    kernels().rope(context(), x, x, cosine, sine, false, 2, 2, 1, 1, 1, D);
    const auto y = x.get();
    double sum = 0;
    for (size_t d = 0; d < D; ++d) sum += static_cast<double>(y[d]) * static_cast<double>(y[d + D]);
    return sum;
  };
  EXPECT_NEAR(score(7, 3), score(107, 103), 1e-4);
  EXPECT_NEAR(score(0, 0), score(4000, 4000), 1e-4);
  EXPECT_GT(std::abs(score(7, 3) - score(7, 4)), 1e-2);
}

}  // namespace
}  // namespace headlight::test
