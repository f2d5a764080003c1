// See builder.h.
#include "core/model/builder.h"

#include <cmath>
#include <map>
#include <string>

#include "core/base/error.h"
#include "core/model/parameters.h"
#include "core/ops/inference.h"
#include "core/ops/ops.h"
#include "core/tape/checkpointing.h"
#include "core/tape/differentiate.h"
#include "core/tape/precision.h"
#include "core/tape/rewrite.h"

namespace headlight {

namespace {

kernels::MaskKind mask_kind(AttentionMask mask) {
  switch (mask) {
    case AttentionMask::causal:
      return kernels::MaskKind::causal;
    case AttentionMask::zero:
      return kernels::MaskKind::zero;
    case AttentionMask::finite:
      return kernels::MaskKind::finite;
    case AttentionMask::none:
      break;
  }
  return kernels::MaskKind::none;
}

/// Writes the forward pass and the loss. Each member is one part of the model.
class ForwardBuilder {
 public:
  ForwardBuilder(const ModelConfig& config, int64_t B, int64_t T, const ProgramOptions& options)
      : c_(config), options_(options), B_(B), T_(T), b_(B, T) {}

  std::shared_ptr<const Program> build() {
    tokens_ = b_.declare("tokens", {{"B", B_}, {"T", T_}}, Role::input, ElementType::i32);
    for (const ParameterSpec& spec : parameter_specs(c_)) {
      parameters_[spec.name] = b_.declare(spec.name, spec.shape, Role::parameter);
    }
    if (cached()) positions_ = b_.declare("positions", {{"B", B_}}, Role::input, ElementType::i32);
    if (last_logits()) counts_ = b_.declare("counts", {{"B", B_}}, Role::input, ElementType::i32);
    if (uses_dropout()) seed_ = b_.declare("dropout_seed", {{"1", 1}}, Role::input, ElementType::u64);

    BufferId x = embed();
    for (int64_t l = 0; l < c_.n_layer; ++l) x = block(l, x);
    unembed(x);
    return b_.finish();
  }

 private:
  [[nodiscard]] bool uses_dropout() const { return options_.training && c_.dropout > 0; }
  [[nodiscard]] bool cached() const { return options_.cache > 0; }
  [[nodiscard]] bool last_logits() const { return cached() || options_.last_logits; }
  [[nodiscard]] bool packed() const { return options_.weights != WeightFormat::f32; }
  [[nodiscard]] BufferId parameter(const std::string& name) const {
    const auto it = parameters_.find(name);
    return it == parameters_.end() ? no_buffer : it->second;
  }

  BufferId embed() {
    b_.enter(Phase::forward, -1);
    BufferId x =
        b_.apply(packed() ? ops::packed_embedding(options_.weights, options_.weight_group) : ops::embedding(),
                 {tokens_, parameter("wte.weight")}, "hook_embed");
    if (c_.position == PositionKind::learned) {
      const BufferId table = parameter("wpe.weight");
      const BufferId p = cached() ? b_.apply(ops::position_at(T_), {table, positions_}, "hook_pos_embed")
                                  : b_.apply(ops::position(B_, T_), {table}, "hook_pos_embed");
      x = b_.apply(ops::add(), {x, p}, "blocks.0.hook_resid_pre");
    } else {
      b_.alias("blocks.0.hook_resid_pre", x);
    }
    if (c_.position == PositionKind::rope) rotary_table();
    return dropout(x, "hook_embed_dropout");
  }

  /// Cosine and sine of the angles by which queries and keys are turned, for every block.
  void rotary_table() {
    std::vector<BufferId> own_positions;
    if (cached()) own_positions.push_back(positions_);
    const std::vector<BufferId> table =
        b_.append(ops::rope_table(c_.rope_constants(), T_, c_.head_size()), std::move(own_positions),
                  {"hook_rotary_cos", "hook_rotary_sin"});
    cosine_ = table[0];
    sine_ = table[1];
  }

  /// x → LN → sublayer → add (pre), or x → sublayer → add → LN (post), twice.
  BufferId block(int64_t l, BufferId x) {
    b_.enter(Phase::forward, static_cast<int>(l));
    name_ = fmt::format("blocks.{}.", l);
    weights_ = fmt::format("h.{}.", l);
    if (l > 0) b_.alias(name_ + "hook_resid_pre", x);
    x = sublayer(x, "ln1", "ln_1", "hook_resid_mid", [this](BufferId in) { return attention(in); });
    if (c_.mlp == MlpKind::none) {
      b_.alias(name_ + "hook_resid_post", x);
      return x;
    }
    return sublayer(x, "ln2", "ln_2", "hook_resid_post", [this](BufferId in) { return mlp(in); });
  }

