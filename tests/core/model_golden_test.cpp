// Whole models against PyTorch: forward buffers, loss, every gradient and ten AdamW steps, and GPT-2's own
// layout against Hugging Face's model. The goldens and the script that makes them lie in tests/golden.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <string>

#include "core/io/safetensors.h"
#include "core/model/builder.h"
#include "core/model/config.h"
#include "core/run/executor.h"
#include "core/train/schedule.h"
#include "tests/support/model.h"
#include "tests/support/paths.h"

namespace headlight {
namespace {

using test::BackendCase;

constexpr double kForwardTolerance = 3e-6, kGradientTolerance = 2e-5, kTrainedTolerance = 2e-4;

const std::vector<std::string> kCases = {
    "one_head",  "pre_ln",    "post_ln",     "no_norm",     "no_mlp",      "no_bias",
    "untied",    "gelu_erf",  "relu",        "no_scale",    "no_residual", "no_residual_post_ln",
    "mask_none", "mask_zero", "mask_finite", "no_position", "temperature", "rmsnorm",
    "gated",     "silu",      "rope",        "grouped",     "llama"};

/// A golden file with its config, and a model with its initial weights.
struct Golden {
  Golden(const std::string& name, kernels::Backend& backend)
      : file(test::golden_folder() / (name + ".safetensors")) {
    for (const auto& [key, value] : file.metadata()) {
      if (key.starts_with("model/")) set_config_value(config, key.substr(6), value);
      if (key.starts_with("train/")) set_train_value(train, key.substr(6), value);
    }
    parameters = std::make_unique<Parameters>(backend, config, 1);
    for (const Parameters::Entry& entry : parameters->entries()) {
      parameters->upload(entry.value, entry, file.read_f32(entry.spec.name));
    }
    B = file.info("tokens").shape[0];
    T = file.info("tokens").shape[1];
  }

  [[nodiscard]] std::vector<int32_t> integers(const std::string& name) const {
    const std::vector<int64_t> values = file.read_i64(name);
    return {values.begin(), values.end()};
  }
  [[nodiscard]] std::shared_ptr<const Program> program(bool fused) const {
    ProgramOptions options;
    options.backward = options.update = true;
    options.fused = fused;
    options.train = train;
    return build_program(config, B, T, options);
  }

  SafetensorsFile file;
  ModelConfig config;
  TrainConfig train;
  std::unique_ptr<Parameters> parameters;
  int64_t B = 0, T = 0;
};

/// Which golden on which backend, plain or fused.
using Param = std::tuple<std::string, BackendCase, bool>;

class ModelGolden : public ::testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    std::string why_not;
    const BackendCase& backend_case = std::get<1>(GetParam());
    backend_ = test::make_backend(backend_case.name, why_not);
    if (backend_ == nullptr) GTEST_SKIP() << why_not;
    looser_ = backend_case.tolerance;
    golden_ = std::make_unique<Golden>(std::get<0>(GetParam()), *backend_);
    fused_ = std::get<2>(GetParam());
  }

  std::unique_ptr<kernels::Backend> backend_;
  std::unique_ptr<Golden> golden_;
  double looser_ = 1;
  bool fused_ = false;
};

TEST_P(ModelGolden, ForwardLossAndGradients) {
  const SafetensorsFile& file = golden_->file;
  Executor executor(golden_->program(fused_), *backend_, *golden_->parameters, {});
  RunInputs inputs;
  inputs.tokens = golden_->integers("tokens");
  inputs.targets = golden_->integers("targets");
  const auto run = executor.run(inputs);
  EXPECT_NEAR(run->loss, static_cast<double>(file.read_f32("loss")[0]), kForwardTolerance * looser_ * 3);

  size_t compared = 0, gradients = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.dtype != "F32" || tensor.name.find('/') != std::string::npos) continue;
    const auto id = run->program().find(tensor.name);
    if (!id) {
      // Only a rewrite may drop a buffer.
      EXPECT_TRUE(fused_) << tensor.name << " is not in the program";
      continue;
    }
    const Buffer& buffer = run->program().buffer(*id);
    EXPECT_EQ(buffer.shape.count(), tensor.elements()) << tensor.name;
    const bool is_gradient = tensor.name.ends_with("_grad");
    EXPECT_LE(test::relative_error(run->values(*id), file.read_f32(tensor.name), is_gradient ? 1e-2 : 1e-1),
              (is_gradient ? kGradientTolerance : kForwardTolerance) * looser_)
        << tensor.name;
    ++compared;
    gradients += is_gradient ? 1 : 0;
  }
  const size_t parameters = golden_->parameters->entries().size();
  EXPECT_GE(gradients, parameters + 3);
  EXPECT_GE(compared, 2 * parameters + 10);
}

