// Model configs: every spelling, round trips, missing and absurd keys, features of a later version.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/io/json.h"
#include "core/model/config.h"
#include "core/model/config_json.h"
#include "core/model/presets.h"
#include "tests/support/error_text.h"

namespace headlight {
namespace {

using nlohmann::json;
using test::error_of;

json gpt2() {
  return json::parse(R"({
    "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1, "bos_token_id": 50256,
    "embd_pdrop": 0.1, "eos_token_id": 50256, "initializer_range": 0.02, "layer_norm_epsilon": 1e-05,
    "model_type": "gpt2", "n_ctx": 1024, "n_embd": 768, "n_head": 12, "n_layer": 12, "n_positions": 1024,
    "resid_pdrop": 0.1, "summary_activation": null, "task_specific_params": {"text-generation": {"max_length": 50}},
    "vocab_size": 50257})");
}

ModelConfig read(const json& root) { return config_from_json(root, "config.json"); }
std::string says(const json& root) {
  return error_of([&] { return read(root); });
}

json changed(json root, const char* key, const json& value) {
  root[key] = value;
  return root;
}

TEST(ConfigJson, ReadsGpt2) {
  const ModelConfig config = read(gpt2());
  const ModelConfig expected{
      .n_layer = 12, .n_head = 12, .n_embd = 768, .n_positions = 1024, .vocab_size = 50257, .dropout = 0.1};
  EXPECT_EQ(config, expected);
  EXPECT_EQ(count_parameters(config).total(), 124'439'808);  // the well-known size of GPT-2 124M
}

TEST(ConfigJson, ReadsNanoGpt) {
  const ModelConfig config = read({{"n_layer", 4},
                                   {"n_head", 4},
                                   {"n_embd", 128},
                                   {"block_size", 64},
                                   {"vocab_size", 65},
                                   {"bias", false},
                                   {"dropout", 0.0}});
  const ModelConfig expected{.n_layer = 4,
                             .n_head = 4,
                             .n_embd = 128,
                             .n_positions = 64,
                             .vocab_size = 65,
                             .activation = Activation::gelu_erf,
                             .bias = false};
  EXPECT_EQ(config, expected);
}

TEST(ConfigJson, ReadsLlamaSpellingOfWhatIsHere) {
  const ModelConfig config = read({{"num_hidden_layers", 2},
                                   {"num_attention_heads", 4},
                                   {"num_key_value_heads", 4},
                                   {"hidden_size", 64},
                                   {"max_position_embeddings", 32},
                                   {"intermediate_size", 100},
                                   {"vocab_size", 65},
                                   {"hidden_act", "relu"},
                                   {"attention_dropout", 0.0},
                                   {"layer_norm_eps", 1e-6},
                                   {"rope_scaling", nullptr},
                                   {"tie_word_embeddings", false}});
  const ModelConfig expected{.n_layer = 2,
                             .n_head = 4,
                             .n_embd = 64,
                             .n_positions = 32,
                             .vocab_size = 65,
                             .n_inner = 100,
                             .activation = Activation::relu,
                             .layer_norm_epsilon = 1e-6,
                             .tie_word_embeddings = false};
  EXPECT_EQ(config, expected);
}

json llama() {
  return {{"model_type", "llama"},    {"num_hidden_layers", 2}, {"num_attention_heads", 8},
          {"num_key_value_heads", 2}, {"hidden_size", 64},      {"max_position_embeddings", 32},
          {"intermediate_size", 100}, {"vocab_size", 65},       {"hidden_act", "silu"},
          {"rms_norm_eps", 1e-5},     {"rope_theta", 500000.0}, {"attention_bias", false},
          {"attention_dropout", 0.0}, {"mlp_bias", false},      {"tie_word_embeddings", false},
          {"rope_scaling", nullptr},  {"head_dim", 8},          {"pretraining_tp", 1},
          {"bos_token_id", 1},        {"use_cache", true},      {"torch_dtype", "bfloat16"}};
}

ModelConfig llama_config() {
  return {.n_layer = 2,
          .n_head = 8,
          .n_kv_head = 2,
          .n_embd = 64,
          .n_positions = 32,
          .vocab_size = 65,
          .n_inner = 100,
          .activation = Activation::silu,
          .layer_norm_epsilon = 1e-5,
          .norm = NormKind::rmsnorm,
          .mlp = MlpKind::gated,
          .position = PositionKind::rope,
          .rope_theta = 500000.0,
          .tie_word_embeddings = false,
          .bias = false};
}

TEST(ConfigJson, ReadsLlama) {
  EXPECT_EQ(read(llama()), llama_config());
  ModelConfig expected = llama_config();
  // All heads have keys of their own: the same as no key about it.
  expected.n_kv_head = 0;
  EXPECT_EQ(read(changed(llama(), "num_key_value_heads", 8)), expected);
  expected = llama_config();
  expected.tie_word_embeddings = true;
  EXPECT_EQ(read(changed(llama(), "tie_word_embeddings", true)), expected);
  EXPECT_EQ(read(changed(llama(), "model_type", "mistral")), llama_config());

  const json scaling{{"rope_type", "llama3"},
                     {"factor", 8.0},
                     {"low_freq_factor", 1.0},
                     {"high_freq_factor", 4.0},
                     {"original_max_position_embeddings", 8192}};
  expected = llama_config();
  expected.rope_scaling = {.kind = kernels::RopeScaling::llama3, .factor = 8};
  EXPECT_EQ(read(changed(llama(), "rope_scaling", scaling)), expected);
  // Newer files keep both in one object.
  json newer = llama();
  newer.erase("rope_theta");
  newer.erase("rope_scaling");
  newer["rope_parameters"] = scaling;
  newer["rope_parameters"]["rope_theta"] = 500000.0;
  EXPECT_EQ(read(newer), expected);
  newer["rope_parameters"] = {{"rope_theta", 500000.0}, {"rope_type", "default"}};
  EXPECT_EQ(read(newer), llama_config());
  expected.rope_scaling = {.kind = kernels::RopeScaling::linear, .factor = 2};
  EXPECT_EQ(read(changed(llama(), "rope_scaling", {{"type", "linear"}, {"factor", 2}})), expected);
}

TEST(ConfigJson, WritesLlamaSoThatItComesBack) {
  ModelConfig config = llama_config();
  for (const int64_t kv : {0, 2}) {
    for (const bool tied : {false, true}) {
      for (const bool bias : {false, true}) {
        config.n_kv_head = kv;
        config.tie_word_embeddings = tied;
        config.bias = bias;
        config.rope_scaling =
            tied ? RopeScalingConfig{.kind = kernels::RopeScaling::llama3, .factor = 8} : RopeScalingConfig{};
        const json written = config_to_json(config);
        EXPECT_EQ(written["model_type"], "llama");
        EXPECT_EQ(read(written), config);
      }
    }
  }
  config.n_inner = 0;
  EXPECT_EQ(read(config_to_json(config)).mlp_width(), config.mlp_width());
  // One switch away it is no Llama, and says so.
  config.residual = false;
  EXPECT_EQ(config_to_json(config)["model_type"], "headlight");
  EXPECT_EQ(read(config_to_json(config)), config);
}

TEST(ConfigJson, RefusesLlamasThatDoNotFit) {
  struct Wrong {
    const char* key;
    json value;
    const char* says;
  };
  const json yarn{{"rope_type", "yarn"}, {"factor", 4.0}};
  const std::vector<Wrong> wrong{
      {"attention_bias", true, "attention_bias = true and mlp_bias = false differ"},
      {"attention_bias", 1, "attention_bias = “1” is not true or false"},
      {"head_dim", 16, "head_dim = “16”, but here heads share the width: n_embd / n_head = 8"},
      {"rope_scaling", yarn,
       "rope_scaling of type “\"yarn\"” is not in this version; default, linear and llama3 are"},
      {"rope_scaling", {{"factor", 2}}, "it lacks its rope_type"},
      {"rope_scaling", {{"rope_type", "linear"}}, "rope_scaling.factor is missing; it takes a number"},
      {"rope_scaling",
       {{"rope_type", "linear"}, {"factor", 0.5}},
       "rope_scaling.factor = 0.5 cannot be used"},
      {"rope_scaling", {{"rope_type", "linear"}, {"factor", "2"}}, "rope_scaling.factor is “\"2\"”"},
      {"rope_scaling", {{"rope_type", "llama3"}, {"factor", 2}}, "rope_scaling.low_freq_factor is missing"},
      {"rope_scaling", 8, "it is null or an object with a rope_type"},
      {"rope_theta", 0.5, "rope_theta = 0.5 cannot be used: it must be between 1 and 1e12"},
      {"rope_theta", "big", "rope_theta = “big” cannot be used: it takes a number"},
      {"sliding_window", 4096, "sliding-window attention is not in this version"},
      {"num_attention_heads", 64,
       "position = rope turns pairs of a head's elements, but n_embd / n_head = 1 is odd"},
      {"num_key_value_heads", 3, "n_head = 8 is not divisible by n_kv_head = 3"},
      {"intermediate_size", nullptr, "intermediate_size"},
      {"hidden_act", "quick_gelu", "quick GELU is not in this version"},
      {"norm", "layernorm", "rms_norm_eps = “1e-05” belongs to RMSNorm"},
      {"position", "learned", "belongs to rotary positions"},
      {"logits_scaling", 8.0, "scaled logits are not in this version; it must be 1"},
  };
  for (const Wrong& w : wrong) {
    json root = changed(llama(), w.key, w.value);
    if (std::string(w.key) == "num_attention_heads") root.erase("head_dim");
    if (w.value.is_null()) root.erase(w.key);
    EXPECT_SAYS(says(root), w.says);
  }
}

TEST(ConfigJson, ReadsTransformerLens) {
  const ModelConfig config = read({{"n_layers", 2},
                                   {"n_heads", 4},
                                   {"d_model", 64},
                                   {"d_head", 16},
                                   {"n_ctx", 32},
                                   {"d_vocab", 50},
                                   {"d_mlp", 256},
                                   {"act_fn", "gelu"},
                                   {"eps", 1e-5},
                                   {"normalization_type", "LN"},
                                   {"positional_embedding_type", "standard"},
                                   {"attention_dir", "causal"},
                                   {"attn_only", true},
                                   {"use_attn_scale", false},
                                   {"attn_scores_soft_cap", -1.0},
                                   {"gated_mlp", false},
                                   {"window_size", nullptr}});
  const ModelConfig expected{.n_layer = 2,
                             .n_head = 4,
                             .n_embd = 64,
                             .n_positions = 32,
                             .vocab_size = 50,
                             .n_inner = 256,
                             .activation = Activation::gelu_erf,
                             .mlp = MlpKind::none,
                             .scale_attn_weights = false};
  EXPECT_EQ(config, expected);
  EXPECT_EQ(read(changed(gpt2(), "normalization_type", nullptr)).norm, NormKind::none);
}

TEST(ConfigJson, ActivationsHaveManyNames) {
  const auto activation = [](const char* name) {
    return read(changed(gpt2(), "activation_function", name)).activation;
  };
  EXPECT_EQ(activation("gelu_new"), Activation::gelu_tanh);
  EXPECT_EQ(activation("gelu_pytorch_tanh"), Activation::gelu_tanh);
  EXPECT_EQ(activation("gelu"), Activation::gelu_erf);
  EXPECT_EQ(activation("relu"), Activation::relu);
}

TEST(ConfigJson, WritesWhatItReads) {
  std::vector<ModelConfig> configs;
  for (const Preset& preset : presets()) configs.push_back(preset.config);
  ModelConfig odd{.n_layer = 3, .n_head = 3, .n_embd = 9, .n_positions = 5, .vocab_size = 7, .n_inner = 11};
  odd.activation = Activation::relu;
  odd.layer_norm_epsilon = 1e-6;
  odd.norm = NormKind::none;
  odd.norm_position = NormPosition::post;
  odd.final_norm = false;
  odd.mlp = MlpKind::none;
  odd.position = PositionKind::none;
  odd.mask = AttentionMask::finite;
  odd.residual = false;
  odd.scale_attn_weights = false;
  odd.temperature = 0.3;
  odd.tie_word_embeddings = false;
  odd.bias = false;
  odd.dropout = 0.25;
  odd.initializer_range = 0.1;
  configs.push_back(odd);
  for (const AttentionMask mask : {AttentionMask::none, AttentionMask::zero}) {
    odd.mask = mask;
    odd.activation = Activation::gelu_erf;
    configs.push_back(odd);
  }
  for (const ModelConfig& config : configs) {
    const json written = config_to_json(config);
    EXPECT_EQ(read(written), config);
    EXPECT_EQ(read(parse_json(written.dump(), "text")), config);
  }
}

TEST(ConfigJson, CallsOnlyAGpt2AGpt2) {
  const ModelConfig config = read(gpt2());
  const json written = config_to_json(config);
  EXPECT_EQ(written.at("model_type"), "gpt2");
  EXPECT_EQ(written.at("architectures").at(0), "GPT2LMHeadModel");
  EXPECT_TRUE(written.at("n_inner").is_null());
  EXPECT_EQ(written.at("n_ctx"), 1024);
  EXPECT_EQ(written.at("resid_pdrop"), 0.1);
  ModelConfig other = config;
  other.norm_position = NormPosition::post;
  EXPECT_EQ(config_to_json(other).at("model_type"), "headlight");
  other = config;
  other.bias = false;
  EXPECT_EQ(config_to_json(other).at("model_type"), "headlight");
}

TEST(ConfigJson, SaysWhichKeyIsMissing) {
  for (const char* key : {"n_layer", "n_head", "n_embd", "vocab_size"}) {
    json root = gpt2();
    root.erase(key);
    EXPECT_SAYS(says(root), std::string("config.json: ") + key + " is missing; a value that would work is");
  }
  json root = gpt2();
  root.erase("n_positions");
  EXPECT_EQ(says(root), "no error");  // n_ctx says the same
  root.erase("n_ctx");
  EXPECT_SAYS(says(root), "config.json: n_positions is missing; a value that would work is 64");
  EXPECT_SAYS(says(json::object()), "n_layer is missing");
}

TEST(ConfigJson, SaysWhichValueIsAbsurd) {
  struct Absurd {
    const char* key;
    json value;
    const char* says;
  };
  const std::vector<Absurd> absurd{
      {"n_layer", 0, "n_layer = 0 cannot be used: it must lie between 1 and 1000, such as 2"},
      {"n_layer", -3, "n_layer = -3 cannot be used"},
      {"n_layer", 1001, "n_layer = 1001 cannot be used"},
      {"n_layer", "two", "n_layer = “two” cannot be used: it takes a whole number, such as 2"},
      {"n_layer", 2.5, "n_layer = “2.5” cannot be used"},
      {"n_layer", nullptr, "n_layer = “null” cannot be used"},
      {"n_layer", json::array({2}), "n_layer = “[2]” cannot be used"},
      {"n_layer", UINT64_MAX, "it is far too large; use one such as 2"},
      {"n_layer", INT64_MAX, "n_layer = 9223372036854775807 cannot be used"},
      {"n_layer", INT64_MIN, "cannot be used: it must lie between"},
      {"n_head", 0, "n_head = 0 cannot be used"},
      {"n_head", 5,
       "n_embd = 768 is not divisible by n_head = 5, so the heads cannot share it; use n_head = 4 or n_embd "
       "= 770"},
      {"n_embd", 0, "n_embd = 0 cannot be used"},
      {"n_embd", 1000000, "n_embd = 1000000 cannot be used"},
      {"n_embd", 770, "n_embd = 770 is not divisible by n_head = 12"},
      {"vocab_size", 0, "vocab_size = 0 cannot be used"},
      {"vocab_size", 100000000, "vocab_size = 100000000 cannot be used"},
      {"n_inner", -1, "n_inner = -1 cannot be used"},
      {"n_inner", "wide", "n_inner = “wide” cannot be used"},
      {"layer_norm_epsilon", 0, "layer_norm_epsilon = 0 cannot be used: it must be above 0"},
      {"layer_norm_epsilon", -1e-5, "layer_norm_epsilon = -1e-05 cannot be used"},
      {"layer_norm_epsilon", "small", "it takes a number, such as 1e-5"},
      {"initializer_range", -1, "initializer_range = -1 cannot be used"},
      {"attention_temperature", 0, "attention_temperature = 0 cannot be used: it must be above 0"},
      {"activation_function", "tanh",
       "activation_function = “tanh” cannot be used: it is one of gelu_new, gelu, relu"},
      {"activation_function", 3, "activation_function = “3” cannot be used"},
      {"norm", "batchnorm", "norm = “batchnorm” cannot be used: it is one of layernorm, rmsnorm, none"},
      {"norm_position", "middle", "it is one of pre, post"},
      {"mask", "future", "it is one of causal, none, zero, finite"},
      {"bias", "yes", "bias = “yes” cannot be used: it is true or false"},
      {"tie_word_embeddings", 2, "tie_word_embeddings = “2” cannot be used"},
      {"n_ctx", 512, "n_positions = “1024” and n_ctx = “512” name the same thing but differ"},
      {"resid_pdrop", 0.2, "resid_pdrop = 0.2 and embd_pdrop = 0.1 differ, but a model has one dropout here"},
      {"resid_pdrop", "none", "resid_pdrop takes a number"},
  };
  for (const Absurd& a : absurd) {
    const std::string sentence = says(changed(gpt2(), a.key, a.value));
    EXPECT_SAYS(sentence, a.says);
    EXPECT_SAYS(sentence, "config.json: ");
  }
  json root = gpt2();
  for (const char* key : {"resid_pdrop", "embd_pdrop", "attn_pdrop"}) root[key] = 1.0;
  EXPECT_SAYS(says(root), "dropout = 1 cannot be used: it must be at least 0 and below 1, such as 0.1");
  root = gpt2();
  root["n_layer"] = 1000;
  root["n_embd"] = 49152;
  EXPECT_SAYS(says(root), "parameters, more than the 100000000000 that are allowed");
  for (const json& other : {json(), json(3), json::array(), json("gpt2")})
    EXPECT_SAYS(says(other), "config.json holds");
}

TEST(ConfigJson, RefusesFeaturesByName) {
  struct Later {
    const char* key;
    json value;
    const char* says;
  };
  const std::vector<Later> later{
      {"normalization_type", "RMSPre", "RMSNorm folded into the next layer is not in this version"},
      {"rms_norm_eps", 1e-5, "rms_norm_eps = “1e-05” belongs to RMSNorm; add norm = rmsnorm"},
      {"use_rms_norm", true, "write norm = rmsnorm"},
      {"position", "alibi", "ALiBi positions are not in this version"},
      {"position", "sinusoidal", "sinusoidal positions are not in this version"},
      {"positional_embedding_type", "rotary", "it is one of learned, rope, none"},
      {"rope_theta", 10000.0, "rope_theta = “10000.0” belongs to rotary positions; add position = rope"},
      {"rotary_dim", 64, "write position = rope"},
      {"gated_mlp", true, "write mlp = gated"},
      {"partial_rotary_factor", 0.5, "partial rotary positions are not in this version; it must be 1"},
      {"final_logit_softcapping", 30.0, "soft-capping of scores is not in this version"},
      {"activation_function", "relu2", "squared ReLU is not in this version"},
      {"mask", "window", "sliding-window attention is not in this version"},
      {"sliding_window", 4096, "sliding-window attention is not in this version"},
      {"num_local_experts", 8, "a mixture of experts is not in this version"},
      {"attention", "linear", "attention = “\"linear\"” is not in this version; use softmax"},
      {"attention_dir", "bidirectional", "use causal"},
      {"n_kv_head", 5,
       "n_head = 12 is not divisible by n_kv_head = 5, so the heads cannot share keys; use n_kv_head = 4"},
      {"num_key_value_heads", 24, "n_kv_head = 24 cannot be used: it must lie between 0 and 12"},
      {"head_dim", 128, "head_dim = “128”, but here heads share the width: n_embd / n_head = 64"},
      {"scale_attn_by_inverse_layer_idx", true, "scaling attention by layer is not in this version"},
      {"add_cross_attention", true, "cross-attention is not in this version"},
      {"model_type", "llama", "intermediate_size is missing"},
      {"model_type", "qwen2", "a model of type qwen2 has biases on queries, keys and values alone"},
      {"model_type", "bloom", "a model of type bloom has ALiBi positions"},
      {"model_type", "whatever", "is not known to this version; GPT-2 and Llama models can be loaded"},
      {"model_type", 3, "is not known to this version"},
  };
  for (const Later& l : later) EXPECT_SAYS(says(changed(gpt2(), l.key, l.value)), l.says);
}

}  // namespace
}  // namespace headlight
