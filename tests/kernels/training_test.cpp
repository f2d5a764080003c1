// The joint steps of training against the steps that they stand for: the oracle in fp32, the backend's own
// kernels in 16 bits. Rows with gaps keep their gaps.
#include "kernels/training.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

using kernels::bfloat16;
using kernels::float16;
using kernels::WeightLayout;

constexpr float kEps = 1e-5F;
constexpr float kGap = 12345.0F;

template <class E>
std::vector<E> narrow(const std::vector<float>& values) {
  std::vector<E> result;
  for (const float value : values) result.push_back(kernels::from_float<E>(value));
  return result;
}
template <class E>
std::vector<float> wide(const std::vector<E>& values) {
  std::vector<float> result;
  for (const E value : values) result.push_back(kernels::to_float(value));
  return result;
}
template <class E>
std::vector<float> rounded(const std::vector<float>& values) {
  return wide(narrow<E>(values));
}
std::vector<float> floats(const Values& values) { return {values.begin(), values.end()}; }

/// Rows of `width` numbers, `pitch` apart, gaps filled with kGap; and back, which checks the gaps.
std::vector<float> spread(const std::vector<float>& values, int64_t width, int64_t pitch) {
  std::vector<float> result(values.size() / static_cast<size_t>(width) * static_cast<size_t>(pitch), kGap);
  for (size_t i = 0; i < values.size(); ++i) {
    const auto at = static_cast<int64_t>(i);
    result[static_cast<size_t>(at / width * pitch + at % width)] = values[i];
  }
  return result;
}
std::vector<float> gathered(const std::vector<float>& values, int64_t width, int64_t pitch,
                            float gap = kGap) {
  std::vector<float> result;
  for (size_t i = 0; i < values.size(); ++i) {
    if (static_cast<int64_t>(i) % pitch < width) {
      result.push_back(values[i]);
    } else {
      EXPECT_EQ(values[i], gap) << "in a gap";
    }
  }
  return result;
}

class TrainingTest : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped()) return;
    if (backend().training() == nullptr) GTEST_SKIP() << "no joint steps of training on this backend";
  }
  template <class E>
  [[nodiscard]] const kernels::TypedTrainingKernels<E>& joint() {
    return backend().training()->typed<E>();
  }
  template <class E>
  Buffer<E> given(const std::vector<float>& values) {
    return {backend(), narrow<E>(values)};
  }
  template <class E>
  Buffer<E> empty(int64_t n) {
    return {backend(), n};
  }
  /// Two 16-bit results whose parts were rounded in different places.
  template <class E>
  void expect_near(const Buffer<E>& actual, const std::vector<float>& expected, const std::string& what) {
    const double step = std::is_same_v<E, bfloat16> ? 1.0 / 128 : 1.0 / 1024;
    const std::vector<float> values = wide(actual.get());
    ASSERT_EQ(values.size(), expected.size()) << what;
    double squares = 0;
    for (const float value : expected) squares += static_cast<double>(value) * static_cast<double>(value);
    const double typical = std::sqrt(squares / static_cast<double>(expected.size()));
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_NEAR(values[i], expected[i], step * (std::abs(static_cast<double>(expected[i])) + typical))
          << what << " " << i;
    }
  }

  template <class E>
  void check_products(int64_t R, int64_t in, int64_t out, WeightLayout layout);
  template <class E>
  void check_norm(int64_t R, int64_t C, bool centred);
  template <class E>
  void check_loss(int64_t V, int64_t pitch);
};
HEADLIGHT_ON_EVERY_BACKEND(TrainingTest);

