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
constexpr std::array<Spelling, 27> spellings{{
    {"n_layer", "n_layers"},
    {"n_layer", "num_hidden_layers"},
    {"n_layer", "num_layers"},
    {"n_head", "n_heads"},
    {"n_head", "num_attention_heads"},
    {"n_head", "num_heads"},
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
constexpr std::array<LaterValue, 19> later_values{{
    {"norm", "rmsnorm", "RMSNorm is"},
    {"norm", "RMS", "RMSNorm is"},
    {"norm", "RMSPre", "RMSNorm is"},
    {"norm", "LNPre", "LayerNorm folded into the next layer is"},
    {"mlp", "gated", "the gated MLP is"},
    {"position", "sinusoidal", "sinusoidal positions are"},
    {"position", "rope", "rotary positions (RoPE) are"},
    {"position", "rotary", "rotary positions (RoPE) are"},
    {"position", "alibi", "ALiBi positions are"},
    {"position", "shortformer", "Shortformer positions are"},
    {"mask", "window", "sliding-window attention is"},
    {"mask", "dilated", "dilated attention is"},
    {"mask", "global", "attention with global tokens is"},
    {"mask", "block", "block attention is"},
    {"activation_function", "silu", "SiLU is"},
    {"activation_function", "swish", "SiLU is"},
    {"activation_function", "relu2", "squared ReLU is"},
    {"activation_function", "quick_gelu", "quick GELU is"},
    {"activation_function", "solu_ln", "SoLU is"},
}};

/// What makes the models of a family different.
struct Family {
  std::string_view model_type;
  std::string_view features;
};
constexpr std::array<Family, 14> families{{
    {"llama", "RMSNorm, rotary positions and a gated MLP"},
    {"mistral", "RMSNorm, rotary positions and a gated MLP"},
    {"mixtral", "RMSNorm, rotary positions and experts"},
    {"qwen2", "RMSNorm, rotary positions and a gated MLP"},
    {"qwen3", "RMSNorm, rotary positions and a gated MLP"},
    {"gemma", "RMSNorm, rotary positions and a gated MLP"},
    {"gemma2", "RMSNorm, rotary positions and a gated MLP"},
    {"phi3", "RMSNorm, rotary positions and a gated MLP"},
    {"gpt_neox", "rotary positions and parallel blocks"},
    {"gptj", "rotary positions and parallel blocks"},
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
constexpr std::array<LaterKey, 24> later_keys{{
    {"rms_norm_eps", "RMSNorm is"},
    {"use_rms_norm", "RMSNorm is"},
    {"final_rms", "RMSNorm is"},
    {"rope_theta", "rotary positions (RoPE) are"},
    {"rope_scaling", "rotary positions (RoPE) are"},
    {"rotary_dim", "rotary positions (RoPE) are"},
    {"rotary_pct", "rotary positions (RoPE) are"},
    {"rotary_emb_base", "rotary positions (RoPE) are"},
    {"alibi", "ALiBi positions are"},
    {"gated_mlp", "the gated MLP is"},
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
    {"attn_scores_soft_cap", "soft-capping of scores is"},
    {"attn_logit_softcapping", "soft-capping of scores is"},
    {"use_qk_norm", "normalised queries and keys are"},
}};

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

bool uses_nanogpt_spelling(const json& root) {
  return root.contains("block_size") && !root.contains("activation_function") && !root.contains("act_fn") &&
         !root.contains("hidden_act");
}

void refuse_other_architectures(const json& root, std::string_view where) {
  if (const auto found = root.find("model_type");
      found != root.end() && *found != "gpt2" && *found != "headlight") {
    for (const Family& family : families) {
      if (*found == family.model_type) {
        fail("{}: a model of type {} has {}, which are not in this version; GPT-2 models can be loaded",
             where, family.model_type, family.features);
      }
    }
    fail("{}: a model of type {} is not known to this version; GPT-2 models can be loaded", where,
         quote(found->dump()));
  }
  for (const LaterKey& later : later_keys) {
    if (const auto found = root.find(later.key); found != root.end() && !is_off(*found)) {
      fail("{}: {} = {}: {} not in this version; GPT-2 models can be loaded", where, later.key,
           quote(found->dump()), later.feature);
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
  for (const char* key : {"n_kv_head", "num_key_value_heads", "n_key_value_heads"}) {
    const auto found = root.find(key);
    if (found != root.end() && !found->is_null() && *found != config.n_head) {
      fail("{}: {} = {} differs from n_head = {}: sharing keys between heads is not in this version; use {}",
           where, key, quote(found->dump()), config.n_head, config.n_head);
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
