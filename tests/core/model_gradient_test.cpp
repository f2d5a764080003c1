// Whole models against a second model in double (tests/support/reference.h): the forward pass, and every
// kind of parameter's gradient against finite differences of the double loss.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "tests/support/model.h"
#include "tests/support/reference.h"

namespace headlight {
namespace {

using test::NamedConfig;

constexpr int64_t kB = 2, kT = 5;

/// Everything but dropout, which the double model does not have.
std::vector<NamedConfig> configs() {
  std::vector<NamedConfig> all = test::many_configs();
  std::erase_if(all, [](const NamedConfig& named) { return named.config.dropout > 0; });
  return all;
}

class ModelGradient : public ::testing::TestWithParam<NamedConfig> {
 protected:
  ModelGradient() : parameters_(test::cpu(), config_, 3), reference_(config_, kB, kT) {
    test::randomize(parameters_, 5);
    reference_.load(parameters_);
  }
  const ModelConfig config_ = GetParam().config;
  Parameters parameters_;
  test::ReferenceModel reference_;
  RunInputs inputs_ = test::random_inputs(config_, kB, kT, 7);
};

TEST_P(ModelGradient, ForwardEqualsTheDoubleModel) {
  const auto run = test::run_model(config_, parameters_, inputs_, kB, kT);
  const double loss = reference_.forward(inputs_.tokens, inputs_.targets);
  EXPECT_NEAR(run->loss, loss, 2e-6 * std::max(1.0, loss));
  for (const auto& [name, values] : reference_.activations) {
    EXPECT_LE(test::relative_error(run->values(name), values), 5e-6) << name;
  }
}

TEST_P(ModelGradient, EveryParameterAgainstFiniteDifferences) {
  ProgramOptions options;
  options.backward = true;
  const auto run = test::run_model(config_, parameters_, inputs_, kB, kT, options);
  Random random(11);
  for (const Parameters::Entry& entry : parameters_.entries()) {
    const std::string& name = entry.spec.name;
    const std::span<const float> gradient = run->values(name + "_grad");
    ASSERT_EQ(static_cast<int64_t>(gradient.size()), entry.spec.shape.count()) << name;
    double largest = 1e-2;
    for (const float g : gradient) largest = std::max(largest, std::abs(static_cast<double>(g)));
    std::vector<double>& weight = reference_.weights[name];
    for (int cell = 0; cell < 6; ++cell) {
      const auto i = static_cast<size_t>(random.below(weight.size()));
      const double kept = weight[i], step = 1e-5;
      weight[i] = kept + step;
      const double above = reference_.forward(inputs_.tokens, inputs_.targets);
      weight[i] = kept - step;
      const double below = reference_.forward(inputs_.tokens, inputs_.targets);
      weight[i] = kept;
      EXPECT_NEAR(static_cast<double>(gradient[i]), (above - below) / (2 * step), 2e-5 * largest)
          << name << "[" << i << "]";
    }
  }
}

TEST_P(ModelGradient, ActivationsAgainstFiniteDifferences) {
  ProgramOptions options;
  options.backward = true;
  const auto run = test::run_model(config_, parameters_, inputs_, kB, kT, options);
  (void)reference_.forward(inputs_.tokens, inputs_.targets);
  Random random(13);
  int checked = 0;
  const auto activations = reference_.activations;
  for (const auto& [name, values] : activations) {
    // The double model applies the mask's fill after the scaled scores, so masked cells keep gradient 0 in
    // both.
    const std::span<const float> gradient = run->values(name + "_grad");
    if (gradient.empty()) continue;
    ++checked;
    double largest = 1e-2;
    for (const float g : gradient) largest = std::max(largest, std::abs(static_cast<double>(g)));
    for (int cell = 0; cell < 4; ++cell) {
      const auto i = static_cast<size_t>(random.below(values.size()));
      if (std::isinf(values[i])) continue;
      // −log p bends fast where p is small.
      const double step = name == "probs" ? 1e-4 * values[i] : 1e-5;
      double loss[2];
      for (int side = 0; side < 2; ++side) {
        loss[side] = reference_.forward(inputs_.tokens, inputs_.targets,
                                        [&](const std::string& at, std::vector<double>& x) {
                                          if (at == name) x[i] += side == 0 ? step : -step;
                                        });
      }
      // −10⁹ swallows the step; its gradient is 0 all the same.
      EXPECT_NEAR(static_cast<double>(gradient[i]), (loss[0] - loss[1]) / (2 * step), 2e-5 * largest)
          << name << "[" << i << "]";
    }
  }
  EXPECT_GE(checked, 8);
}

INSTANTIATE_TEST_SUITE_P(All, ModelGradient, ::testing::ValuesIn(configs()),
                         [](const auto& which) { return which.param.name; });

TEST(ModelGradientDropout, SeedsMatterAndEvaluationIgnoresThem) {
  ModelConfig config = test::small_config();
  config.dropout = 0.3;
  Parameters parameters(test::cpu(), config, 3);
  test::randomize(parameters, 5);
  std::set<double> losses;
  for (const bool training : {true, false}) {
    for (uint64_t seed = 1; seed <= 3; ++seed) {
      RunInputs inputs = test::random_inputs(config, kB, kT, 7);
      inputs.dropout_seed = seed;
      ProgramOptions options;
      options.training = training;
      losses.insert(test::run_model(config, parameters, inputs, kB, kT, options)->loss);
    }
  }
  EXPECT_EQ(losses.size(), 4U) << "three of training, one of evaluation";
}

TEST(ModelGradientDropout, AgainstFiniteDifferencesOfItsOwnLoss) {
  // Dropout's pattern has no double twin here, so the fp32 loss itself is differenced: a directional
  // derivative along the gradient, which stands clear of rounding.
  ModelConfig config = test::small_config();
  config.dropout = 0.3;
  Parameters parameters(test::cpu(), config, 3);
  test::randomize(parameters, 5);
  const RunInputs inputs = test::random_inputs(config, kB, kT, 7);
  ProgramOptions options;
  options.training = options.backward = true;
  const auto run = test::run_model(config, parameters, inputs, kB, kT, options);
  double square = 0;
  for (const Parameters::Entry& entry : parameters.entries()) {
    for (const float g : run->values(entry.spec.name + "_grad"))
      square += std::pow(static_cast<double>(g), 2);
  }
  const auto loss_at = [&](double step) {
    Parameters moved(test::cpu(), config, 3);
    for (const Parameters::Entry& entry : moved.entries()) {
      const Parameters::Entry& from = *parameters.find(entry.spec.name);
      std::vector<float> values = parameters.download(from.value, from);
      const std::span<const float> gradient = run->values(entry.spec.name + "_grad");
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] += static_cast<float>(step * static_cast<double>(gradient[i]) / std::sqrt(square));
      }
      moved.upload(entry.value, entry, values);
    }
    return test::run_model(config, moved, inputs, kB, kT, options)->loss;
  };
  const double step = 2e-3;
  EXPECT_NEAR((loss_at(step) - loss_at(-step)) / (2 * step) / std::sqrt(square), 1.0, 2e-3);
}

}  // namespace
}  // namespace headlight
