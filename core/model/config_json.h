// ModelConfig as config.json and as single keys: Hugging Face's GPT2Config spelling, and on input also
// nanoGPT's, Llama's and TransformerLens's. Used by model folders, checkpoints and `--set`.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string_view>

#include "core/model/config.h"

namespace headlight {

/// Reads a whole config.json and validates it. The sizes (layers, heads, width, positions, vocabulary) must
/// be there; other keys of ours have their defaults. Keys that change nothing in the model (initialisation
/// ids, task settings) are passed over; features that this version lacks (ALiBi, experts, soft caps, …) are
/// refused by name. `where` names the file in sentences. Throws Error with the key, its value
/// and a value that would work.
[[nodiscard]] ModelConfig config_from_json(const nlohmann::json& json, std::string_view where);

/// Whether Hugging Face's LlamaForCausalLM computes the same from this config: its weights are then saved in
/// that layout.
[[nodiscard]] bool is_llama(const ModelConfig& config);

/// The config as Hugging Face's GPT2Config or, where is_llama(), LlamaConfig reads it, plus the keys of ours.
[[nodiscard]] nlohmann::json config_to_json(const ModelConfig& config);

/// True when `key` is a key of ModelConfig (our spelling).
[[nodiscard]] bool is_config_key(std::string_view key);

/// Sets one key (our spelling) from a JSON value. Throws Error naming key, value and what would work.
void set_config_json(ModelConfig& config, std::string_view key, const nlohmann::json& value,
                     std::string_view where);

}  // namespace headlight