template <class E>
void TrainingTest::check_products(int64_t R, int64_t in, int64_t out, WeightLayout layout) {
  constexpr bool kExact = std::is_same_v<E, float>;
  const std::string what = std::to_string(in) + " to " + std::to_string(out);
  const auto x = rounded<E>(normal_values(R * in, 1)), w = rounded<E>(normal_values(in * out, 2, 0.3F)),
             bias = rounded<E>(normal_values(out, 3)), dy = rounded<E>(normal_values(R * out, 4)),
             pre_in = rounded<E>(normal_values(R * in, 5));
  auto x_device = given<E>(x), w_device = given<E>(w), bias_device = given<E>(bias), dy_device = given<E>(dy),
       pre_device = given<E>(pre_in);
  const auto expect = [&](const Buffer<E>& actual, const Values& expected, const std::string& name) {
    if constexpr (kExact) {
      expect_close(actual, expected, what + " " + name, 4);
    } else {
      expect_near(actual, floats(expected), what + " " + name);
    }
  };
  for (const bool biased : {true, false}) {
    const Values product =
        oracle::linear(widen(x), widen(w), biased ? widen(bias) : Values(), R, in, out, layout);
    auto y = empty<E>(R * out), pre = empty<E>(R * out), alone = empty<E>(R * out);
    E* b = biased ? static_cast<E*>(bias_device) : nullptr;
    joint<E>().linear_gelu_forward(context(), y, pre, x_device, w_device, b, R, in, out, layout);
    expect(pre, product, "pre");
    expect(y, oracle::gelu_tanh(product), "gelu");
    joint<E>().linear_gelu_forward(context(), alone, nullptr, x_device, w_device, b, R, in, out, layout);
    expect(alone, oracle::gelu_tanh(product), "gelu alone");
  }
  // The gradient of linear by x is linear in the other direction.
  const WeightLayout turned = layout == WeightLayout::in_out ? WeightLayout::out_in : WeightLayout::in_out;
  Values dx = oracle::linear(widen(dy), widen(w), {}, R, out, in, turned);
  constexpr double kStep = 1e-5;
  Values above = widen(pre_in), below = above;
  for (double& value : above) value += kStep;
  for (double& value : below) value -= kStep;
  above = oracle::gelu_tanh(above);
  below = oracle::gelu_tanh(below);
  for (size_t i = 0; i < dx.size(); ++i) dx[i] *= (above[i] - below[i]) / (2 * kStep);
  auto dpre = empty<E>(R * in);
  joint<E>().linear_gelu_backward(context(), dpre, dy_device, w_device, pre_device, R, in, out, layout);
  expect(dpre, dx, "slope");

  // Rows with gaps: the same numbers as without.
  const int64_t pitch = (out + 63) / 64 * 64;
  auto plain = empty<E>(R * out), plain_dx = empty<E>(R * in);
  auto plain_dw = blank(in * out), dw = blank(in * out), plain_db = blank(out), db = blank(out);
  auto pitched = given<E>(std::vector<float>(static_cast<size_t>(R * pitch), kGap));
  auto dy_pitched = given<E>(spread(dy, out, pitch));
  auto dx_found = empty<E>(R * in);
  const auto& typed = backend().typed<E>();
  typed.linear_forward(context(), plain, x_device, w_device, bias_device, R, in, out, layout);
  joint<E>().pitched_linear_forward(context(), pitched, pitch, x_device, w_device, bias_device, R, in, out,
                                    layout);
  const auto gap = rounded<E>({kGap})[0];
  std::vector<float> found = wide(pitched.get());
  std::replace(found.begin(), found.end(), gap, kGap);
  expect_close(gathered(found, out, pitch), widen(wide(plain.get())), what + " y");
  typed.linear_backward_input(context(), plain_dx, dy_device, w_device, R, in, out, layout);
  joint<E>().pitched_linear_backward_input(context(), dx_found, dy_pitched, pitch, w_device, R, in, out,
                                           layout);
  expect_close(wide(dx_found.get()), widen(wide(plain_dx.get())), what + " dx");
  typed.linear_backward_weight(context(), plain_dw, dy_device, x_device, R, in, out, layout);
  joint<E>().pitched_linear_backward_weight(context(), dw, dy_pitched, pitch, x_device, R, in, out, layout);
  expect_close(dw, widen(plain_dw.get()), what + " dW");
  typed.linear_backward_bias(context(), plain_db, dy_device, R, out);
  joint<E>().pitched_linear_backward_bias(context(), db, dy_pitched, pitch, R, out);
  expect_close(db, widen(plain_db.get()), what + " db");
}