  template <class Part>
  BufferId sublayer(BufferId x, const std::string& ln, const std::string& ln_weights,
                    const std::string& result, Part part) {
    const bool has_norm = c_.norm != NormKind::none;
    if (c_.norm_position == NormPosition::pre || !has_norm) {
      const BufferId written = part(has_norm ? norm(x, name_ + ln, weights_ + ln_weights) : x);
      return join(x, written, name_ + result);
    }
    const BufferId sum = join(x, part(x), name_ + result + "_sum");
    const BufferId out = norm(sum, name_ + ln, weights_ + ln_weights);
    b_.alias(name_ + result, out);
    return out;
  }

  BufferId join(BufferId x, BufferId written, const std::string& name) {
    if (c_.residual) return b_.apply(ops::add(), {x, written}, name);
    b_.alias(name, written);
    return written;
  }

  BufferId norm(BufferId x, const std::string& name, const std::string& weights) {
    if (c_.norm == NormKind::rmsnorm) {
      return b_.append(ops::rmsnorm(c_.layer_norm_epsilon), {x, parameter(weights + ".weight")},
                       {name + ".hook_out", name + ".hook_scale", name + ".hook_normalized"})[0];
    }
    return b_.append(
        ops::layernorm(c_.layer_norm_epsilon),
        {x, parameter(weights + ".weight"), parameter(weights + ".bias")},
        {name + ".hook_out", name + ".hook_mean", name + ".hook_scale", name + ".hook_normalized"})[0];
  }

  BufferId linear(BufferId x, const std::string& weights, const std::string& name) {
    return matrix_product(x, kernels::WeightLayout::in_out, parameter(weights + ".weight"),
                          parameter(weights + ".bias"), name);
  }

  BufferId matrix_product(BufferId x, kernels::WeightLayout layout, BufferId w, BufferId bias,
                          const std::string& name) {
    return b_.apply(
        packed() ? ops::packed_linear(options_.weights, options_.weight_group, layout) : ops::linear(layout),
        {x, w, bias}, name);
  }

  BufferId dropout(BufferId x, const std::string& name) {
    if (!uses_dropout()) return x;
    return b_.apply(ops::dropout(c_.dropout, salt_++), {x, seed_}, name);
  }

  BufferId attention(BufferId x) {
    const std::string attn = name_ + "attn.";
    const BufferId qkv = linear(x, weights_ + "attn.c_attn", attn + "hook_qkv");
    const std::vector<BufferId> heads = b_.append(ops::split_heads(c_.n_head, c_.kv_heads()), {qkv},
                                                  {attn + "hook_q", attn + "hook_k", attn + "hook_v"});
    BufferId q = heads[0], k = heads[1];
    if (c_.position == PositionKind::rope) {
      q = b_.apply(ops::rope(c_.head_size(), c_.n_head), {q, cosine_, sine_}, attn + "hook_rot_q");
      k = b_.apply(ops::rope(c_.head_size(), c_.kv_heads()), {k, cosine_, sine_}, attn + "hook_rot_k");
    }
    if (cached()) {
      const BufferId merged = cached_attention(q, k, heads[2]);
      return linear(merged, weights_ + "attn.c_proj", name_ + "hook_attn_out");
    }
    BufferId s = b_.apply(ops::scores(), {q, k}, attn + "hook_scores_raw");
    if (c_.scale_attn_weights) {
      s = b_.apply(ops::scale(1.0 / std::sqrt(static_cast<double>(c_.head_size())), "∕ √D"), {s},
                   attn + "hook_scores_scaled");
    } else {
      b_.alias(attn + "hook_scores_scaled", s);
    }
    // The step is there even for mask = none, so that single cells can be masked by an edit.
    s = b_.apply(ops::mask(mask_kind(c_.mask)), {s}, attn + "hook_attn_scores");
    BufferId pattern = b_.apply(ops::softmax(c_.temperature, "A"), {s}, attn + "hook_pattern");
    pattern = dropout(pattern, attn + "hook_pattern_dropout");
    const BufferId z = b_.apply(ops::weighted_sum(), {pattern, heads[2]}, attn + "hook_z");
    const BufferId merged = b_.apply(ops::merge_heads(), {z}, attn + "hook_z_concat");
    const BufferId out = linear(merged, weights_ + "attn.c_proj", name_ + "hook_attn_out");
    return dropout(out, name_ + "hook_attn_out_dropout");
  }

