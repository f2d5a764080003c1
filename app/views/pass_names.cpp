// Patterns of names and their titles, the first that matches.
#include "app/views/pass_names.h"

#include <array>
#include <utility>

#include "core/tape/checkpointing.h"

namespace headlight::app {
namespace {

constexpr std::pair<std::string_view, std::string_view> titles[] = {
    {"hook_embed", "embed"},
    {"hook_pos_embed", "pos_embed"},
    {"hook_rotary_cos", "rotary_cos"},
    {"hook_rotary_sin", "rotary_sin"},
    {"*_dropout", "dropout"},
    {"*hook_resid_pre", "resid_pre"},
    {"*hook_resid_mid", "resid_mid"},
    {"*hook_resid_post", "resid_post"},
    {"*hook_resid_*_sum", "resid_sum"},
    {"*.ln*.hook_mean", "mean"},
    {"ln_final.hook_mean", "mean"},
    {"*.hook_scale", "sigma"},
    {"*.hook_normalized", "normalized"},
    {"*ln*.hook_out", "norm_out"},
    {"*attn.hook_qkv", "qkv"},
    {"*attn.hook_q", "q"},
    {"*attn.hook_k", "k"},
    {"*attn.hook_v", "v"},
    {"*attn.past_k", "past_k"},
    {"*attn.past_v", "past_v"},
    {"*attn.hook_k_cache", "k_cache"},
    {"*attn.hook_v_cache", "v_cache"},
    {"*attn.hook_rot_q", "rot_q"},
    {"*attn.hook_rot_k", "rot_k"},
    {"*attn.hook_qkv_rot", "qkv_rot"},
    {"*attn.hook_scores_raw", "scores_raw"},
    {"*attn.hook_scores_scaled", "scores_scaled"},
    {"*attn.hook_attn_scores", "attn_scores"},
    {"*attn.hook_pattern", "pattern"},
    {"*attn.hook_z", "z"},
    {"*attn.hook_z_concat", "z_concat"},
    {"*attn.hook_lse", "lse"},
    {"*hook_attn_out", "attn_out"},
    {"*mlp.hook_pre", "mlp_pre"},
    {"*mlp.hook_pre_linear", "mlp_linear"},
    {"*mlp.hook_gate", "mlp_gate"},
    {"*mlp.hook_post", "mlp_post"},
    {"*hook_mlp_out", "mlp_out"},
    {"unembed.hook_in", "unembed_in"},
    {"unembed.hook_out", "logits"},
    {"logits_lse", "lse"},
    {"probs", "probs"},
    {"loss", "loss"},
    {"loss_per_token", "loss_per_token"},
    {"*_new", "new_weight"},
    {"wte.weight", "wte"},
    {"wpe.weight", "wpe"},
    {"lm_head.weight", "lm_head"},
    {"*ln_*.weight", "gain"},
    {"*.weight", "weight"},
    {"*.bias", "bias"},
    {"tokens", "tokens"},
};

}  // namespace

bool is_gradient_name(std::string_view name) {
  const size_t at = name.rfind("_grad");
  return at != std::string_view::npos && (at + 5 == name.size() || name[at + 5] == '@');
}

std::string forward_name(std::string_view name) {
  return std::string(is_gradient_name(name) ? name.substr(0, name.rfind("_grad")) : name);
}

std::string_view copied_name(std::string_view name) {
  for (const std::string_view suffix :
       {std::string_view("@bf16"), std::string_view("@fp16"), std::string_view("@fp32"), again_suffix})
    if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  return name;
}

std::string buffer_title_key(std::string_view name) {
  const std::string forward = forward_name(copied_name(name));
  for (const auto& [glob, key] : titles)
    if (glob_matches(glob, forward)) return "pass.buffer." + std::string(key);
  return "pass.buffer.other";
}

}  // namespace headlight::app
