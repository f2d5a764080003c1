// The ops of training programs that core/tape/rewrite_training.h makes out of others: two or three steps in
// one, for backends that have kernels for them (kernels/training.h). Each holds an op that it stands for,
// whose shapes and cell terms are its own. They stand behind differentiation and so have no backward rule.
#pragma once

#include <optional>
#include <vector>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "kernels/training.h"

namespace headlight::ops {

/// (x [..,in], W, bias or none) → y = gelu_tanh(x·W + bias), x·W + bias (the last one optional)
[[nodiscard]] OpPtr linear_gelu(OpPtr linear);
/// (dy [..,out], W, pre [..,in]) → dpre = dy·Wᵀ ⊙ gelu_tanh′(pre)
[[nodiscard]] OpPtr linear_gelu_grad(OpPtr linear_grad_input);
/// (a, b, gain, bias or none) → a + b, the norm of it, scale, mean (none for RMSNorm)
[[nodiscard]] OpPtr add_norm(OpPtr norm);
/// (dy, x, scale, gain, mean or none, base or none) → dx = base + the norm's gradient, dgain, dbias, Σ_t dx
/// (the last two or none)
[[nodiscard]] OpPtr add_norm_grad(OpPtr norm_grad);
/// A linear, whose y then has a pitch, or one of its gradients, whose dy has. `spare`: 0, or the elements
/// that W [out,in], 0 there, and dW have for rows up to the pitch; without a bias.
[[nodiscard]] OpPtr pitched_linear(OpPtr linear, int64_t pitch, int64_t spare);
/// (logits [B,T,V], targets [B,T], dloss) → loss, loss by position [B,T], dlogits; logits and dlogits with a
/// pitch, or 0
[[nodiscard]] OpPtr softmax_cross_entropy_both(int64_t pitch);

/// (parameters…) → each cast to the type of `cast`, a 16-bit one, with so many zeros behind it
[[nodiscard]] OpPtr cast_all(OpPtr cast, std::vector<int64_t> spares);
/// (w, m, v, gradient of each parameter…, clip factor, schedule) → new w, m, v of each; the updates differ in
/// their weight decay alone
[[nodiscard]] OpPtr adamw_all(std::vector<OpPtr> updates);

/// What the rewrite asks: the type that a cast makes, an update's constants; empty for other ops.
[[nodiscard]] std::optional<ElementType> cast_target(const Op& op);
[[nodiscard]] std::optional<kernels::AdamWConstants> adamw_constants(const Op& op);
/// How the weight of a product, or of its gradients by x and W, lies; empty for
/// others.
[[nodiscard]] std::optional<kernels::WeightLayout> linear_layout(const Op& op);

/// The backend's kernels, or an Error that says that it has none.
[[nodiscard]] inline const kernels::TrainingKernels& joint_kernels(const StepMemory& memory) {
  const kernels::TrainingKernels* kernels = memory.backend.training();
  if (kernels == nullptr)
    fail("the {} backend has no joint steps of training; run the program as it was built",
         memory.backend.kind());
  return *kernels;
}
/// Those for the element type of `t` (StepMemory::typed).
template <class Typed>
[[nodiscard]] const auto& training_kernels(const StepMemory& memory, const Typed& /*t*/) {
  return joint_kernels(memory).template typed<typename Typed::Element>();
}

}  // namespace headlight::ops
