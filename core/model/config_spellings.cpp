// See config_spellings.h.
#include "core/model/config_spellings.h"

#include <array>
#include <nlohmann/json.hpp>
#include <string>

#include "core/base/error.h"
#include "core/base/utf8.h"

namespace headlight {

using nlohmann::json;

namespace {

struct Spelling {
  std::string_view key;
  std::string_view other;
};
constexpr std::array<Spelling, 32> spellings{{
    {"n_layer", "n_layers"},
    {"n_layer", "num_hidden_layers"},
    {"n_layer", "num_layers"},
    {"n_head", "n_heads"},
    {"n_head", "num_attention_heads"},
    {"n_head", "num_heads"},
    {"n_kv_head", "num_key_value_heads"},
    {"n_kv_head", "n_key_value_heads"},
    {"n_embd", "d_model"},
    {"n_embd", "hidden_size"},
    {"n_embd", "n_embed"},
    {"n_positions", "n_ctx"},
    {"n_positions", "block_size"},
    {"n_positions", "max_position_embeddings"},
    {"n_positions", "context_length"},
    {"vocab_size", "d_vocab"},
    {"vocab_size", "n_vocab"},
    {"n_inner", "d_mlp"},
    {"n_inner", "intermediate_size"},
    {"activation_function", "act_fn"},
    {"activation_function", "hidden_act"},
    {"layer_norm_epsilon", "eps"},
    {"layer_norm_epsilon", "layer_norm_eps"},
    {"layer_norm_epsilon", "rms_norm_eps"},
    {"rope_theta", "rope_parameters"},
    {"rope_scaling", "rope_parameters"},
    {"norm", "normalization_type"},
    {"mlp", "attn_only"},
    {"position", "positional_embedding_type"},
    {"scale_attn_weights", "use_attn_scale"},
    {"initializer_range", "initializer_std"},
    {"initializer_range", "init_std"},
}};

constexpr std::array<const char*, 6> dropouts{"dropout",    "resid_pdrop",    "embd_pdrop",
                                              "attn_pdrop", "hidden_dropout", "attention_dropout"};

/// A value of ours that a later version may know, and the subject and verb of the sentence that refuses it.
struct LaterValue {
  std::string_view key;
  std::string_view value;
  std::string_view feature;
};
constexpr std::array<LaterValue, 13> later_values{{
    {"norm", "RMSPre", "RMSNorm folded into the next layer is"},
    {"norm", "LNPre", "LayerNorm folded into the next layer is"},
    {"position", "sinusoidal", "sinusoidal positions are"},
    {"position", "alibi", "ALiBi positions are"},
    {"position", "shortformer", "Shortformer positions are"},
    {"mask", "window", "sliding-window attention is"},
    {"mask", "dilated", "dilated attention is"},
    {"mask", "global", "attention with global tokens is"},
    {"mask", "block", "block attention is"},
    {"activation_function", "relu2", "squared ReLU is"},
    {"activation_function", "quick_gelu", "quick GELU is"},
    {"activation_function", "solu_ln", "SoLU is"},
    {"activation_function", "gelu_python", "GELU in Python is"},
}};

/// What makes the models of a family different.
struct Family {
  std::string_view model_type;
  std::string_view features;
};
constexpr std::array<Family, 12> families{{
    {"mixtral", "a mixture of experts"},
    {"qwen2", "biases on queries, keys and values alone"},
    {"qwen3", "normalised queries and keys"},
    {"gemma", "RMSNorm gains that count from 1 and scaled embeddings"},
    {"gemma2", "RMSNorm gains that count from 1 and soft-capped scores"},
    {"phi3", "projections fused in a layout of its own"},
    {"gpt_neox", "partial rotary positions and parallel blocks"},
    {"gptj", "partial rotary positions and parallel blocks"},
    {"gpt_neo", "sliding-window attention"},
    {"bloom", "ALiBi positions"},
    {"mpt", "ALiBi positions"},
    {"bert", "attention to the future"},
}};

/// TransformerLens writes -1 for "none" in numbers.
bool is_off(const json& value) {
  return value.is_null() || value == false || value == 0 || value == -1 || value == "";
}

/// Keys that ask for a feature of a later version when they stand in a config and are not off (null, false,
/// 0).
struct LaterKey {
  const char* key;
  std::string_view feature;
};
constexpr std::array<LaterKey, 19> later_keys{{
    {"rotary_dim", "rotary positions by this key (write position = rope) are"},
    {"rotary_pct", "rotary positions by this key (write position = rope) are"},
    {"rotary_emb_base", "rotary positions by this key (write position = rope) are"},
    {"use_rms_norm", "RMSNorm by this key (write norm = rmsnorm) is"},
    {"final_rms", "RMSNorm by this key (write norm = rmsnorm) is"},
    {"gated_mlp", "the gated MLP by this key (write mlp = gated) is"},
    {"alibi", "ALiBi positions are"},
    {"sliding_window", "sliding-window attention is"},
    {"use_local_attn", "sliding-window attention is"},
    {"window_size", "sliding-window attention is"},
    {"parallel_attn_mlp", "the parallel block is"},
    {"parallel_attn", "the parallel block is"},
    {"use_parallel_residual", "the parallel block is"},
    {"num_experts", "a mixture of experts is"},
    {"num_local_experts", "a mixture of experts is"},
    {"add_cross_attention", "cross-attention is"},
    {"is_encoder_decoder", "an encoder is"},
    {"scale_attn_by_inverse_layer_idx", "scaling attention by layer is"},
    {"use_qk_norm", "normalised queries and keys are"},
}};

/// Factors that are 1 in every model that this version computes.
constexpr std::array<LaterKey, 5> neutral_keys{{
    {"partial_rotary_factor", "partial rotary positions are"},
    {"embedding_multiplier", "scaled embeddings are"},
    {"residual_multiplier", "scaled residuals are"},
    {"logits_scaling", "scaled logits are"},
    {"attention_multiplier", "scaled attention is"},
}};

constexpr std::array<const char*, 3> soft_caps{"attn_scores_soft_cap", "attn_logit_softcapping",
                                               "final_logit_softcapping"};

bool is_llama_family(const json& root) {
  const auto found = root.find("model_type");
  return found != root.end() && (*found == "llama" || *found == "mistral");
}

}  // namespace

std::vector<std::string_view> spellings_of(std::string_view key) {
  std::vector<std::string_view> out{key};
  for (const Spelling& spelling : spellings) {
    if (spelling.key == key) out.push_back(spelling.other);
  }
  return out;
}

std::span<const char* const> dropout_spellings() { return dropouts; }

json translated(std::string_view key, std::string_view spelling, const json& value, std::string_view where) {
  if (spelling == "normalization_type") {
    if (value.is_null()) return "none";
    if (value == "LN") return "layernorm";
  }
  if (spelling == "normalization_type" && value == "RMS") return "rmsnorm";
  if (spelling == "rope_parameters") {
    if (!value.is_object()) {
      fail("{}: rope_parameters = {} cannot be used: it is an object with rope_theta and rope_type", where,
           quote(value.dump()));
    }
    if (key == "rope_theta") return value.value("rope_theta", json(10000.0));
    json scaling = value;
    scaling.erase("rope_theta");
    if (!scaling.contains("rope_type") || scaling["rope_type"] == "default") return nullptr;
    return scaling;
  }
  if (spelling == "attn_only") {
    if (!value.is_boolean())
      fail("{}: attn_only = {} cannot be used: it is true or false", where, quote(value.dump()));
    return value == true ? "none" : "plain";
  }
  if (spelling == "positional_embedding_type" && value == "standard") return "learned";
  // A null size means the default, F = 4·C; so does -1 in TransformerLens.
  if (key == "n_inner" && (value.is_null() || (spelling == "d_mlp" && value == -1))) return 0;
  return value;
}

std::string_view feature_of_value(std::string_view key, std::string_view value) {
  for (const LaterValue& later : later_values) {
    if (later.key == key && later.value == value) return later.feature;
  }
  return "";
}

ModelConfig defaults_of(const json& root) {
  ModelConfig config;
  if (!is_llama_family(root)) return config;
  config.norm = NormKind::rmsnorm;
  config.mlp = MlpKind::gated;
  config.position = PositionKind::rope;
  config.activation = Activation::silu;
  config.layer_norm_epsilon = 1e-6;
  config.tie_word_embeddings = false;
  config.bias = false;
  return config;
}

void read_llama_biases(ModelConfig& config, const json& root, std::string_view where) {
  if (!is_llama_family(root)) return;
  const auto read = [&](const char* key) {
    const auto found = root.find(key);
    if (found == root.end() || found->is_null()) return false;
    if (!found->is_boolean()) fail("{}: {} = {} is not true or false", where, key, quote(found->dump()));
    return found->get<bool>();
  };
  const bool attention = read("attention_bias"), mlp = read("mlp_bias");
  if (attention != mlp) {
    fail(
        "{}: attention_bias = {} and mlp_bias = {} differ, but here all linear layers have a bias or none "
        "has; "
        "such a model is not in this version",
        where, attention, mlp);
  }
  if (root.contains("bias") && config.bias != attention) {
    fail("{}: bias = {} and attention_bias = {} differ; keep one of them", where, config.bias, attention);
  }
  config.bias = attention;
  if (!root.contains("n_inner") && !root.contains("intermediate_size")) {
    fail("{}: intermediate_size is missing; a value that would work is {}", where, 4 * config.n_embd);
  }
}

bool uses_nanogpt_spelling(const json& root) {
  return root.contains("block_size") && !root.contains("activation_function") && !root.contains("act_fn") &&
         !root.contains("hidden_act");
}

void refuse_other_architectures(const json& root, std::string_view where) {
  if (const auto found = root.find("model_type");
      found != root.end() && *found != "gpt2" && *found != "headlight" && !is_llama_family(root)) {
    for (const Family& family : families) {
      if (*found == family.model_type) {
        fail(
            "{}: a model of type {} has {}, which this version does not compute; GPT-2 and Llama models can "
            "be "
            "loaded",
            where, family.model_type, family.features);
      }
    }
    fail("{}: a model of type {} is not known to this version; GPT-2 and Llama models can be loaded", where,
         quote(found->dump()));
  }
  for (const LaterKey& later : later_keys) {
    if (const auto found = root.find(later.key); found != root.end() && !is_off(*found)) {
      fail("{}: {} = {}: {} not in this version; GPT-2 and Llama models can be loaded", where, later.key,
           quote(found->dump()), later.feature);
    }
  }
  for (const LaterKey& neutral : neutral_keys) {
    if (const auto found = root.find(neutral.key); found != root.end() && !is_off(*found) && *found != 1) {
      fail("{}: {} = {}: {} not in this version; it must be 1", where, neutral.key, quote(found->dump()),
           neutral.feature);
    }
  }
  for (const char* key : soft_caps) {
    if (const auto found = root.find(key); found != root.end() && !is_off(*found)) {
      fail("{}: {} = {}: soft-capping of scores is not in this version; it must be null", where, key,
           quote(found->dump()));
    }
  }
  if (const auto found = root.find("attention");
      found != root.end() && found->is_string() && *found != "softmax") {
    fail("{}: attention = {} is not in this version; use softmax", where, quote(found->dump()));
  }
  if (const auto found = root.find("attention_dir"); found != root.end() && *found != "causal") {
    fail("{}: attention_dir = {} is not in this version; use causal", where, quote(found->dump()));
  }
}

void check_consistency(const ModelConfig& config, const json& root, std::string_view where) {
  // Keys of rotary positions and RMSNorm ask for them, also where no key says so in as many words.
  if (root.contains("rms_norm_eps") && !root["rms_norm_eps"].is_null() && config.norm != NormKind::rmsnorm) {
    fail("{}: rms_norm_eps = {} belongs to RMSNorm; add norm = rmsnorm or write layer_norm_epsilon", where,
         quote(root["rms_norm_eps"].dump()));
  }
  for (const char* key : {"rope_theta", "rope_scaling", "rope_parameters"}) {
    const auto found = root.find(key);
    if (found != root.end() && !found->is_null() && config.position != PositionKind::rope) {
      fail("{}: {} = {} belongs to rotary positions; add position = rope or leave it out", where, key,
           quote(found->dump()));
    }
  }
  for (const char* key : {"d_head", "head_dim"}) {
    const auto found = root.find(key);
    if (found == root.end() || found->is_null()) continue;
    if (config.n_head < 1 || config.n_embd % config.n_head != 0)
      continue;  // validate() says what is wrong with these
    if (*found != config.head_size()) {
      fail("{}: {} = {}, but here heads share the width: n_embd / n_head = {}; use that", where, key,
           quote(found->dump()), config.head_size());
    }
  }
}

}  // namespace headlight
