// Model folders as Hugging Face's transformers writes them, against what transformers computes from them:
// logits, hooks and greedy generations of GPT-2 and Llama shapes with random weights. The goldens and the
// script that makes them lie in tests/golden.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/infer/generation.h"
#include "core/model/config_json.h"
#include "core/model/model_folder.h"
#include "core/run/predictor.h"
#include "tests/support/model.h"
#include "tests/support/model_files.h"
#include "tests/support/paths.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::FileTensor;
using test::TemporaryFolder;

constexpr const char* kGolden = "golden/";
/// transformers computes in fp32 too: both sides round.
constexpr double kTolerance = 2e-5;

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(test::golden_folder() / "transformers")) {
    names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class Transformers : public ::testing::TestWithParam<std::string> {
 protected:
  Transformers() : golden_(test::golden_folder() / "transformers" / (GetParam() + ".safetensors")) {
    for (const TensorInfo& tensor : golden_.tensors()) {
      if (!tensor.name.starts_with(kGolden)) {
        weights_.push_back({tensor.name, tensor.shape, golden_.read_f32(tensor.name)});
      }
    }
    write_json_file(folder_ / "config.json", config_json());
    test::write_tensors(folder_ / "model.safetensors", weights_);
  }

  [[nodiscard]] nlohmann::json config_json() const {
    return parse_json(golden_.metadata().at("config"), "config");
  }
  [[nodiscard]] std::vector<int32_t> integers(const std::string& name) const {
    const std::vector<int64_t> values = golden_.read_i64(kGolden + name);
    return {values.begin(), values.end()};
  }

  SafetensorsFile golden_;
  TemporaryFolder folder_;
  std::vector<FileTensor> weights_;
};

TEST_P(Transformers, LogitsAndHooks) {
  const OpenedModel opened = open_model_folder(folder_.path(), test::cpu());
  EXPECT_EQ(opened.remark, "");
  const std::vector<int64_t> shape = golden_.info("golden/tokens").shape;
  RunInputs inputs;
  inputs.tokens = integers("tokens");
  for (const bool fused : {false, true}) {
    ProgramOptions options;
    options.loss = false;
    options.fused = fused;
    const auto run =
        test::run_model(opened.model.config, *opened.model.parameters, inputs, shape[0], shape[1], options);
    size_t compared = 0;
    for (const TensorInfo& tensor : golden_.tensors()) {
      std::string name = tensor.name;
      if (!name.starts_with(kGolden) || tensor.dtype != "F32") continue;
      name.erase(0, std::string_view(kGolden).size());
      if (name == "logits") name = "unembed.hook_out";
      const auto id = run->program().find(name);
      if (!id) {
        EXPECT_TRUE(fused) << name << " is not in the program";
        continue;
      }
      EXPECT_EQ(run->program().buffer(*id).shape.count(), tensor.elements()) << name;
      EXPECT_LE(test::relative_error(run->values(*id), golden_.read_f32(tensor.name)), kTolerance) << name;
      ++compared;
    }
    EXPECT_GE(compared, 9U);
  }
}

TEST_P(Transformers, GreedyGeneration) {
  const OpenedModel opened = open_model_folder(folder_.path(), test::cpu());
  Predictor predictor(opened.model);
  std::vector<int32_t> tokens = integers("prompt");
  const std::vector<int32_t> expected = integers("greedy");
  for (const int32_t token : expected) {
    const std::vector<float> logits = predictor.logits(tokens);
    const auto best = std::max_element(logits.begin(), logits.end()) - logits.begin();
    ASSERT_EQ(best, token) << "after " << tokens.size() << " tokens";
    tokens.push_back(token);
  }
}

/// The inference engine with its cache, in chunks, alone and beside another prompt.
TEST_P(Transformers, TheInferenceEngineWritesTheSame) {
  const OpenedModel opened = open_model_folder(folder_.path(), test::cpu());
  const std::vector<int32_t> prompt = integers("prompt"), expected = integers("greedy");
  GenerationOptions options;
  options.max_new = static_cast<int64_t>(expected.size());
  options.sampler.greedy = true;
  for (const int64_t chunk : {512, 2}) {
    options.chunk = chunk;
    Generation generation(opened.model, {prompt, {prompt[0]}}, options);
    while (generation.step()) {
    }
    EXPECT_TRUE(generation.no_cache().empty());
    EXPECT_EQ(generation.sequences()[0].tokens, expected);
  }
}

/// What we save has the same tensors under the same names, so that from_pretrained opens it.
TEST_P(Transformers, SavedFoldersKeepTheLayout) {
  const OpenedModel opened = open_model_folder(folder_.path(), test::cpu());
  const TemporaryFolder saved;
  save_model_folder(saved.path(), opened.model);
  const nlohmann::json config = read_json_file(saved / "config.json", "config"), before = config_json();
  EXPECT_EQ(config["model_type"], before["model_type"]);
  EXPECT_EQ(config["architectures"][0],
            before["model_type"] == "llama" ? "LlamaForCausalLM" : "GPT2LMHeadModel");
  EXPECT_EQ(config_from_json(config, "config.json"), opened.model.config);
  const SafetensorsFile file(saved / "model.safetensors");
  EXPECT_EQ(file.tensors().size(), weights_.size());
  for (const FileTensor& tensor : weights_) {
    std::string name = tensor.name;
    if (name.starts_with("transformer.")) name.erase(0, std::string_view("transformer.").size());
    ASSERT_TRUE(file.contains(name)) << name;
    EXPECT_EQ(file.info(name).shape, tensor.shape) << name;
    EXPECT_EQ(file.read_f32(name), tensor.values) << name;
  }
}

/// Halves, shards and names without the body's prefix hold the same model.
TEST_P(Transformers, OtherFilesOfTheSameModel) {
  const OpenedModel whole = open_model_folder(folder_.path(), test::cpu());
  const std::vector<FileTensor> expected = test::tensors_of(*whole.model.parameters);
  const TemporaryFolder other;
  write_json_file(other / "config.json", config_json());
  std::vector<FileTensor> stored = weights_;
  for (FileTensor& tensor : stored) {
    for (const std::string_view prefix : {"transformer.", "model."}) {
      if (tensor.name.starts_with(prefix)) tensor.name.erase(0, prefix.size());
    }
    tensor.dtype = "BF16";
  }
  test::write_shards(other.path(), stored, 3);
  const OpenedModel opened = open_model_folder(other.path(), test::cpu());
  const std::vector<FileTensor> got = test::tensors_of(*opened.model.parameters);
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LE(test::relative_error(got[i].values, expected[i].values), 0.008) << got[i].name;
  }
}

INSTANTIATE_TEST_SUITE_P(All, Transformers, ::testing::ValuesIn(cases()),
                         [](const auto& which) { return which.param; });

}  // namespace
}  // namespace headlight
