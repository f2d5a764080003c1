// Model folders as other programs write them: dtypes, prefixes, shards, shared weights, buffers beside the
// weights; what is written comes back.
#include <gtest/gtest.h>

#include <cmath>

#include "core/model/model_folder.h"
#include "tests/support/error_text.h"
#include "tests/support/model.h"
#include "tests/support/model_files.h"
#include "tests/support/temporary_folder.h"

namespace headlight {
namespace {

using test::error_of;
using test::FileTensor;
using test::TemporaryFolder;

/// A small model with weights that every dtype holds exactly: multiples of 1/8.
class ModelFolder : public ::testing::Test {
 protected:
  ModelFolder() { make(test::small_config()); }

  void make(const ModelConfig& config) {
    config_ = config;
    parameters_ = std::make_unique<Parameters>(test::cpu(), config_, 1);
    test::randomize(*parameters_, 5);
    tensors_ = test::tensors_of(*parameters_);
    for (FileTensor& tensor : tensors_) {
      for (float& value : tensor.values) value = std::round(value * 8) / 8;
    }
    write_json_file(folder_ / "config.json", config_to_json(config_));
  }

  [[nodiscard]] OpenedModel open() const { return open_model_folder(folder_.path(), test::cpu()); }
  [[nodiscard]] std::string opening_error() const {
    return error_of([&] { return open().remark; });
  }

  /// The folder opens and holds exactly the weights of tensors_ (before a test renamed them).
  void expect_weights(const std::vector<FileTensor>& wanted, const std::string& what) const {
    const OpenedModel opened = open();
    EXPECT_EQ(opened.model.config, config_) << what;
    const std::vector<FileTensor> got = test::tensors_of(*opened.model.parameters);
    ASSERT_EQ(got.size(), wanted.size()) << what;
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].values, wanted[i].values) << what << got[i].name;
  }

  TemporaryFolder folder_;
  ModelConfig config_;
  std::unique_ptr<Parameters> parameters_;
  std::vector<FileTensor> tensors_;
};

TEST_F(ModelFolder, EveryDtypeWithAndWithoutPrefix) {
  for (const char* dtype : {"F32", "F16", "BF16", "F64"}) {
    for (const char* prefix : {"", "transformer."}) {
      std::vector<FileTensor> stored = tensors_;
      for (FileTensor& tensor : stored) {
        tensor.dtype = dtype;
        tensor.name = prefix + tensor.name;
      }
      test::write_tensors(folder_ / "model.safetensors", stored);
      expect_weights(tensors_, std::string(dtype) + " " + prefix);
    }
  }
}

TEST_F(ModelFolder, ShardsOfEverySize) {
  for (const size_t shards : {size_t{1}, size_t{2}, size_t{5}}) {
    const TemporaryFolder other;
    write_json_file(other / "config.json", config_to_json(config_));
    test::write_shards(other.path(), tensors_, shards);
    const OpenedModel opened = open_model_folder(other.path(), test::cpu());
    const std::vector<FileTensor> got = test::tensors_of(*opened.model.parameters);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i].values, tensors_[i].values) << got[i].name;
  }
}

TEST_F(ModelFolder, BuffersThatAreNoWeightsArePassedOver) {
  std::vector<FileTensor> stored = tensors_;
  stored.push_back({"h.0.attn.bias", {1, 1, 9, 9}, std::vector<float>(81, 1.0F)});
  stored.push_back({"transformer.h.1.attn.masked_bias", {}, {-1e4F}});
  stored.push_back({"lm_head.weight", {13, 12}, std::vector<float>(156, 0.0F)});  // tied: wte counts
  test::write_tensors(folder_ / "model.safetensors", stored);
  expect_weights(tensors_, "");
  EXPECT_EQ(open().remark, "");
}

TEST_F(ModelFolder, SharedWeightsUnderTheNameOfTheUnembedding) {
  std::vector<FileTensor> stored = tensors_;
  ASSERT_EQ(stored[0].name, "wte.weight");
  stored[0].name = "lm_head.weight";
  test::write_tensors(folder_ / "model.safetensors", stored);
  expect_weights(tensors_, "");
}

TEST_F(ModelFolder, AnUntiedUnembeddingIsAWeightOfItsOwn) {
  ModelConfig untied = test::small_config();
  untied.tie_word_embeddings = false;
  make(untied);
  test::write_tensors(folder_ / "model.safetensors", tensors_);
  expect_weights(tensors_, "");
  tensors_.pop_back();
  test::write_tensors(folder_ / "model.safetensors", tensors_);
  EXPECT_SAYS(opening_error(), "lacks 1 tensor that config.json asks for: “lm_head.weight” (13×12)");
}

TEST_F(ModelFolder, MismatchesAreListed) {
  std::vector<FileTensor> stored(tensors_.begin(), tensors_.begin() + 8);
  test::write_tensors(folder_ / "model.safetensors", stored);
  EXPECT_SAYS(opening_error(), "lacks 20 tensors");
  EXPECT_SAYS(opening_error(), "“h.0.ln_2.bias” (12)");
  EXPECT_SAYS(opening_error(), "and 16 more");

  // A block that the config does not have would make another model.
  stored = tensors_;
  stored.push_back({"h.2.ln_1.weight", {12}, std::vector<float>(12)});
  test::write_tensors(folder_ / "model.safetensors", stored);
  EXPECT_SAYS(opening_error(), "holds 1 tensor that config.json has no place for: “h.2.ln_1.weight” (12)");

  // A head of another task beside the model is said and left alone.
  stored.back().name = "score.weight";
  test::write_tensors(folder_ / "model.safetensors", stored);
  expect_weights(tensors_, "");
  EXPECT_SAYS(open().remark, "holds 1 tensor that the model does not use: “score.weight” (12)");
}

TEST_F(ModelFolder, ProgressGoesFromNothingToAll) {
  test::write_tensors(folder_ / "model.safetensors", tensors_);
  std::vector<double> seen;
  (void)open_model_folder(folder_.path(), test::cpu(), [&](double fraction) { seen.push_back(fraction); });
  ASSERT_GE(seen.size(), tensors_.size());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_DOUBLE_EQ(seen.back(), 1.0);
}

TEST_F(ModelFolder, LargeTensorsGoOverInPieces) {
  ModelConfig wide = test::small_config();
  wide.vocab_size = 50'021;  // 600,252 numbers: three pieces, the last one short
  make(wide);
  for (const char* dtype : {"F32", "F16"}) {
    std::vector<FileTensor> stored = tensors_;
    for (FileTensor& tensor : stored) tensor.dtype = dtype;
    test::write_tensors(folder_ / "model.safetensors", stored);
    expect_weights(tensors_, dtype);
  }
  save_model_folder(folder_.path(), open().model);
  expect_weights(tensors_, "saved again");
}

TEST_F(ModelFolder, EverySwitchComesBack) {
  for (const test::NamedConfig& named : test::many_configs()) {
    make(named.config);
    Model model;
    model.config = config_;
    model.parameters = std::move(parameters_);
    save_model_folder(folder_.path(), model);
    expect_weights(test::tensors_of(*model.parameters), named.name);
  }
}

}  // namespace
}  // namespace headlight
