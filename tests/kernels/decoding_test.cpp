// The fused steps of decoding: products with what stands around them against the oracle's steps one after the
// other, few rows and more, rows too long to lie in shared memory together; attention whose new keys and
// values are not in the cache yet against that over a cache which has them.
#include <cmath>

#include "tests/kernels/harness.h"
#include "tests/support/oracle_inference.h"

namespace headlight::test {
namespace {

using kernels::LinearFusion;
using kernels::WeightLayout;
using Norm = LinearFusion::Norm;
using Activation = LinearFusion::Activation;

class DecodingTest : public KernelTest {
 protected:
  void SetUp() override {
    KernelTest::SetUp();
    if (IsSkipped()) return;
    if (backend().inference() == nullptr || backend().inference()->decoding == nullptr)
      GTEST_SKIP() << "no fused steps of decoding on this backend";
  }
  [[nodiscard]] const kernels::InferenceKernels& inference() { return *backend().inference(); }
  [[nodiscard]] const kernels::DecodeKernels& decoding() { return *inference().decoding; }
};
HEADLIGHT_ON_EVERY_BACKEND(DecodingTest);

Values activated(Activation which, const Values& x) {
  switch (which) {
    case Activation::gelu_tanh:
      return oracle::gelu_tanh(x);
    case Activation::gelu_erf:
      return oracle::gelu_erf(x);
    case Activation::silu:
      return oracle::silu(x);
    case Activation::relu:
      return oracle::relu(x);
    case Activation::none:
      break;
  }
  return x;
}

constexpr double kEps = 1e-5;

/// One product and the numbers around it.
struct Product {
  int64_t R, in, out;
  std::vector<float> x = normal_values(R * in, 1), w = normal_values(in * out, 2),
                     bias = normal_values(out, 3), gain = normal_values(in, 4), shift = normal_values(in, 5),
                     residual = normal_values(R * out, 6);

