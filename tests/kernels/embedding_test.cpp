// Token embedding: rows by id, repeated ids add up, a base gradient is kept.
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class EmbeddingTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(EmbeddingTest);

TEST_P(EmbeddingTest, LooksUpRows) {
  for (const int64_t C : {1, 3, 17, 65, 256}) {
    const int64_t R = 35;
    const int32_t V = 11;
    const auto table = normal_values(V * C, 1);
    const auto tokens = random_tokens(R, V, 2);
    auto y = blank(R * C);
    kernels().embedding_forward(context(), y, on_device(tokens), on_device(table), R, C);
    expect_close(y, oracle::embedding(widen(table), tokens, C), "y");
  }
}

TEST_P(EmbeddingTest, GradientAddsRepeatedTokensToTheBase) {
  for (const int64_t C : {1, 17, 65, 130}) {
    const int64_t R = 300;
    const int32_t V = 7;
    const auto table = normal_values(V * C, 1);
    const auto tokens = random_tokens(R, V - 1, 2);  // the last row is never used
    const auto dy = normal_values(R * C, 3);
    const auto base = normal_values(V * C, 4);
    const auto loss = [&](const Values& x) { return dot(oracle::embedding(x, tokens, C), dy); };
    const auto loss_with_base = [&](const Values& x) { return loss(x) + dot(x, base); };

    auto dtable = blank(V * C);
    kernels().embedding_backward(context(), dtable, nullptr, on_device(dy), on_device(tokens), R, C, V);
    expect_gradient(dtable, widen(table), loss, "dtable");
    auto dtable_with_base = blank(V * C);
    kernels().embedding_backward(context(), dtable_with_base, on_device(base), on_device(dy),
                                 on_device(tokens), R, C, V);
    expect_gradient(dtable_with_base, widen(table), loss_with_base, "dtable on a base");
    auto in_place = on_device(base);
    kernels().embedding_backward(context(), in_place, in_place, on_device(dy), on_device(tokens), R, C, V);
    EXPECT_EQ(in_place.get(), dtable_with_base.get());
  }
}

}  // namespace
}  // namespace headlight::test
