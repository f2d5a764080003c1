// Fused attention against the oracle, against its own steps, and against finite differences.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

using kernels::MaskKind;

class AttentionTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(AttentionTest);

struct Shape {
  int64_t B, T, H, H_kv, D;
};
// One token; less than a tile; one tile; tiles that do not divide T; a head wider than a panel; heads that
// fill a tile's width, and one that is wider; keys that several heads share.
constexpr Shape kShapes[] = {{1, 1, 1, 1, 1},    {2, 3, 3, 3, 5},   {2, 7, 2, 2, 20},   {1, 17, 2, 2, 16},
                             {1, 63, 1, 1, 64},  {2, 64, 1, 1, 32}, {2, 65, 1, 1, 33},  {1, 130, 2, 2, 80},
                             {1, 131, 2, 2, 7},  {1, 300, 1, 1, 8}, {1, 257, 1, 1, 72}, {1, 66, 1, 1, 128},
                             {1, 19, 2, 2, 136}, {2, 19, 6, 2, 5},  {1, 131, 4, 1, 16}, {1, 9, 4, 2, 136}};

TEST_P(AttentionTest, MatchesTheOracle) {
  for (const auto& [B, T, H, H_kv, D] : kShapes) {
    for (const MaskKind kind : {MaskKind::causal, MaskKind::none}) {
      const auto qkv = normal_values(B * T * (H + 2 * H_kv) * D, 1, 1.5F);
      const float scale = 1.0F / std::sqrt(static_cast<float>(D));
      auto z = blank(B * T * H * D), lse = blank(B * H * T);
      kernels().attention_forward(context(), z, lse, on_device(qkv), scale, kind, B, T, H, H_kv, D);
      const auto expected = oracle::attention(widen(qkv), static_cast<double>(scale), kind, B, T, H, H_kv, D);
      expect_close(z, expected.z, "z", 4);
      expect_close(lse, expected.lse, "lse");
    }
  }
}

TEST_P(AttentionTest, GradientMatchesFiniteDifferences) {
  for (const auto& [B, T, H, H_kv, D] :
       {Shape{1, 1, 1, 1, 1}, Shape{2, 3, 3, 3, 5}, Shape{1, 17, 2, 2, 16}, Shape{1, 131, 1, 1, 5},
        Shape{1, 19, 4, 2, 5}, Shape{1, 131, 3, 1, 5}, Shape{1, 6, 2, 1, 136}}) {
    for (const MaskKind kind : {MaskKind::causal, MaskKind::none}) {
      const auto qkv = normal_values(B * T * (H + 2 * H_kv) * D, 1);
      const auto dz = normal_values(B * T * H * D, 2);
      const float scale = 0.8F / std::sqrt(static_cast<float>(D));
      auto z = blank(B * T * H * D), lse = blank(B * H * T), dqkv = blank(B * T * (H + 2 * H_kv) * D);
      auto qkv_device = on_device(qkv);
      kernels().attention_forward(context(), z, lse, qkv_device, scale, kind, B, T, H, H_kv, D);
      kernels().attention_backward(context(), dqkv, on_device(dz), z, lse, qkv_device, scale, kind, B, T, H,
                                   H_kv, D);
      expect_gradient(
          dqkv, widen(qkv),
          [&](const Values& x) {
            return dot(oracle::attention(x, static_cast<double>(scale), kind, B, T, H, H_kv, D).z, dz);
          },
          "dqkv", 2);
    }
  }
}

