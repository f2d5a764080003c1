// Products with packed weights: bf16 against the oracle on the rounded weights, int8 against the oracle on
// the rounded weights and activations; both layouts, few rows and many, embeddings, and how not-a-number
// travels.
#include <bit>
#include <cmath>

#include "tests/kernels/harness.h"
#include "tests/support/oracle_inference.h"

namespace headlight::test {
namespace {

using kernels::WeightLayout;

class PackedTest : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped()) return;
    if (backend().inference() == nullptr) GTEST_SKIP() << "no inference kernels on this backend";
  }
  [[nodiscard]] const kernels::InferenceKernels& inference() { return *backend().inference(); }
};
HEADLIGHT_ON_EVERY_BACKEND(PackedTest);

struct Shape {
  int64_t R, in, out;
};
// Below, at and above the sizes of panels, blocks of rows and tiles.
constexpr Shape kShapes[] = {{1, 1, 1},     {1, 300, 257}, {2, 64, 64},   {3, 17, 5},    {5, 65, 130},
                             {8, 128, 192}, {17, 70, 3},   {40, 257, 65}, {97, 130, 67}, {200, 520, 333}};
constexpr WeightLayout kLayouts[] = {WeightLayout::in_out, WeightLayout::out_in};

// W [in,out] in the other layout.
std::vector<float> transposed(const std::vector<float>& w, int64_t in, int64_t out) {
  std::vector<float> result(w.size());
  for (int64_t k = 0; k < in; ++k) {
    for (int64_t o = 0; o < out; ++o)
      result[static_cast<size_t>(o * in + k)] = w[static_cast<size_t>(k * out + o)];
  }
  return result;
}

// The nearest value with eight significant bits, by trying both neighbours.
float nearest_bf16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const float below = std::bit_cast<float>(bits & 0xFFFF0000U);
  const float above = std::bit_cast<float>((bits & 0xFFFF0000U) + 0x10000U);
  const double down = std::abs(static_cast<double>(value) - below),
               up = std::abs(static_cast<double>(above) - value);
  if (down != up) return down < up ? below : above;
  return (bits >> 16 & 1U) == 0 ? below : above;
}

TEST_P(PackedTest, Bf16MatchesTheOracleOnRoundedWeights) {
  for (const auto& [R, in, out] : kShapes) {
    const auto x = normal_values(R * in, 1), w = normal_values(in * out, 2), bias = normal_values(out, 3);
    std::vector<float> rounded = w;
    for (float& value : rounded) value = nearest_bf16(value);
    for (const WeightLayout layout : kLayouts) {
      const bool rows = layout == WeightLayout::in_out;
      Buffer<uint8_t> packed(backend(), static_cast<int64_t>(inference().packed_bytes_bf16(in, out)));
      inference().pack_bf16(context(), packed, on_device(rows ? w : transposed(w, in, out)), in, out, layout);
      auto back = blank(in * out);
      inference().unpack_bf16(context(), back, packed, in, out, layout);
      EXPECT_EQ(back.get(), rows ? rounded : transposed(rounded, in, out));
      auto y = blank(R * out);
      inference().linear_forward_bf16(context(), y, on_device(x), packed, on_device(bias), R, in, out);
      expect_close(y, oracle::linear(widen(x), widen(rounded), widen(bias), R, in, out, WeightLayout::in_out),
                   "y");
      inference().linear_forward_bf16(context(), y, on_device(x), packed, nullptr, R, in, out);
      expect_close(y, oracle::linear(widen(x), widen(rounded), {}, R, in, out, WeightLayout::in_out),
                   "no bias");
    }
  }
}

TEST_P(PackedTest, Int8MatchesTheOracleOnRoundedWeightsAndRows) {
  for (const auto& [R, in, out] : kShapes) {
    for (const int64_t group : {0, 32, 64, 128}) {
      const auto x = normal_values(R * in, 1), w = normal_values(in * out, 2), bias = normal_values(out, 3);
      const Values weights = oracle::quantized_weight(w, in, out, group);
      const Values left = oracle::quantized_rows(x, in, kernels::int8_run(group));
      for (const WeightLayout layout : kLayouts) {
        const bool rows = layout == WeightLayout::in_out;
        Buffer<uint8_t> packed(backend(),
                               static_cast<int64_t>(inference().packed_bytes_int8(in, out, group)));
        inference().pack_int8(context(), packed, on_device(rows ? w : transposed(w, in, out)), in, out, group,
                              layout);
        auto back = blank(in * out);
        inference().unpack_int8(context(), back, packed, in, out, group, WeightLayout::in_out);
        expect_close(back, weights, "weights");
        auto y = blank(R * out);
        inference().linear_forward_int8(context(), y, on_device(x), packed, on_device(bias), R, in, out,
                                        group);
        expect_close(y, oracle::linear(left, weights, widen(bias), R, in, out, WeightLayout::in_out), "y");
        inference().linear_forward_int8(context(), y, on_device(x), packed, nullptr, R, in, out, group);
        expect_close(y, oracle::linear(left, weights, {}, R, in, out, WeightLayout::in_out), "no bias");
      }
    }
  }
}

