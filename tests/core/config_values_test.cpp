// Model configs by hand: keys set from text, parameters counted by part, floating-point operations.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/model/config.h"
#include "core/model/config_json.h"
#include "core/model/presets.h"
#include "tests/support/error_text.h"

namespace headlight {
namespace {

using nlohmann::json;
using test::error_of;

TEST(ConfigSet, SetsEveryKeyFromText) {
  ModelConfig config;
  set_config_value(config, "n_head", "8");
  set_config_value(config, "n_inner", "null");
  set_config_value(config, "norm_position", "post");
  set_config_value(config, "norm", "none");
  set_config_value(config, "mask", "zero");
  set_config_value(config, "residual", "off");
  set_config_value(config, "bias", "0");
  set_config_value(config, "tie_word_embeddings", "false");
  set_config_value(config, "attention_temperature", "2.5");
  set_config_value(config, "dropout", "0");
  set_config_value(config, "layer_norm_epsilon", "1e-6");
  EXPECT_EQ(config.n_head, 8);
  EXPECT_EQ(config.n_inner, 0);
  EXPECT_EQ(config.norm_position, NormPosition::post);
  EXPECT_EQ(config.norm, NormKind::none);
  EXPECT_EQ(config.mask, AttentionMask::zero);
  EXPECT_FALSE(config.residual);
  EXPECT_FALSE(config.bias);
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.temperature, 2.5);
  EXPECT_EQ(config.layer_norm_epsilon, 1e-6);
  // Every key that is written can be set from its text.
  const ModelConfig target = find_preset("one-head").config;
  const json written = config_to_json(target);
  for (const auto& [key, value] : written.items()) {
    if (is_config_key(key))
      set_config_value(config, key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  EXPECT_EQ(config, target);
}

TEST(ConfigSet, SaysWhatIsWrong) {
  ModelConfig config;
  const auto refuses = [&](const char* key, const char* value) {
    return error_of([&] { set_config_value(config, key, value); });
  };
  EXPECT_SAYS(refuses("n_heads", "8"), "“n_heads” is not a key of a model; did you mean n_head?");
  EXPECT_SAYS(refuses("n_head", "eight"),
              "n_head = “eight” cannot be used: it takes a whole number, such as 4");
  EXPECT_SAYS(refuses("n_head", ""), "n_head = “”");
  EXPECT_SAYS(refuses("dropout", "nan"), "dropout = “nan” cannot be used: it takes a number");
  EXPECT_SAYS(refuses("norm", "batchnorm"), "it is one of layernorm, rmsnorm, none");
  EXPECT_SAYS(refuses("residual", "maybe"), "it is true or false");
  EXPECT_EQ(config, ModelConfig{});
  EXPECT_FALSE(is_config_key("batch"));
}

TEST(Parameters, AreCountedByPart) {
  const ParameterCount nano = count_parameters(find_preset("nano").config);
  EXPECT_EQ(nano.embedding, 48 * 64);
  EXPECT_EQ(nano.position, 64 * 64);
  EXPECT_EQ(nano.attention, 2 * (4 * 64 * 64 + 4 * 64));
  EXPECT_EQ(nano.mlp, 2 * (2 * 64 * 256 + 256 + 64));
  EXPECT_EQ(nano.norm, 5 * 2 * 64);
  EXPECT_EQ(nano.unembedding, 0);
  EXPECT_EQ(nano.total(), 107'264);
  const ParameterCount one_head = count_parameters(find_preset("one-head").config);
  EXPECT_EQ(one_head.attention, 4 * 64 * 64);
  EXPECT_EQ(one_head.mlp, 0);
  EXPECT_EQ(one_head.norm, 64);
  ModelConfig untied = find_preset("nano").config;
  untied.tie_word_embeddings = false;
  untied.position = PositionKind::none;
  untied.norm = NormKind::none;
  EXPECT_EQ(count_parameters(untied).unembedding, 48 * 64);
  EXPECT_EQ(count_parameters(untied).position, 0);
  EXPECT_EQ(count_parameters(untied).norm, 0);
}

TEST(Flops, FollowTheFormula) {
  // 6(12 L C² + V C) + 6 L C T
  const ModelConfig tiny{.n_layer = 4, .n_head = 8, .n_embd = 256, .n_positions = 128, .vocab_size = 65};
  EXPECT_DOUBLE_EQ(training_flops_per_token(tiny, 128),
                   6.0 * (12 * 4 * 256 * 256 + 65 * 256) + 6.0 * 4 * 256 * 128);
}

}  // namespace
}  // namespace headlight