// The same numbers step by step, forward and backward, with kernels that have their own tests.
TEST_P(AttentionTest, EqualsItsSteps) {
  for (const auto& [B, T, H, H_kv, D] :
       {Shape{2, 65, 3, 3, 32}, Shape{2, 63, 1, 1, 64}, Shape{1, 130, 1, 1, 128}, Shape{1, 300, 2, 2, 20},
        Shape{1, 500, 1, 1, 72}, Shape{2, 65, 6, 2, 16}}) {
    for (const MaskKind kind : {MaskKind::causal, MaskKind::none}) {
      const int64_t n = B * T * H * D, m = B * T * H_kv * D;
      const int64_t plane = B * H * T * T;
      const float scale = 1.0F / std::sqrt(static_cast<float>(D));
      auto qkv = on_device(normal_values(n + 2 * m, 1));
      auto dz = on_device(normal_values(n, 2));
      auto q = blank(n), k = blank(m), v = blank(m), s = blank(plane), z = blank(n);
      kernels().split_heads_forward(context(), q, k, v, qkv, B, T, H, H_kv, D);
      kernels().scores_forward(context(), s, q, k, B, T, H, H_kv, D);
      kernels().scale(context(), s, s, scale, plane);
      kernels().mask_forward(context(), s, s, kind, B * H, T);
      kernels().softmax_forward(context(), s, s, 1.0F, B * H * T, T);
      kernels().weighted_sum_forward(context(), z, s, v, B, T, H, H_kv, D);
      auto ds = blank(plane), dq = blank(n), dk = blank(m), dv = blank(m), dqkv = blank(n + 2 * m);
      kernels().weighted_sum_backward_pattern(context(), ds, dz, v, B, T, H, H_kv, D);
      kernels().weighted_sum_backward_value(context(), dv, dz, s, B, T, H, H_kv, D);
      kernels().softmax_backward(context(), ds, ds, s, 1.0F, B * H * T, T);
      kernels().mask_backward(context(), ds, ds, kind, B * H, T);
      kernels().scale(context(), ds, ds, scale, plane);
      kernels().scores_backward_query(context(), dq, ds, k, B, T, H, H_kv, D);
      kernels().scores_backward_key(context(), dk, ds, q, B, T, H, H_kv, D);
      kernels().split_heads_backward(context(), dqkv, dq, dk, dv, B, T, H, H_kv, D);

      auto fused_z = blank(n), lse = blank(B * H * T), fused_dqkv = blank(n + 2 * m);
      kernels().attention_forward(context(), fused_z, lse, qkv, scale, kind, B, T, H, H_kv, D);
      kernels().attention_backward(context(), fused_dqkv, dz, fused_z, lse, qkv, scale, kind, B, T, H, H_kv,
                                   D);
      expect_close(fused_z, widen(z.get()), "z", 4);
      expect_close(fused_dqkv, widen(dqkv.get()), "dqkv", 8);
    }
  }
}

TEST_P(AttentionTest, LargeScoresStayFinite) {
  const int64_t T = 150;
  const int64_t D = 16;
  const auto qkv = normal_values(T * 3 * D, 1, 60.0F);
  auto z = blank(T * D), lse = blank(T);
  kernels().attention_forward(context(), z, lse, on_device(qkv), 1.0F, MaskKind::causal, 1, T, 1, 1, D);
  for (const float value : z.get()) EXPECT_TRUE(std::isfinite(value));
  for (const float value : lse.get()) EXPECT_TRUE(std::isfinite(value));
}

TEST_P(AttentionTest, ANanReachesOnlyWhatSeesIt) {
  const int64_t T = 140;
  const int64_t D = 16;
  const int64_t bad = 133;
  auto qkv = normal_values(T * 3 * D, 1);
  qkv[static_cast<size_t>(bad * 3 * D + D + 3)] = kNan;  // one key
  auto z = blank(T * D), lse = blank(T);
  kernels().attention_forward(context(), z, lse, on_device(qkv), 0.25F, MaskKind::causal, 1, T, 1, 1, D);
  const auto found = z.get();
  for (int64_t i = 0; i < T; ++i) {
    for (int64_t d = 0; d < D; ++d)
      EXPECT_EQ(std::isnan(found[static_cast<size_t>(i * D + d)]), i >= bad) << i;
  }
}

}  // namespace
}  // namespace headlight::test
