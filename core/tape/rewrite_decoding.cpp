// See rewrite_decoding.h.
#include "core/tape/rewrite_decoding.h"

#include <optional>

#include "core/ops/inference.h"
#include "core/tape/rewriter.h"

namespace headlight {

namespace {

using Norm = kernels::LinearFusion::Norm;
using Activation = kernels::LinearFusion::Activation;

/// Steps [first, last) of a program that one op replaces.
struct Fusion {
  int last = 0;
  std::shared_ptr<const Op> op;
  std::vector<BufferId> inputs, outputs;
};

Activation activation_of(std::string_view kind) {
  if (kind == "gelu_tanh") return Activation::gelu_tanh;
  if (kind == "gelu_erf") return Activation::gelu_erf;
  if (kind == "silu") return Activation::silu;
  return kind == "relu" ? Activation::relu : Activation::none;
}

const Step* step_at(const Program& program, int s) {
  return s < static_cast<int>(program.steps().size()) ? &program.step(s) : nullptr;
}

/// packed_embedding, position_at and their sum from step `first` on.
std::optional<Fusion> match_embedding(const Program& program, int first) {
  const Step& rows = program.step(first);
  const Step* places = step_at(program, first + 1);
  const Step* sum = step_at(program, first + 2);
  const auto table = ops::packed_table(*rows.op);
  if (!table || sum == nullptr || places->op->kind() != "position_at" || sum->op->kind() != "add" ||
      sum->inputs != std::vector<BufferId>{rows.outputs[0], places->outputs[0]} ||
      used_outside(program, rows.outputs[0], first, first + 3) ||
      used_outside(program, places->outputs[0], first, first + 3)) {
    return std::nullopt;
  }
  return Fusion{first + 3,
                ops::decode_embedding(table->format, table->group),
                {rows.inputs[0], rows.inputs[1], places->inputs[0], places->inputs[1]},
                sum->outputs};
}

/// [norm], [the last token of one], packed product, [activation], [sum with another buffer] from step `first`
/// on.
std::optional<Fusion> match_linear(const Program& program, int first) {
  ops::FusedLinear fusion;
  BufferId gain = no_buffer, shift = no_buffer, residual = no_buffer;
  int s = first;
  const Step* step = step_at(program, s);
  if (step->inputs.empty()) return std::nullopt;
  const BufferId x = step->inputs[0];
  // What `step` writes is read by the next one alone.
  const auto go_on = [&] {
    const BufferId left = step->outputs[0];
    step = step_at(program, ++s);
    return step != nullptr && !step->inputs.empty() && step->inputs[0] == left &&
           !used_outside(program, left, s, s + 1);
  };
  const auto layernorm = ops::layernorm_epsilon(*step->op), rmsnorm = ops::rmsnorm_epsilon(*step->op);
  if (layernorm || rmsnorm) {
    fusion.norm = layernorm ? Norm::layernorm : Norm::rmsnorm;
    fusion.epsilon = layernorm ? *layernorm : *rmsnorm;
    gain = step->inputs[1];
    shift = layernorm ? step->inputs[2] : no_buffer;
    if (!go_on()) return std::nullopt;
  }
  // The last of one token is that token.
  if (program.T() == 1 && step->op->kind() == "last_token" && !go_on()) return std::nullopt;
  const auto weight = ops::packed_weight(*step->op);
  if (!weight) return std::nullopt;
  fusion.weight = *weight;
  const Step& product = *step;
  BufferId y = product.outputs[0];
  // A step that alone reads what the steps so far write, and so can join them.
  const auto joins = [&](const Step* next) {
    return next != nullptr && !used_outside(program, y, s + 1, s + 2) && next->outputs.size() == 1;
  };
  if (const Step* next = step_at(program, s + 1); joins(next) && next->inputs[0] == y) {
    fusion.activation = activation_of(next->op->kind());
    if (fusion.activation != Activation::none) {
      y = next->outputs[0];
      ++s;
    }
  }
  if (const Step* next = step_at(program, s + 1); joins(next) && next->op->kind() == "add") {
    const BufferId a = next->inputs[0], b = next->inputs[1];
    if ((a == y) != (b == y)) {
      residual = a == y ? b : a;
      y = next->outputs[0];
      ++s;
    }
  }
  if (s == first) return std::nullopt;  // nothing to join
  return Fusion{s + 1,
                ops::fused_linear(fusion),
                {x, product.inputs[1], product.inputs[2], gain, shift, residual},
                {y}};
}

/// split_heads, cache_append twice, cached_attention from step `first` on.
std::optional<Fusion> match_attention(const Program& program, int first) {
  const Step* split = step_at(program, first);
  const Step* keys = step_at(program, first + 1);
  const Step* values = step_at(program, first + 2);
  const Step* attention = step_at(program, first + 3);
  if (attention == nullptr || split->op->kind() != "split_heads") return std::nullopt;
  const auto scale = ops::cached_attention_scale(*attention->op);
  const bool fits = scale && keys->op->kind() == "cache_append" && values->op->kind() == "cache_append" &&
                    keys->inputs[1] == split->outputs[1] && values->inputs[1] == split->outputs[2] &&
                    attention->inputs[0] == split->outputs[0] && attention->inputs[1] == keys->outputs[0] &&
                    attention->inputs[2] == values->outputs[0];
  if (!fits) return std::nullopt;
  for (const BufferId id : split->outputs) {
    if (used_outside(program, id, first, first + 4)) return std::nullopt;
  }
  const int64_t H = program.buffer(split->outputs[0]).shape.size(2);
  return Fusion{
      first + 4,
      ops::decode_attention(H, *scale),
      {split->inputs[0], keys->inputs[0], values->inputs[0], attention->inputs[3], attention->inputs[4]},
      {attention->outputs[0], keys->outputs[0], values->outputs[0]}};
}

}  // namespace

std::shared_ptr<const Program> fuse_decoding(const Program& decode) {
  Rewriter rewriter(decode);
  for (int s = 0; s < static_cast<int>(decode.steps().size()); ++s) {
    std::optional<Fusion> fusion = match_attention(decode, s);
    if (!fusion) fusion = match_embedding(decode, s);
    if (!fusion) fusion = match_linear(decode, s);
    if (!fusion) {
      rewriter.copy(s);
      continue;
    }
    rewriter.replace(s, fusion->last, std::move(fusion->op), fusion->inputs, fusion->outputs);
    s = fusion->last - 1;
  }
  return rewriter.finish();
}

}  // namespace headlight