TEST_P(TrainingTest, ProductsWithGeluAndWithGaps) {
  for (const auto layout : {WeightLayout::in_out, WeightLayout::out_in}) {
    // Widths that the library's epilogues take, and odd ones that they refuse.
    for (const auto& [R, in, out] : {std::array<int64_t, 3>{19, 24, 40}, {7, 17, 65}, {33, 64, 301}}) {
      check_products<float>(R, in, out, layout);
      check_products<bfloat16>(R, in, out, layout);
      check_products<float16>(R, in, out, layout);
    }
  }
}

template <class E>
void TrainingTest::check_norm(int64_t R, int64_t C, bool centred) {
  const std::string what = std::to_string(C) + (centred ? " LayerNorm" : " RMSNorm");
  const auto a = normal_values(R * C, 1, 2.0F), b = normal_values(R * C, 2), dy = normal_values(R * C, 5),
             base = normal_values(R * C, 6);
  const auto& typed = backend().typed<E>();
  auto a_device = given<E>(a), b_device = given<E>(b), gain = given<E>(normal_values(C, 3)),
       bias = given<E>(normal_values(C, 4)), dy_device = given<E>(dy), base_device = given<E>(base);
  auto plain_sum = empty<E>(R * C), plain_y = empty<E>(R * C), sum = empty<E>(R * C), y = empty<E>(R * C);
  auto plain_mean = blank(R), plain_scale = blank(R), mean = blank(R), scale = blank(R);
  E* shift = centred ? static_cast<E*>(bias) : nullptr;
  float* found_mean = centred ? static_cast<float*>(mean) : nullptr;
  typed.add_forward(context(), plain_sum, a_device, b_device, R * C);
  if (centred) {
    typed.layernorm_forward(context(), plain_mean, plain_scale, nullptr, plain_y, plain_sum, gain, shift, R,
                            C, kEps);
  } else {
    typed.rmsnorm_forward(context(), plain_scale, nullptr, plain_y, plain_sum, gain, R, C, kEps);
  }
  joint<E>().add_norm_forward(context(), sum, found_mean, scale, y, a_device, b_device, gain, shift, R, C,
                              kEps);
  // The sums run in the same order: the same bits.
  EXPECT_EQ(wide(sum.get()), wide(plain_sum.get())) << what;
  EXPECT_EQ(wide(y.get()), wide(plain_y.get())) << what;
  EXPECT_EQ(scale.get(), plain_scale.get()) << what;
  if (centred) {
    EXPECT_EQ(mean.get(), plain_mean.get()) << what;
  }
  joint<E>().add_norm_forward(context(), a_device, found_mean, scale, y, a_device, b_device, gain, shift, R,
                              C, kEps);
  EXPECT_EQ(wide(a_device.get()), wide(plain_sum.get())) << what << " in place";

  auto plain_dx = empty<E>(R * C), dx = empty<E>(R * C), lone_dx = empty<E>(R * C);
  auto plain_dgain = blank(C), plain_dbias = blank(C), dgain = blank(C), dbias = blank(C), columns = blank(C),
       sums = blank(C);
  if (centred) {
    typed.layernorm_backward(context(), plain_dx, plain_dgain, plain_dbias, dy_device, sum, mean, scale, gain,
                             R, C);
  } else {
    typed.rmsnorm_backward(context(), plain_dx, plain_dgain, dy_device, sum, scale, gain, R, C);
  }
  float* found_dbias = centred ? static_cast<float*>(dbias) : nullptr;
  joint<E>().add_norm_backward(context(), lone_dx, dgain, found_dbias, nullptr, nullptr, dy_device, sum,
                               found_mean, scale, gain, R, C);
  EXPECT_EQ(wide(lone_dx.get()), wide(plain_dx.get())) << what;
  joint<E>().add_norm_backward(context(), dx, dgain, found_dbias, columns, base_device, dy_device, sum,
                               found_mean, scale, gain, R, C);
  EXPECT_EQ(dgain.get(), plain_dgain.get()) << what;
  if (centred) {
    EXPECT_EQ(dbias.get(), plain_dbias.get()) << what;
  }
  const Values expected = oracle::add(widen(wide(plain_dx.get())), widen(rounded<E>(base)));
  if constexpr (std::is_same_v<E, float>) {
    expect_close(dx, expected, what + " dx");
  } else {
    expect_near(dx, floats(expected), what + " dx");
  }
  typed.linear_backward_bias(context(), sums, dx, R, C);
  expect_close(columns, widen(sums.get()), what + " columns", 4);
}

