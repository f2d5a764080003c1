// Same inputs, same bits: twice on one backend, and on the CPU for any number of threads.
#include <cmath>

#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

using kernels::Backend;
using kernels::MaskKind;
using kernels::WeightLayout;

class RepeatTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(RepeatTest);

// Every kernel whose sums or chunks could depend on threads, at sizes with many chunks.
std::vector<std::vector<float>> results(Backend& backend) {
  const int64_t B = 3;
  const int64_t T = 150;
  const int64_t H = 4;
  const int64_t D = 24;
  const int64_t C = H * D;
  const int64_t R = B * T * 5;
  const auto& kernels = backend.kernels();
  auto& context = backend.context();
  const auto device = [&](int64_t n, uint32_t seed) {
    return Buffer<float>(backend, normal_values(n, seed));
  };
  const auto blank = [&](int64_t n) { return Buffer<float>(backend, n); };
  std::vector<std::vector<float>> all;

  auto x = device(R * C, 1), w = device(C * 3 * C, 2), bias = device(3 * C, 3), dy = device(R * 3 * C, 4);
  auto y = blank(R * 3 * C), dx = blank(R * C), dw = blank(C * 3 * C), db = blank(3 * C);
  for (const WeightLayout layout : {WeightLayout::in_out, WeightLayout::out_in}) {
    kernels.linear_forward(context, y, x, w, bias, R, C, 3 * C, layout);
    kernels.linear_backward_input(context, dx, dy, w, R, C, 3 * C, layout);
    kernels.linear_backward_weight(context, dw, dy, x, R, C, 3 * C, layout);
    kernels.linear_backward_bias(context, db, dy, R, 3 * C);
    for (auto* buffer : {&y, &dx, &dw, &db}) all.push_back(buffer->get());
  }
  auto gain = device(C, 5), mean = blank(R), scale = blank(R), normal = blank(R * C), dgain = blank(C),
       dbias = blank(C);
  kernels.layernorm_forward(context, mean, scale, nullptr, normal, x, gain, nullptr, R, C, 1e-5F);
  kernels.layernorm_backward(context, dx, dgain, dbias, normal, x, mean, scale, gain, R, C);
  for (auto* buffer : {&normal, &dx, &dgain, &dbias}) all.push_back(buffer->get());

  auto qkv = device(B * T * 3 * C, 6), z = blank(B * T * C), dz = device(B * T * C, 7),
       lse = blank(B * H * T), dqkv = blank(B * T * 3 * C);
  kernels.attention_forward(context, z, lse, qkv, 0.2F, MaskKind::causal, B, T, H, H, D);
  kernels.attention_backward(context, dqkv, dz, z, lse, qkv, 0.2F, MaskKind::causal, B, T, H, H, D);
  for (auto* buffer : {&z, &lse, &dqkv}) all.push_back(buffer->get());

  Buffer<int32_t> tokens(backend, random_tokens(R, 65, 8));
  auto table = blank(65 * C), loss = blank(1), rows = blank(R), row_lse = blank(R), squares = blank(1);
  kernels.embedding_backward(context, table, nullptr, x, tokens, R, C, 65);
  auto logits = device(R * 65, 9);
  kernels.softmax_cross_entropy_forward(context, loss, rows, row_lse, logits, tokens, R, 65);
  kernels.sum_of_squares(context, squares, dy, R * 3 * C);
  for (auto* buffer : {&table, &loss, &row_lse, &squares}) all.push_back(buffer->get());
  return all;
}

TEST_P(RepeatTest, TwoRunsGiveTheSameBits) { EXPECT_EQ(results(backend()), results(backend())); }

TEST(RepeatOnCpuTest, ThreadsDoNotChangeBits) {
  const auto alone = results(*kernels::make_cpu_backend(1));
  for (const int threads : {2, 3, 5})
    EXPECT_EQ(results(*kernels::make_cpu_backend(threads)), alone) << threads;
}

}  // namespace
}  // namespace headlight::test
