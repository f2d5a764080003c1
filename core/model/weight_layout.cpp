// See weight_layout.h.
#include "core/model/weight_layout.h"

namespace headlight {

namespace {

std::vector<int64_t> dims(const Shape& shape) {
  std::vector<int64_t> result;
  for (const Axis& axis : shape.axes()) result.push_back(axis.size);
  return result;
}

StoredPart whole(const ParameterSpec& spec, std::string name) {
  return {std::move(name), true, dims(spec.shape), false, 0, spec.shape.last()};
}

}  // namespace

std::string_view body_prefix(FileLayout layout) {
  return layout == FileLayout::llama ? "model." : "transformer.";
}

std::vector<StoredPart> stored_parts(const ParameterSpec& spec, const ModelConfig& /*config*/,
                                     FileLayout /*layout*/) {
  StoredPart part = whole(spec, spec.name);
  part.in_body = spec.name != "lm_head.weight";
  return {part};
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