// A row's result does not depend on the rows beside it.
TEST_P(PackedTest, Int8RowsAreIndependentBitForBit) {
  const int64_t R = 101, in = 200, out = 150;
  const auto x = normal_values(R * in, 1), w = normal_values(in * out, 2);
  Buffer<uint8_t> packed(backend(), static_cast<int64_t>(inference().packed_bytes_int8(in, out, 0)));
  inference().pack_int8(context(), packed, on_device(w), in, out, 0, WeightLayout::in_out);
  auto all = blank(R * out), one = blank(out);
  inference().linear_forward_int8(context(), all, on_device(x), packed, nullptr, R, in, out, 0);
  const auto together = all.get();
  for (const int64_t r : {int64_t{0}, int64_t{5}, int64_t{64}, R - 1}) {
    const std::vector<float> row(x.begin() + r * in, x.begin() + (r + 1) * in);
    inference().linear_forward_int8(context(), one, on_device(row), packed, nullptr, 1, in, out, 0);
    EXPECT_EQ(one.get(), std::vector<float>(together.begin() + r * out, together.begin() + (r + 1) * out))
        << r;
  }
}

TEST_P(PackedTest, EmbeddingsAreRowsOfTheTable) {
  const int64_t V = 131, C = 70, R = 9;
  const auto table = normal_values(V * C, 1);
  const auto tokens = random_tokens(R, static_cast<int32_t>(V), 2);
  Buffer<uint8_t> half(backend(), static_cast<int64_t>(inference().packed_bytes_bf16(C, V)));
  Buffer<uint8_t> byte(backend(), static_cast<int64_t>(inference().packed_bytes_int8(C, V, 32)));
  inference().pack_bf16(context(), half, on_device(table), C, V, WeightLayout::out_in);
  inference().pack_int8(context(), byte, on_device(table), C, V, 32, WeightLayout::out_in);
  auto whole = blank(V * C), y = blank(R * C);
  const auto expect_rows = [&] {
    const auto rows = y.get(), values = whole.get();
    for (int64_t r = 0; r < R; ++r) {
      for (int64_t c = 0; c < C; ++c) {
        EXPECT_EQ(rows[static_cast<size_t>(r * C + c)],
                  values[static_cast<size_t>(tokens[static_cast<size_t>(r)] * C + c)]);
      }
    }
  };
  inference().unpack_bf16(context(), whole, half, C, V, WeightLayout::out_in);
  inference().embedding_forward_bf16(context(), y, on_device(tokens), half, R, C, V);
  expect_rows();
  inference().unpack_int8(context(), whole, byte, C, V, 32, WeightLayout::out_in);
  inference().embedding_forward_int8(context(), y, on_device(tokens), byte, R, C, V, 32);
  expect_rows();
}

TEST_P(PackedTest, ANanTaintsItsRowAndItsColumnAlone) {
  const int64_t R = 3, in = 70, out = 66;
  auto x = normal_values(R * in, 1), w = normal_values(in * out, 2);
  x[static_cast<size_t>(in + 3)] = kNan;
  w[static_cast<size_t>(7 * out + 5)] = kNan;
  Buffer<uint8_t> half(backend(), static_cast<int64_t>(inference().packed_bytes_bf16(in, out)));
  Buffer<uint8_t> byte(backend(), static_cast<int64_t>(inference().packed_bytes_int8(in, out, 0)));
  inference().pack_bf16(context(), half, on_device(w), in, out, WeightLayout::in_out);
  inference().pack_int8(context(), byte, on_device(w), in, out, 0, WeightLayout::in_out);
  auto y16 = blank(R * out), y8 = blank(R * out);
  inference().linear_forward_bf16(context(), y16, on_device(x), half, nullptr, R, in, out);
  inference().linear_forward_int8(context(), y8, on_device(x), byte, nullptr, R, in, out, 0);
  const auto found16 = y16.get(), found8 = y8.get();
  for (int64_t r = 0; r < R; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      const bool bad = r == 1 || o == 5;
      EXPECT_EQ(std::isnan(found16[static_cast<size_t>(r * out + o)]), bad);
      EXPECT_EQ(std::isnan(found8[static_cast<size_t>(r * out + o)]), bad);
    }
  }
}

}  // namespace
}  // namespace headlight::test
