// What a model is made of. Read and written as config.json (core/model/config_json.h); honoured by the
// builder (core/model/builder.h); changed by the switches across the top of the window.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "kernels/rope.h"

namespace headlight {

enum class NormKind { layernorm, rmsnorm, none };
enum class NormPosition { pre, post };
/// gated: W_2(act(W_1 x) ⊙ W_3 x).
enum class MlpKind { plain, gated, none };
enum class PositionKind { learned, rope, none };
enum class Activation { gelu_tanh, gelu_erf, relu, silu };
/// causal: −∞. zero: the wrong fill. finite: −1e9. none: no mask.
enum class AttentionMask { causal, none, zero, finite };

/// How rotary positions reach beyond the context that they were trained on; keys as in Hugging Face's
/// rope_scaling.
struct RopeScalingConfig {
  kernels::RopeScaling kind = kernels::RopeScaling::none;  ///< "rope_type": default | linear | llama3
  double factor = 1.0;                                     ///< "factor"
  double low_freq_factor = 1.0;                            ///< "low_freq_factor", of llama3
  double high_freq_factor = 4.0;                           ///< "high_freq_factor", of llama3
  int64_t original_positions = 8192;                       ///< "original_max_position_embeddings", of llama3
  bool operator==(const RopeScalingConfig&) const = default;
};

/// A decoder-only Transformer. Keys in config.json are the names in quotes; where Hugging Face's GPT2Config
/// has one, it is that one.
struct ModelConfig {
  int64_t n_layer = 2;       ///< "n_layer": L, blocks
  int64_t n_head = 4;        ///< "n_head": H; divides n_embd
  int64_t n_kv_head = 0;     ///< "n_kv_head": H_kv, heads of keys and values; 0 (null): H
  int64_t n_embd = 64;       ///< "n_embd": C, width
  int64_t n_positions = 64;  ///< "n_positions": longest T
  int64_t vocab_size = 64;   ///< "vocab_size": V
  int64_t n_inner = 0;       ///< "n_inner": F, MLP width; 0 (null in JSON): 4·C
  Activation activation = Activation::gelu_tanh;   ///< "activation_function": gelu_new | gelu | relu | silu
  double layer_norm_epsilon = 1e-5;                ///< "layer_norm_epsilon"
  NormKind norm = NormKind::layernorm;             ///< "norm": layernorm | rmsnorm | none
  NormPosition norm_position = NormPosition::pre;  ///< "norm_position": pre | post
  bool final_norm = true;        ///< "final_norm": a norm before the unembedding (pre-LN only)
  MlpKind mlp = MlpKind::plain;  ///< "mlp": plain | gated | none
  PositionKind position = PositionKind::learned;  ///< "position": learned | rope | none
  double rope_theta = 10000.0;                    ///< "rope_theta": base of the rotary angles
  RopeScalingConfig rope_scaling = {};            ///< "rope_scaling"
  AttentionMask mask = AttentionMask::causal;     ///< "mask": causal | none | zero | finite
  bool residual = true;                           ///< "residual"
  bool scale_attn_weights = true;                 ///< "scale_attn_weights": divide scores by √D
  double temperature = 1.0;                       ///< "attention_temperature": τ of the attention softmax
  bool tie_word_embeddings = true;                ///< "tie_word_embeddings"
  bool bias = true;                 ///< "bias": in linear layers and LayerNorm (RMSNorm has none)
  double dropout = 0.0;             ///< "dropout": embedding, pattern, attention and MLP output
  double initializer_range = 0.02;  ///< "initializer_range": σ of the initial weights

  [[nodiscard]] int64_t head_size() const { return n_embd / n_head; }                    ///< D
  [[nodiscard]] int64_t kv_heads() const { return n_kv_head > 0 ? n_kv_head : n_head; }  ///< H_kv
  /// Columns of the queries', keys' and values' projection: (H + 2·H_kv)·D.
  [[nodiscard]] int64_t qkv_width() const { return (n_head + 2 * kv_heads()) * head_size(); }
  [[nodiscard]] kernels::RopeConstants rope_constants() const {
    return {rope_theta,
            rope_scaling.kind,
            rope_scaling.factor,
            rope_scaling.low_freq_factor,
            rope_scaling.high_freq_factor,
            static_cast<double>(rope_scaling.original_positions)};
  }
  [[nodiscard]] int64_t mlp_width() const { return n_inner > 0 ? n_inner : 4 * n_embd; }  ///< F
  [[nodiscard]] bool has_final_norm() const {
    return norm != NormKind::none && norm_position == NormPosition::pre && final_norm;
  }
  bool operator==(const ModelConfig&) const = default;
};

/// Throws Error naming the keys that do not fit and a value that would (n_embd not divisible by n_head, sizes
/// out of range, …).
void validate(const ModelConfig& config);

/// Sets one key from text, as in `--set n_head=8`. Throws Error on an unknown key (with the nearest one) or
/// value.
void set_config_value(ModelConfig& config, std::string_view key, std::string_view value);

/// Parameters by part; what the preset menu and `headlight info` show.
struct ParameterCount {
  int64_t embedding = 0, position = 0, attention = 0, mlp = 0, norm = 0, unembedding = 0;
  [[nodiscard]] int64_t total() const { return embedding + position + attention + mlp + norm + unembedding; }
};
[[nodiscard]] ParameterCount count_parameters(const ModelConfig& config);

/// FLOPs to train on one token: 6·(matrix parameters that multiply) + 6·L·d·T; the formula the benchmarks
/// quote.
[[nodiscard]] double training_flops_per_token(const ModelConfig& config, int64_t T);

}  // namespace headlight