TEST_P(TrainingTest, SumsWithTheirNorm) {
  // Held by warps and by blocks, too wide to be held, and of an odd width.
  for (const int64_t C : {8, 40, 768, 1024, 1536, 9000, 37}) {
    for (const bool centred : {true, false}) {
      const int64_t R = C > 2000 ? 3 : 29;
      check_norm<float>(R, C, centred);
      check_norm<bfloat16>(R, C, centred);
      check_norm<float16>(R, C, centred);
    }
  }
}

template <class E>
void TrainingTest::check_loss(int64_t V, int64_t pitch) {
  const int64_t R = 21;
  const std::string what = std::to_string(V) + " tokens";
  const auto logits = rounded<E>(normal_values(R * V, 1, 2.0F));
  auto targets = random_tokens(R, static_cast<int32_t>(V), 2);
  targets[3] = targets[R - 1] = -1;
  std::vector<float> spread_out = spread(logits, V, pitch);
  spread_out[static_cast<size_t>(3 * pitch)] = kNan;  // not counted
  auto given_logits = given<E>(spread_out);
  auto ids = on_device(targets);
  auto dloss = on_device(std::vector<float>{0.5F});
  auto loss = blank(1), rows = blank(R), lse = blank(R);
  auto dlogits = given<E>(std::vector<float>(static_cast<size_t>(R * pitch), kGap)), plain = empty<E>(R * V);
  joint<E>().softmax_cross_entropy_both(context(), loss, rows, dlogits, dloss, given_logits, ids, R, V,
                                        pitch);
  const auto expected = oracle::softmax_cross_entropy(widen(logits), targets, V);
  expect_close(loss, {expected.loss}, what + " loss", 4);
  expect_close(rows, expected.rows, what + " loss_row", 4);
  auto plain_logits = given<E>(logits);
  auto plain_loss = blank(1), plain_rows = blank(R);
  const auto& typed = backend().typed<E>();
  typed.softmax_cross_entropy_forward(context(), plain_loss, plain_rows, lse, plain_logits, ids, R, V);
  typed.softmax_cross_entropy_backward(context(), plain, dloss, plain_logits, lse, ids, R, V);
  const std::vector<float> found = gathered(wide(dlogits.get()), V, pitch, 0.0F);
  if constexpr (std::is_same_v<E, float>) {
    expect_close(found, widen(plain.get()), what + " dlogits", 4);
  } else {
    const Buffer<E> without_gaps(backend(), narrow<E>(found));
    expect_near(without_gaps, wide(plain.get()), what + " dlogits");
  }
  joint<E>().softmax_cross_entropy_both(context(), loss, rows, given_logits, dloss, given_logits, ids, R, V,
                                        pitch);
  EXPECT_EQ(gathered(wide(given_logits.get()), V, pitch, 0.0F), found) << what << " in place";
}

TEST_P(TrainingTest, LossWithItsGradient) {
  // A warp's rows and a block's; with a gap, without one, and at odd addresses.
  for (const auto& [V, pitch] :
       {std::pair<int64_t, int64_t>{65, 128}, {64, 64}, {17, 17}, {5003, 5056}, {40'009, 40'064}}) {
    check_loss<float>(V, pitch);
    check_loss<bfloat16>(V, pitch);
    check_loss<float16>(V, pitch);
  }
}

TEST_P(TrainingTest, InfiniteAndMissingLogitsShow) {
  std::vector<float> logits(3 * 64, -1e30F);
  logits[2] = 1e30F;
  logits[64 + 5] = 88.0F;
  logits[2 * 64 + 16] = kNan;
  auto loss = blank(1), rows = blank(3), dlogits = blank(3 * 64);
  joint<float>().softmax_cross_entropy_both(context(), loss, rows, dlogits,
                                            on_device(std::vector<float>{1.0F}), on_device(logits),
                                            on_device(std::vector<int32_t>{2, 5, 1}), 3, 17, 64);
  const auto row = rows.get();
  EXPECT_EQ(row[0], 0.0F);
  EXPECT_EQ(row[1], 0.0F);
  EXPECT_TRUE(std::isnan(row[2]));
  EXPECT_TRUE(std::isnan(loss.get()[0]));
  joint<float>().softmax_cross_entropy_both(context(), loss, rows, dlogits,
                                            on_device(std::vector<float>{1.0F}), on_device(logits),
                                            on_device(std::vector<int32_t>{-1, -1, -1}), 3, 17, 64);
  EXPECT_EQ(loss.get()[0], 0.0F);
  EXPECT_EQ(dlogits.get()[2 * 64 + 16], 0.0F);
}

