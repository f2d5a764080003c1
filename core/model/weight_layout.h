// How parameters lie in a safetensors file: Hugging Face's GPT-2 layout (our own names) or its Llama layout.
// Used by weight_reader and weight_writer.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/config.h"
#include "core/model/parameters.h"

namespace headlight {

enum class FileLayout {
  gpt2,   ///< names and shapes of ParameterSpec: linear weights [in, out], queries, keys and values in one
  llama,  ///< LlamaForCausalLM: linear weights [out, in], queries, keys and values apart
};

/// A tensor of a file that is a parameter or some columns of it.
struct StoredPart {
  std::string name;            ///< without the prefix of the model's body
  bool in_body = true;         ///< the prefix ("transformer.", "model.") may stand in front of the name
  std::vector<int64_t> shape;  ///< as the file has it
  bool transposed = false;     ///< the file holds [out, in] where the parameter is [in, out]
  int64_t first_column = 0;    ///< of the parameter's last axis, where the part begins
  int64_t columns = 0;         ///< how many of them it has
};

/// "transformer." or "model.".
[[nodiscard]] std::string_view body_prefix(FileLayout layout);

/// The tensors that make up a parameter, by their columns.
[[nodiscard]] std::vector<StoredPart> stored_parts(const ParameterSpec& spec, const ModelConfig& config,
                                                   FileLayout layout);

/// Tensors that a file may hold besides weights and that say nothing about the model: GPT-2's causal masks,
/// Llama's rotary frequencies, our own training state.
[[nodiscard]] bool is_passed_over(std::string_view name);

/// Whether a tensor that nothing asked for belongs to the blocks, so that leaving it out would make another
/// model of it.
[[nodiscard]] bool belongs_to_body(std::string_view name);

}  // namespace headlight
