// See weight_layout.h.
#include "core/model/weight_layout.h"

#include <fmt/format.h>

#include <array>

namespace headlight {

namespace {

std::vector<int64_t> dims(const Shape& shape) {
  std::vector<int64_t> result;
  for (const Axis& axis : shape.axes()) result.push_back(axis.size);
  return result;
}

/// "layers.3." from "h.3.", and what follows it; an empty one where the name belongs to no block.
struct BlockName {
  std::string prefix;
  std::string_view rest;
};
BlockName block_name(std::string_view name) {
  if (!name.starts_with("h.")) return {};
  const size_t dot = name.find('.', 2);
  return {fmt::format("layers.{}.", name.substr(2, dot - 2)), name.substr(dot + 1)};
}

struct Rename {
  std::string_view ours, llama;
};
/// Names outside the blocks, whole.
constexpr std::array<Rename, 3> model_names{{{"wte.weight", "embed_tokens.weight"},
                                             {"ln_f.weight", "norm.weight"},
                                             {"lm_head.weight", "lm_head.weight"}}};
/// Names inside a block, without ".weight" or ".bias".
constexpr std::array<Rename, 6> block_names{{{"ln_1", "input_layernorm"},
                                             {"attn.c_proj", "self_attn.o_proj"},
                                             {"ln_2", "post_attention_layernorm"},
                                             {"mlp.c_gate", "mlp.gate_proj"},
                                             {"mlp.c_fc", "mlp.up_proj"},
                                             {"mlp.c_proj", "mlp.down_proj"}}};

/// Columns [first, first + columns) of the parameter under a name of Llama's.
StoredPart llama_part(const ParameterSpec& spec, std::string name, int64_t first, int64_t columns) {
  StoredPart part{std::move(name), true, {columns}, false, first, columns};
  if (spec.shape.rank() == 2) {
    part.transposed = true;
    part.shape.push_back(spec.shape.size(0));
  }
  return part;
}

std::vector<StoredPart> llama_parts(const ParameterSpec& spec, const ModelConfig& config) {
  const int64_t width = spec.shape.last();
  for (const Rename& rename : model_names) {
    if (spec.name != rename.ours) continue;
    return {{std::string(rename.llama), rename.ours != "lm_head.weight", dims(spec.shape), false, 0, width}};
  }
  // A model with parts that Llama lacks (a position table, a norm's bias) looks for them under our name.
  const StoredPart as_it_is{spec.name, true, dims(spec.shape), false, 0, width};
  const BlockName block = block_name(spec.name);
  if (block.prefix.empty()) return {as_it_is};
  const size_t dot = block.rest.rfind('.');
  const std::string_view part = block.rest.substr(0, dot), kind = block.rest.substr(dot);
  if (part == "attn.c_attn") {
    const int64_t queries = config.n_head * config.head_size(), keys = config.kv_heads() * config.head_size();
    const auto named = [&](std::string_view letter) {
      return fmt::format("{}self_attn.{}_proj{}", block.prefix, letter, kind);
    };
    return {llama_part(spec, named("q"), 0, queries), llama_part(spec, named("k"), queries, keys),
            llama_part(spec, named("v"), queries + keys, keys)};
  }
  for (const Rename& rename : block_names) {
    if (part == rename.ours)
      return {llama_part(spec, fmt::format("{}{}{}", block.prefix, rename.llama, kind), 0, width)};
  }
  return {as_it_is};
}

}  // namespace

std::string_view body_prefix(FileLayout layout) {
  return layout == FileLayout::llama ? "model." : "transformer.";
}

std::vector<StoredPart> stored_parts(const ParameterSpec& spec, const ModelConfig& config,
                                     FileLayout layout) {
  if (layout == FileLayout::llama) return llama_parts(spec, config);
  return {{spec.name, spec.name != "lm_head.weight", dims(spec.shape), false, 0, spec.shape.last()}};
}

bool is_passed_over(std::string_view name) {
  for (const std::string_view prefix : {"optimizer.", "trainer.", "history."}) {
    if (name.starts_with(prefix)) return true;
  }
  for (const std::string_view suffix : {".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"}) {
    if (name.ends_with(suffix)) return true;
  }
  return false;
}

bool belongs_to_body(std::string_view name) {
  for (const FileLayout layout : {FileLayout::gpt2, FileLayout::llama}) {
    if (name.starts_with(body_prefix(layout))) return true;
  }
  for (const std::string_view prefix : {"h.", "layers.", "wte.", "wpe.", "ln_f.", "embed_tokens.", "norm."}) {
    if (name.starts_with(prefix)) return true;
  }
  return name == "lm_head.bias" || name == "lm_head.weight";
}

}  // namespace headlight
