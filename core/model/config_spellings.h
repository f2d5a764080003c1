// How other projects spell a model's config (nanoGPT, Llama, TransformerLens), and which of their features
// this version lacks. Used by config_json.cpp alone.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string_view>
#include <vector>

#include "core/model/config.h"

namespace headlight {

/// Our spelling of a key and then the others that are accepted.
[[nodiscard]] std::vector<std::string_view> spellings_of(std::string_view key);

/// All keys that give a dropout.
[[nodiscard]] std::span<const char* const> dropout_spellings();

/// A value in our words: TransformerLens says "LN" for layernorm, attn_only for mlp = none. Others come back
/// unchanged.
[[nodiscard]] nlohmann::json translated(std::string_view key, std::string_view spelling,
                                        const nlohmann::json& value, std::string_view where);

/// "RMSNorm is" for norm = rmsnorm, …: the subject of a sentence that says that a known feature is not in
/// this version; empty when the value is not a known one.
[[nodiscard]] std::string_view feature_of_value(std::string_view key, std::string_view value);

/// Where reading starts: Llama's defaults for its family (RMSNorm, rotary positions, a gated MLP with SiLU,
/// no biases, an unembedding of its own), ours for others.
[[nodiscard]] ModelConfig defaults_of(const nlohmann::json& root);

/// Llama has one key for the biases of attention and one for those of the MLP; here they are one. Throws
/// Error where they differ.
void read_llama_biases(ModelConfig& config, const nlohmann::json& root, std::string_view where);

/// nanoGPT's config has no key for its activation, which is the exact GELU.
[[nodiscard]] bool uses_nanogpt_spelling(const nlohmann::json& root);

/// Throws Error naming the key when the config asks for something that this version cannot compute: another
/// model_type, partial rotary positions, experts, …
void refuse_other_architectures(const nlohmann::json& root, std::string_view where);

/// Throws Error when keys that repeat what others say (head sizes) contradict them.
void check_consistency(const ModelConfig& config, const nlohmann::json& root, std::string_view where);

}  // namespace headlight
