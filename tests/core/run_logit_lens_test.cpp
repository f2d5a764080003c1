// The logit lens against a plain product in double precision, for every kind of model; its columns; what is
// missing; that it can be cancelled.
#include <gtest/gtest.h>

#include <cmath>

#include "core/run/logit_lens.h"
#include "tests/support/model.h"

namespace headlight {
namespace {

struct Recorded {
  explicit Recorded(const ModelConfig& config, int64_t T, Capture capture = {})
      : parameters(test::cpu(), config, 3) {
    test::randomize(parameters, 3);
    auto made = std::make_shared<Run>(*test::run_model(
        config, parameters, test::random_inputs(config, 1, T, 3), 1, T, {}, std::move(capture)));
    made->config = config;
    run = made;
  }
  Parameters parameters;
  std::shared_ptr<const Run> run;
};

/// What the unembedding says of x [C].
std::vector<double> oracle(const Recorded& of, std::span<const float> x) {
  const ModelConfig& config = of.run->config;
  std::vector<double> y(x.begin(), x.end());
  if (config.has_final_norm()) {
    const auto gain = of.run->values("ln_f.weight"), bias = of.run->values("ln_f.bias");
    double mean = 0, square = 0;
    if (config.norm == NormKind::layernorm)
      for (const double v : y) mean += v / static_cast<double>(y.size());
    for (const double v : y) square += (v - mean) * (v - mean) / static_cast<double>(y.size());
    for (size_t c = 0; c < y.size(); ++c) {
      y[c] = (y[c] - mean) / std::sqrt(square + config.layer_norm_epsilon) * static_cast<double>(gain[c]);
      if (!bias.empty()) y[c] += static_cast<double>(bias[c]);
    }
  }
  const auto head = of.run->values(config.tie_word_embeddings ? "wte.weight" : "lm_head.weight");
  std::vector<double> p(static_cast<size_t>(config.vocab_size));
  double sum = 0;
  for (size_t v = 0; v < p.size(); ++v) {
    double logit = 0;
    for (size_t c = 0; c < y.size(); ++c) logit += y[c] * static_cast<double>(head[v * y.size() + c]);
    sum += p[v] = std::exp(logit);
  }
  for (double& v : p) v /= sum;
  return p;
}

TEST(LogitLens, IsTheUnembeddingOfEveryPoint) {
  constexpr int64_t T = 6;
  for (const auto& [name, config] : test::many_configs()) {
    const Recorded of(config, T);
    const auto lens = read_lens(*of.run, of.parameters, std::nullopt);
    std::vector<std::string> missing;
    const auto points = stream_points(*of.run, missing);
    EXPECT_TRUE(missing.empty()) << name;
    ASSERT_EQ(lens->extent, LogitLens::Extent::all) << name;
    ASSERT_EQ(lens->points, static_cast<int64_t>(points.size())) << name;
    EXPECT_EQ(lens->points, 1 + config.n_layer * (config.mlp == MlpKind::none ? 1 : 2)) << name;
    EXPECT_EQ(lens_work(*of.run), static_cast<double>(config.vocab_size * config.n_embd * T * lens->points));
    for (size_t i = 0; i < lens->cells.size(); ++i) {
      const size_t t = i % T, C = static_cast<size_t>(config.n_embd);
      const auto stream = of.run->values(points[i / T].buffer).subspan(t * C, C);
      const std::vector<double> p = oracle(of, stream);
      std::vector<double> sorted = p;
      std::sort(sorted.rbegin(), sorted.rend());
      const LensCell& cell = lens->cells[i];
      EXPECT_NEAR(p[static_cast<size_t>(cell.token)], sorted[0], 1e-5) << name;
      EXPECT_NEAR(cell.probability, sorted[0], 1e-5) << name;
      for (size_t k = 0; k < cell.runners_up.size(); ++k) {
        EXPECT_NEAR(p[static_cast<size_t>(cell.runners_up[k].token)], sorted[k + 1], 1e-5) << name;
        EXPECT_NEAR(cell.runners_up[k].probability, sorted[k + 1], 1e-5) << name;
      }
      if (t + 1 == T) {
        EXPECT_LT(cell.target_probability, 0) << "nothing comes after the last token";
      } else {
        EXPECT_NEAR(cell.target_probability, p[static_cast<size_t>(of.run->tokens[t + 1])], 1e-5) << name;
      }
    }
  }
}

TEST(LogitLens, ReadsOneColumn) {
  const Recorded of(test::small_config(), 6);
  const auto all = read_lens(*of.run, of.parameters, std::nullopt),
             one = read_lens(*of.run, of.parameters, 4);
  ASSERT_EQ(one->extent, LogitLens::Extent::column);
  EXPECT_EQ(one->column, 4);
  for (size_t i = 0; i < one->cells.size(); ++i)
    EXPECT_EQ(one->cells[i].token, i % 6 == 4 ? all->cells[i].token : -1);
  EXPECT_EQ(read_lens(*of.run, of.parameters, 99)->column, 5) << "clamped to the prompt";
  EXPECT_EQ(read_lens(*of.run, of.parameters, -1)->column, 5) << "the last";
}

TEST(LogitLens, NamesWhatIsMissingAndCanBeCancelled) {
  const Recorded of(test::small_config(), 5, {{"blocks.0.ln1.*"}, 1 << 20});
  const auto none = read_lens(*of.run, of.parameters, std::nullopt);
  EXPECT_EQ(none->extent, LogitLens::Extent::none);
  EXPECT_EQ(none->missing, "blocks.0.hook_resid_pre");
  EXPECT_TRUE(none->cells.empty());
  const std::atomic<bool> cancel = true;
  const Recorded whole(test::small_config(), 5);
  EXPECT_THROW((void)read_lens(*whole.run, whole.parameters, std::nullopt, &cancel), Cancelled);
}

TEST(LogitLens, AVocabularyOfTwoHasOneRunnerUp) {
  ModelConfig config = test::small_config();
  config.vocab_size = 2;
  const Recorded of(config, 4);
  const auto lens = read_lens(*of.run, of.parameters, std::nullopt);
  for (const LensCell& cell : lens->cells) {
    EXPECT_EQ(cell.runners_up[0].token, 1 - cell.token);
    EXPECT_EQ(cell.runners_up[1].token, -1);
  }
}

}  // namespace
}  // namespace headlight