  [[nodiscard]] Values normalized(Norm norm, bool shifted) const {
    if (norm == Norm::none) return widen(x);
    if (norm == Norm::rmsnorm) return oracle::rmsnorm(widen(x), widen(gain), in, kEps).y;
    return oracle::layernorm(widen(x), widen(gain), shifted ? widen(shift) : Values(), in, kEps).y;
  }
  [[nodiscard]] Values expected(const Values& left, const Values& weights, Activation activation,
                                bool with_residual) const {
    const Values y =
        activated(activation, oracle::linear(left, weights, widen(bias), R, in, out, WeightLayout::in_out));
    return with_residual ? oracle::add(y, widen(residual)) : y;
  }
};
const std::vector<Product>& products() {
  static const std::vector<Product> all = {{1, 64, 5},   {2, 70, 130}, {3, 300, 33},
                                           {8, 513, 40}, {11, 24, 9},  {5, 5000, 3}};
  return all;
}

TEST_P(DecodingTest, Bf16ProductsWithWhatStandsAroundThem) {
  for (const Product& p : products()) {
    Buffer<uint8_t> packed(backend(), static_cast<int64_t>(inference().packed_bytes_bf16(p.in, p.out)));
    inference().pack_bf16(context(), packed, on_device(p.w), p.in, p.out, WeightLayout::in_out);
    auto rounded = blank(p.in * p.out);
    inference().unpack_bf16(context(), rounded, packed, p.in, p.out, WeightLayout::in_out);
    const Values weights = widen(rounded.get());
    auto x = on_device(p.x), bias = on_device(p.bias), gain = on_device(p.gain), shift = on_device(p.shift),
         residual = on_device(p.residual);
    const auto check = [&](Norm norm, bool shifted, Activation activation, bool with_residual) {
      auto y = blank(p.R * p.out);
      const LinearFusion fusion{.norm = norm,
                                .eps = static_cast<float>(kEps),
                                .gain = norm == Norm::none ? nullptr : static_cast<float*>(gain),
                                .shift = shifted ? static_cast<float*>(shift) : nullptr,
                                .activation = activation,
                                .residual = with_residual ? static_cast<float*>(residual) : nullptr};
      decoding().linear_bf16(context(), y, x, packed, bias, fusion, p.R, p.in, p.out);
      expect_close(y, p.expected(p.normalized(norm, shifted), weights, activation, with_residual),
                   std::to_string(p.in) + " inputs", 4);
    };
    check(Norm::layernorm, true, Activation::gelu_tanh, false);
    check(Norm::layernorm, false, Activation::gelu_erf, true);
    check(Norm::rmsnorm, false, Activation::silu, false);
    check(Norm::none, false, Activation::relu, true);
    check(Norm::none, false, Activation::none, true);
  }
}

TEST_P(DecodingTest, Int8ProductsWithWhatStandsAroundThem) {
  for (const Product& p : products()) {
    for (const int64_t group : {0, 32, 128}) {
      Buffer<uint8_t> packed(backend(),
                             static_cast<int64_t>(inference().packed_bytes_int8(p.in, p.out, group)));
      inference().pack_int8(context(), packed, on_device(p.w), p.in, p.out, group, WeightLayout::in_out);
      const Values weights = oracle::quantized_weight(p.w, p.in, p.out, group);
      auto x = on_device(p.x), bias = on_device(p.bias), gain = on_device(p.gain),
           residual = on_device(p.residual);
      const auto check = [&](Norm norm, Activation activation, double slack) {
        const Values left = p.normalized(norm, false);
        const std::vector<float> narrow(left.begin(), left.end());
        auto y = blank(p.R * p.out);
        const LinearFusion fusion{.norm = norm,
                                  .eps = static_cast<float>(kEps),
                                  .gain = norm == Norm::none ? nullptr : static_cast<float*>(gain),
                                  .activation = activation,
                                  .residual = residual};
        decoding().linear_int8(context(), y, x, packed, bias, fusion, p.R, p.in, p.out, group);
        expect_close(y,
                     p.expected(oracle::quantized_rows(narrow, p.in, kernels::int8_run(group)), weights,
                                activation, true),
                     std::to_string(p.in) + " inputs, group " + std::to_string(group), slack);
      };
      check(Norm::none, Activation::gelu_tanh, 4);
      // A last bit of the norm can move a code by one step of 127.
      check(Norm::layernorm, Activation::none, 500);
    }
  }
}

TEST_P(DecodingTest, NewPlacesCountBeforeTheyAreInTheCache) {
  struct Case {
    oracle::CacheSizes s;
    std::vector<int32_t> at, count;
  };
  const std::vector<Case> cases = {{{1, 1, 2, 2, 5, 8}, {0}, {1}},
                                   {{3, 1, 4, 2, 200, 20}, {199, 0, 64}, {1, 1, 0}},
                                   {{2, 3, 6, 3, 140, 17}, {126, 5}, {3, 2}},
                                   {{1, 9, 2, 1, 70, 4}, {58}, {9}}};
  for (const auto& [s, at, count] : cases) {
    const int64_t width = (s.H + 2 * s.G) * s.D;
    const auto qkv = normal_values(s.B * s.T * width, 1), k = normal_values(s.B * s.G * s.S * s.D, 2),
               v = normal_values(s.B * s.G * s.S * s.D, 3);
    auto places = on_device(at), real = on_device(count);
    auto joined = on_device(qkv), new_k = on_device(k), new_v = on_device(v),
         z = blank(s.B * s.T * s.H * s.D);
    decoding().attention(context(), z, new_k, new_v, joined, places, real, 0.3F, s.B, s.T, s.H, s.G, s.S,
                         s.D);

    auto q = blank(s.B * s.T * s.H * s.D), heads_k = blank(s.B * s.T * s.G * s.D),
         heads_v = blank(s.B * s.T * s.G * s.D);
    kernels().split_heads_forward(context(), q, heads_k, heads_v, joined, s.B, s.T, s.H, s.G, s.D);
    auto cache_k = on_device(k), cache_v = on_device(v);
    inference().cache_append(context(), cache_k, heads_k, places, real, s.B, s.T, s.G, s.S, s.D);
    inference().cache_append(context(), cache_v, heads_v, places, real, s.B, s.T, s.G, s.S, s.D);
    EXPECT_EQ(new_k.get(), cache_k.get());
    EXPECT_EQ(new_v.get(), cache_v.get());
    const auto all_k = widen(cache_k.get()), all_v = widen(cache_v.get());
    expect_close(z, oracle::cached_attention(widen(q.get()), all_k, all_v, at, count, 0.3, s), "z", 4);
  }
}

}  // namespace
}  // namespace headlight::test