  /// Attention of the new tokens' q over the cache, which k and v join first; z with its heads merged.
  BufferId cached_attention(BufferId q, BufferId k, BufferId v) {
    const std::string attn = name_ + "attn.";
    const BufferId keys = append_to_cache(k, true, attn), values = append_to_cache(v, false, attn);
    const double scale = c_.scale_attn_weights ? 1.0 / std::sqrt(static_cast<double>(c_.head_size())) : 1.0;
    if (options_.fused) {
      const BufferId z = b_.apply(ops::cached_attention(scale / c_.temperature),
                                  {q, keys, values, positions_, counts_}, attn + "hook_z_concat");
      b_.note_fused_away({attn + "hook_scores_raw", attn + "hook_scores_scaled", attn + "hook_attn_scores",
                          attn + "hook_pattern", attn + "hook_z"});
      return z;
    }
    BufferId s = b_.apply(ops::cached_scores(), {q, keys, positions_, counts_}, attn + "hook_scores_raw");
    if (c_.scale_attn_weights) {
      s = b_.apply(ops::scale(scale, "∕ √D"), {s}, attn + "hook_scores_scaled");
    } else {
      b_.alias(attn + "hook_scores_scaled", s);
    }
    s = b_.apply(ops::cached_mask(), {s, positions_}, attn + "hook_attn_scores");
    const BufferId pattern = b_.apply(ops::softmax(c_.temperature, "A"), {s}, attn + "hook_pattern");
    const BufferId z =
        b_.apply(ops::cached_weighted_sum(), {pattern, values, positions_, counts_}, attn + "hook_z");
    return b_.apply(ops::merge_heads(), {z}, attn + "hook_z_concat");
  }

  BufferId append_to_cache(BufferId x, bool keys, const std::string& attn) {
    const Shape rows = b_.buffer(x).shape;  // [B,T,G,D]
    const BufferId past =
        b_.declare(attn + (keys ? "past_k" : "past_v"),
                   {rows[0], {"G", rows.size(2)}, {"S", options_.cache}, rows[3]}, Role::state);
    return b_.apply(ops::cache_append(keys), {past, x, positions_, counts_},
                    attn + (keys ? "hook_k_cache" : "hook_v_cache"));
  }

  BufferId mlp(BufferId x) {
    const bool gated = c_.mlp == MlpKind::gated;
    const BufferId pre = linear(x, weights_ + (gated ? "mlp.c_gate" : "mlp.c_fc"), name_ + "mlp.hook_pre");
    BufferId post = b_.apply(activation(), {pre}, name_ + (gated ? "mlp.hook_gate" : "mlp.hook_post"));
    if (gated) {
      const BufferId up = linear(x, weights_ + "mlp.c_fc", name_ + "mlp.hook_pre_linear");
      post = b_.apply(ops::multiply(), {post, up}, name_ + "mlp.hook_post");
    }
    const BufferId out = linear(post, weights_ + "mlp.c_proj", name_ + "hook_mlp_out");
    return dropout(out, name_ + "hook_mlp_out_dropout");
  }

  [[nodiscard]] ops::OpPtr activation() const {
    switch (c_.activation) {
      case Activation::gelu_erf:
        return ops::gelu_erf();
      case Activation::relu:
        return ops::relu();
      case Activation::silu:
        return ops::silu();
      case Activation::gelu_tanh:
        break;
    }
    return ops::gelu_tanh();
  }

  void unembed(BufferId x) {
    b_.enter(Phase::forward, -1);
    if (c_.has_final_norm()) x = norm(x, "ln_final", "ln_f");
    if (last_logits()) {
      x = b_.apply(ops::last_token(), {x, counts_}, "unembed.hook_in");
    } else {
      b_.alias("unembed.hook_in", x);
    }
    const BufferId head = parameter(c_.tie_word_embeddings ? "wte.weight" : "lm_head.weight");
    const BufferId logits =
        matrix_product(x, kernels::WeightLayout::out_in, head, no_buffer, "unembed.hook_out");
    if (!options_.loss || last_logits()) return;
    b_.enter(Phase::loss, -1);
    const BufferId targets = b_.declare("targets", {{"B", B_}, {"T", T_}}, Role::input, ElementType::i32);
    const BufferId p = b_.apply(ops::softmax(1.0, "p"), {logits}, "probs");
    b_.append(ops::cross_entropy(), {p, targets}, {"loss", "loss_per_token"});
  }

