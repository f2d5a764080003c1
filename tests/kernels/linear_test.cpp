// x·W + bias in both layouts at odd sizes, its gradients, and how not-a-number travels.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

using kernels::WeightLayout;

class LinearTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(LinearTest);

struct Shape {
  int64_t R, in, out;
};
// Below, at and above the sizes of tiles, vectors and blocks.
constexpr Shape kShapes[] = {{1, 1, 1},     {3, 17, 5},   {17, 65, 3},    {65, 3, 129},  {97, 130, 67},
                             {1, 300, 257}, {1, 5, 1303}, {200, 520, 33}, {385, 31, 200}};

TEST_P(LinearTest, MatchesTheOracle) {
  for (const auto& [R, in, out] : kShapes) {
    for (const WeightLayout layout : {WeightLayout::in_out, WeightLayout::out_in}) {
      const auto x = normal_values(R * in, 1);
      const auto w = normal_values(in * out, 2);
      const auto bias = normal_values(out, 3);
      auto y = blank(R * out);
      kernels().linear_forward(context(), y, on_device(x), on_device(w), on_device(bias), R, in, out, layout);
      expect_close(y, oracle::linear(widen(x), widen(w), widen(bias), R, in, out, layout), "y");
      kernels().linear_forward(context(), y, on_device(x), on_device(w), nullptr, R, in, out, layout);
      expect_close(y, oracle::linear(widen(x), widen(w), {}, R, in, out, layout), "y without bias");
    }
  }
}

TEST_P(LinearTest, GradientsMatchFiniteDifferences) {
  for (const auto& [R, in, out] : {Shape{1, 1, 1}, Shape{3, 17, 5}, Shape{33, 20, 65}, Shape{130, 9, 7}}) {
    for (const WeightLayout layout : {WeightLayout::in_out, WeightLayout::out_in}) {
      const auto x = normal_values(R * in, 1);
      const auto w = normal_values(in * out, 2);
      const auto bias = normal_values(out, 3);
      const auto dy = normal_values(R * out, 4);
      auto dx = blank(R * in), dw = blank(in * out), db = blank(out);
      kernels().linear_backward_input(context(), dx, on_device(dy), on_device(w), R, in, out, layout);
      kernels().linear_backward_weight(context(), dw, on_device(dy), on_device(x), R, in, out, layout);
      kernels().linear_backward_bias(context(), db, on_device(dy), R, out);
      const auto loss = [&](const Values& a, const Values& b, const Values& c) {
        return dot(oracle::linear(a, b, c, R, in, out, layout), dy);
      };
      expect_gradient(
          dx, widen(x), [&](const Values& v) { return loss(v, widen(w), widen(bias)); }, "dx");
      expect_gradient(
          dw, widen(w), [&](const Values& v) { return loss(widen(x), v, widen(bias)); }, "dw");
      expect_gradient(
          db, widen(bias), [&](const Values& v) { return loss(widen(x), widen(w), v); }, "db");
    }
  }
}

// Large enough to be cut along every dimension, the depth included; compared with products of the oracle.
TEST_P(LinearTest, GradientsOfLargeProductsMatchTheOracle) {
  const int64_t R = 2500;
  const int64_t in = 70;
  const int64_t out = 150;
  const auto x = normal_values(R * in, 1);
  const auto w = normal_values(in * out, 2);
  const auto dy = normal_values(R * out, 4);
  const auto transposed = [](const std::vector<float>& m, int64_t rows, int64_t columns) {
    Values t(m.size());
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        t[static_cast<size_t>(j * rows + i)] = static_cast<double>(m[static_cast<size_t>(i * columns + j)]);
      }
    }
    return t;
  };
  const auto xt = transposed(x, R, in);
  const auto dyt = transposed(dy, R, out);
  auto dw = blank(in * out), dx = blank(R * in), db = blank(out);
  kernels().linear_backward_weight(context(), dw, on_device(dy), on_device(x), R, in, out,
                                   WeightLayout::in_out);
  expect_close(dw, oracle::linear(xt, widen(dy), {}, in, R, out, WeightLayout::in_out), "dw in_out");
  kernels().linear_backward_weight(context(), dw, on_device(dy), on_device(x), R, in, out,
                                   WeightLayout::out_in);
  expect_close(dw, oracle::linear(dyt, widen(x), {}, out, R, in, WeightLayout::in_out), "dw out_in");
  kernels().linear_backward_input(context(), dx, on_device(dy), on_device(w), R, in, out,
                                  WeightLayout::in_out);
  expect_close(dx, oracle::linear(widen(dy), widen(w), {}, R, out, in, WeightLayout::out_in), "dx");
  kernels().linear_backward_bias(context(), db, on_device(dy), R, out);
  const Values ones(static_cast<size_t>(R), 1.0);
  expect_close(db, oracle::linear(ones, widen(dy), {}, 1, R, out, WeightLayout::in_out), "db");
}

TEST_P(LinearTest, NansAndInfinitiesTravelAlongTheirRowAlone) {
  const int64_t R = 70;
  const int64_t in = 33;
  const int64_t out = 66;
  auto x = normal_values(R * in, 1);
  x[5 * in + 7] = kNan;
  x[9 * in + 2] = kInfinity;
  const auto w = normal_values(in * out, 2);
  auto y = blank(R * out);  // starts as not-a-number: the old output must not be read
  kernels().linear_forward(context(), y, on_device(x), on_device(w), nullptr, R, in, out,
                           WeightLayout::in_out);
  const auto found = y.get();
  for (int64_t r = 0; r < R; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      const float value = found[static_cast<size_t>(r * out + o)];
      EXPECT_EQ(std::isnan(value), r == 5) << r << ", " << o;
      EXPECT_EQ(std::isinf(value), r == 9) << r << ", " << o;
    }
  }
}

}  // namespace
}  // namespace headlight::test