/// More tensors than a launch carries, of many sizes, at odd addresses.
std::vector<int64_t> tensor_sizes() {
  std::vector<int64_t> sizes;
  for (int64_t i = 0; i < 200; ++i) sizes.push_back(i % 7 == 3 ? 1 : 1 + i * 31 % 97);
  sizes[5] = 20'000;
  sizes[60] = 8192;
  sizes[199] = 8193;
  return sizes;
}

TEST_P(TrainingTest, ManyTensorsInOneCall) {
  const std::vector<int64_t> sizes = tensor_sizes();
  int64_t total = 0;
  for (const int64_t n : sizes) total += n;
  const auto w = normal_values(total, 1), m = normal_values(total, 2), g = normal_values(total, 3);
  std::vector<float> v = normal_values(total, 4);
  for (float& value : v) value *= value;
  auto w_device = on_device(w), m_device = on_device(m), v_device = on_device(v), g_device = on_device(g);
  auto w_new = blank(total), m_new = blank(total), v_new = blank(total);
  auto squares = blank(static_cast<int64_t>(sizes.size()));
  auto narrowed = empty<bfloat16>(total);
  auto schedule = on_device(std::vector<float>{0.01F, 0.3F, 0.2F});
  const kernels::AdamWConstants constants{0.8F, 0.95F, 1e-6F, 7.0F};
  std::vector<kernels::SquaredTensor> gradients;
  std::vector<kernels::NarrowedTensor<bfloat16>> copies;
  std::vector<kernels::UpdatedTensor> updates;
  Values exact;
  oracle::AdamWState expected;
  int64_t at = 0;
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int64_t n = sizes[i];
    const float decay = i % 2 == 0 ? 0.1F : 0.0F;
    gradients.push_back({g_device + at, n});
    copies.push_back({narrowed + at, w_device + at, n});
    updates.push_back({w_new + at, m_new + at, v_new + at, w_device + at, m_device + at, v_device + at,
                       g_device + at, decay, n});
    const auto part = [&](const std::vector<float>& all) {
      return widen({all.begin() + at, all.begin() + at + n});
    };
    exact.push_back(oracle::sum_of_squares(part(g)));
    kernels::AdamWConstants own = constants;
    own.weight_decay = decay;
    const auto one = oracle::adamw({part(w), part(m), part(v)}, part(g), 0.5, static_cast<double>(0.01F),
                                   static_cast<double>(0.3F), static_cast<double>(0.2F), own);
    expected.w.insert(expected.w.end(), one.w.begin(), one.w.end());
    expected.m.insert(expected.m.end(), one.m.begin(), one.m.end());
    expected.v.insert(expected.v.end(), one.v.begin(), one.v.end());
    at += n;
  }
  const kernels::TrainingKernels& all = *backend().training();
  all.sums_of_squares(context(), squares, gradients);
  expect_close(squares, exact, "squares");
  all.typed<bfloat16>().narrow_all(context(), copies);
  EXPECT_EQ(wide(narrowed.get()), rounded<bfloat16>(w));
  all.adamw_all(context(), updates, on_device(std::vector<float>{0.5F}), schedule, constants);
  expect_close(w_new, expected.w, "w");
  expect_close(m_new, expected.m, "m");
  expect_close(v_new, expected.v, "v");
  all.adamw_all(context(), updates, on_device(std::vector<float>{kNan}), schedule, constants);
  EXPECT_EQ(w_new.get(), w) << "a closed gate";
  EXPECT_EQ(v_new.get(), v) << "a closed gate";
}

}  // namespace
}  // namespace headlight::test