  const ModelConfig& c_;
  const ProgramOptions& options_;
  int64_t B_, T_;
  ProgramBuilder b_;
  std::map<std::string, BufferId> parameters_;
  BufferId tokens_ = no_buffer, seed_ = no_buffer;
  BufferId positions_ = no_buffer, counts_ = no_buffer;  ///< of a decode program
  BufferId cosine_ = no_buffer, sine_ = no_buffer;       ///< of rotary positions
  uint64_t salt_ = 1;
  std::string name_, weights_;  ///< prefixes of the block being written
};

/// Gradient norm, clipping and one AdamW step for each parameter.
std::shared_ptr<const Program> append_update(const Program& program, const ModelConfig& config,
                                             const TrainConfig& train, bool gated) {
  ProgramBuilder b(program);
  b.enter(Phase::update, -1);
  std::vector<ParameterSpec> specs;
  std::vector<BufferId> gradients;
  for (ParameterSpec& spec : parameter_specs(config)) {
    // A weight that the loss does not reach (a position table without positions, say) has no gradient and
    // stays.
    if (const auto gradient = program.find(spec.name + "_grad")) {
      gradients.push_back(*gradient);
      specs.push_back(std::move(spec));
    }
  }
  const BufferId schedule = b.declare("adamw_schedule", {{"3", 3}}, Role::input);
  const BufferId squares = b.apply(ops::squared_norms(), gradients, "grad_squares");
  std::vector<BufferId> clip_inputs = {squares};
  std::vector<std::string> clip_outputs = {"grad_norm", "grad_clip"};
  if (gated) {
    clip_inputs.insert(clip_inputs.end(),
                       {program.require("loss"), b.declare("update_gate", Shape{}, Role::input)});
    clip_outputs.emplace_back("update_gate_new");
  }
  const BufferId clip = b.append(ops::clip(train.grad_clip), clip_inputs, clip_outputs)[1];
  for (size_t i = 0; i < specs.size(); ++i) {
    const std::string& name = specs[i].name;
    const BufferId weight = *program.find(name);
    const BufferId m = b.declare(name + "_m", specs[i].shape, Role::moment);
    const BufferId v = b.declare(name + "_v", specs[i].shape, Role::moment);
    const kernels::AdamWConstants constants{static_cast<float>(train.beta1), static_cast<float>(train.beta2),
                                            static_cast<float>(train.epsilon),
                                            specs[i].decays ? static_cast<float>(train.weight_decay) : 0.0F};
    const auto block_at = name.starts_with("h.") ? std::stoi(name.substr(2)) : -1;
    b.enter(Phase::update, block_at);
    b.append(ops::adamw(constants), {weight, m, v, gradients[i], clip, schedule},
             {name + "_new", name + "_m_new", name + "_v_new"});
  }
  return b.finish();
}

/// Throws Error where a decode program cannot be had.
void check_cache(const ModelConfig& config, int64_t T, const ProgramOptions& options) {
  if (config.mask != AttentionMask::causal) {
    fail(
        "a cache of keys and values needs mask = causal, as without it every new token changes what the "
        "older "
        "ones computed; set mask=causal or go without the cache");
  }
  if (T > options.cache) {
    fail("{} new tokens do not fit into a cache of {} places; give it more of them", T, options.cache);
  }
  if (options.backward || options.training) fail("a program with a cache runs forward only");
  if (options.precision != ElementType::f32) {
    fail("a program with a cache computes in fp32; store its weights in 16 bits instead, with weights=bf16");
  }
}

}  // namespace

std::shared_ptr<const Program> build_program(const ModelConfig& config, int64_t B, int64_t T,
                                             const ProgramOptions& options) {
  validate(config);
  if (B < 1 || T < 1) fail("batch and context must be at least 1, but are {} and {}", B, T);
  if (config.position == PositionKind::learned && T > config.n_positions) {
    fail("the text has {} tokens, but n_positions is {}; shorten it to {} tokens or set n_positions={}", T,
         config.n_positions, config.n_positions, T);
  }
  if (options.cache > 0) check_cache(config, T, options);
  if (options.backward && options.precision == ElementType::f16) {
    fail(
        "gradients need more range than fp16 has (they vanish below 6e-8); choose precision=bf16 or "
        "precision=fp32");
  }
  std::shared_ptr<const Program> program = ForwardBuilder(config, B, T, options).build();
  if (!options.edits.empty()) program = apply_op_edits(*program, options.edits);
  if (options.fused && options.cache == 0) program = fuse(*program);
  if (options.backward) program = differentiate(*program, program->require("loss"));
  if (options.update) program = append_update(*program, config, options.train, options.gated);
  if (options.checkpointing) program = checkpoint_blocks(std::move(program));
  return with_precision(std::move(program), options.precision);
}

}  // namespace headlight
