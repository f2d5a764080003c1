// The sum of squares in double, and the factor that clips.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class GradientNormTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(GradientNormTest);

TEST_P(GradientNormTest, SumsSquaresInDouble) {
  for (const int64_t n : {1, 3, 17, 65, 100003, 1000001}) {
    const auto x = normal_values(n, 1);
    auto out = blank(1);
    kernels().sum_of_squares(context(), out, on_device(x), n);
    EXPECT_FLOAT_EQ(out.get()[0], static_cast<float>(oracle::sum_of_squares(widen(x)))) << n;
  }
}

TEST_P(GradientNormTest, ClipsWhatIsTooLong) {
  const auto clip = [&](const std::vector<float>& squares, float max_norm) {
    auto norm = blank(1), factor = blank(1);
    kernels().clip_factor(context(), norm, factor, nullptr, on_device(squares), nullptr, nullptr, max_norm,
                          static_cast<int64_t>(squares.size()));
    return std::pair{norm.get()[0], factor.get()[0]};
  };
  EXPECT_EQ(clip({9.0F, 16.0F}, 1.0F), std::pair(5.0F, 0.2F));
  EXPECT_EQ(clip({9.0F, 16.0F}, 10.0F), std::pair(5.0F, 1.0F));
  EXPECT_EQ(clip({9.0F, 16.0F}, 0.0F), std::pair(5.0F, 1.0F));
  EXPECT_EQ(clip({0.0F}, 1.0F), std::pair(0.0F, 1.0F));
  for (const float bad : {kNan, kInfinity}) {
    EXPECT_FALSE(std::isfinite(clip({1.0F, bad}, 1.0F).first));
    EXPECT_TRUE(std::isnan(clip({1.0F, bad}, 1.0F).second));
    EXPECT_TRUE(std::isnan(clip({1.0F, bad}, 0.0F).second)) << "also where nothing is clipped";
  }
}

TEST_P(GradientNormTest, AGateClosesAtWhatIsNotFiniteAndStaysClosed) {
  auto gate = on_device(std::vector<float>{1.0F});
  const auto clip = [&](float square, float loss) {
    auto norm = blank(1), factor = blank(1);
    kernels().clip_factor(context(), norm, factor, gate, on_device(std::vector<float>{square}),
                          on_device(std::vector<float>{loss}), gate, 0.0F, 1);
    return factor.get()[0];
  };
  EXPECT_EQ(clip(4.0F, 1.0F), 1.0F);
  EXPECT_EQ(gate.get()[0], 1.0F);
  EXPECT_TRUE(std::isnan(clip(4.0F, kInfinity)));
  EXPECT_EQ(gate.get()[0], 0.0F);
  EXPECT_TRUE(std::isnan(clip(4.0F, 1.0F))) << "good numbers do not open it again";
}

}  // namespace
}  // namespace headlight::test