TEST_P(ModelGolden, TenAdamWSteps) {
  const SafetensorsFile& file = golden_->file;
  Executor executor(golden_->program(fused_), *backend_, *golden_->parameters, {{{}, 0}, {}, true});
  const std::vector<int32_t> tokens = golden_->integers("steps/tokens"),
                             targets = golden_->integers("steps/targets");
  const std::vector<float> losses = file.read_f32("steps/loss"), norms = file.read_f32("steps/grad_norm");
  const int64_t batch = golden_->B * golden_->T;
  ASSERT_EQ(losses.size(), 10U);
  for (int64_t step = 0; step < 10; ++step) {
    RunInputs inputs;
    inputs.tokens.assign(tokens.begin() + step * batch, tokens.begin() + (step + 1) * batch);
    inputs.targets.assign(targets.begin() + step * batch, targets.begin() + (step + 1) * batch);
    inputs.learning_rate = learning_rate_at(golden_->train, step);
    inputs.adam_step = step + 1;
    inputs.beta1 = golden_->train.beta1;
    inputs.beta2 = golden_->train.beta2;
    const auto run = executor.run(inputs);
    const auto at = static_cast<size_t>(step);
    EXPECT_NEAR(run->loss / static_cast<double>(losses[at]), 1.0, kTrainedTolerance * looser_) << step;
    EXPECT_NEAR(executor.scalar("grad_norm") / static_cast<double>(norms[at]), 1.0,
                10 * kTrainedTolerance * looser_)
        << step;
  }
  for (const Parameters::Entry& entry : golden_->parameters->entries()) {
    const std::vector<float> now = golden_->parameters->download(entry.value, entry);
    EXPECT_LE(test::relative_error(now, file.read_f32("after/" + entry.spec.name)),
              kTrainedTolerance * looser_)
        << entry.spec.name;
    // The update moved it by far more than the tolerance.
    EXPECT_GT(test::relative_error(now, file.read_f32(entry.spec.name)), 50 * kTrainedTolerance)
        << entry.spec.name;
  }
}

std::string param_name(const ::testing::TestParamInfo<Param>& info) {
  return std::get<0>(info.param) + "_" + std::get<1>(info.param).name +
         (std::get<2>(info.param) ? "_fused" : "_plain");
}
INSTANTIATE_TEST_SUITE_P(All, ModelGolden,
                         ::testing::Combine(::testing::ValuesIn(kCases),
                                            ::testing::ValuesIn(test::backend_cases()), ::testing::Bool()),
                         param_name);

TEST(ModelGoldenFiles, EveryFileIsTestedAndAllAreSmall) {
  uintmax_t bytes = 0;
  for (const auto& entry : std::filesystem::directory_iterator(test::golden_folder())) {
    if (entry.path().extension() != ".safetensors") continue;
    bytes += entry.file_size();
    const std::string name = entry.path().stem().string();
    EXPECT_TRUE(name == "huggingface" || std::count(kCases.begin(), kCases.end(), name) == 1) << name;
  }
  EXPECT_LT(bytes, 1'500'000U);
}

class HuggingFaceGolden : public ::testing::TestWithParam<BackendCase> {};

TEST_P(HuggingFaceGolden, LogitsOfGpt2) {
  std::string why_not;
  const auto backend = test::make_backend(GetParam().name, why_not);
  if (backend == nullptr) GTEST_SKIP() << why_not;
  // Only sizes are given: what else GPT-2 has must be the defaults of ModelConfig.
  const Golden golden("huggingface", *backend);
  const auto names = golden.file.tensors().size() - 2;
  EXPECT_EQ(golden.parameters->entries().size(), names) << "tokens and logits aside, one parameter each";
  RunInputs inputs;
  inputs.tokens = golden.integers("tokens");
  ProgramOptions options;
  options.loss = false;
  const auto run = test::run_model(golden.config, *golden.parameters, inputs, golden.B, golden.T, options);
  EXPECT_LE(test::relative_error(run->values("unembed.hook_out"), golden.file.read_f32("logits")),
            kForwardTolerance * GetParam().tolerance);
  EXPECT_TRUE(std::isnan(run->loss));
}
INSTANTIATE_TEST_SUITE_P(All, HuggingFaceGolden, ::testing::ValuesIn(test::backend_cases()),
                         [](const auto& which) { return which.param.name; });

}  // namespace
}  // namespace headlight
