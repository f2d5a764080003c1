// Every op by name. Each is defined in the file of its name with its formula, shape rule, run, backward rule
// and cell terms; the builder and the rewrites make steps of them.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/tape/op.h"
#include "kernels/kernels.h"

namespace headlight::ops {

using OpPtr = std::shared_ptr<const Op>;

/// A mask cell set by hand: query row, key column, all heads or one.
struct MaskCell {
  int64_t head = -1;  ///< −1: every head
  int64_t query = 0, key = 0;
  bool open = false;
};

/// (tokens [B,T], table [V,C]) → [B,T,C]
[[nodiscard]] OpPtr embedding();
/// (table [P,C]) → [B,T,C]
[[nodiscard]] OpPtr position(int64_t B, int64_t T);
/// (x, gain [C], bias [C] or none) → out, mean, scale, normalized (the last one optional)
[[nodiscard]] OpPtr layernorm(double epsilon);
/// (x, gain [C]) → out, scale, normalized (the last one optional)
[[nodiscard]] OpPtr rmsnorm(double epsilon);
/// (x [..,in], W, bias or none) → [..,out]
[[nodiscard]] OpPtr linear(kernels::WeightLayout layout);
/// (qkv [B,T,(H+2·H_kv)·D]) → q [B,T,H,D], k, v [B,T,H_kv,D]
[[nodiscard]] OpPtr split_heads(int64_t H, int64_t H_kv);
/// () → cosine, sine [T,D/2] of the angles at positions 0 … T − 1; with (first positions [B]) as input
/// [B,T,D/2]
[[nodiscard]] OpPtr rope_table(const kernels::RopeConstants& constants, int64_t T, int64_t D);
/// (x [B,T,…] of heads of D elements, cosine, sine) → x with the first `rotated` heads of each token turned
[[nodiscard]] OpPtr rope(int64_t D, int64_t rotated);
/// (z [B,T,H,D]) → [B,T,C]
[[nodiscard]] OpPtr merge_heads();
/// (q [B,T,H,D], k [B,T,H_kv,D]) → [B,H,Tq,Tk]
[[nodiscard]] OpPtr scores();
/// (x) → x·factor; `equation_text` is how the factor reads: "∕ √D"
[[nodiscard]] OpPtr scale(double factor, std::string factor_text);
/// (scores [B,H,Tq,Tk]) → masked scores
[[nodiscard]] OpPtr mask(kernels::MaskKind kind, std::vector<MaskCell> cells = {});
/// (x) → softmax over the last axis of x/temperature; `symbol` names the result in the equation ("A", "p")
[[nodiscard]] OpPtr softmax(double temperature, std::string symbol);
/// (pattern [B,H,Tq,Tk], v [B,T,H_kv,D]) → z [B,T,H,D]
[[nodiscard]] OpPtr weighted_sum();
/// (qkv [B,T,(H+2·H_kv)·D]) → z [B,T,C], lse [B,H,T]; the scores are never stored
[[nodiscard]] OpPtr attention(int64_t H, int64_t H_kv, double scale, kernels::MaskKind kind);
/// (a, b) → a + b
[[nodiscard]] OpPtr add();
/// (a, b) → a ⊙ b
[[nodiscard]] OpPtr multiply();
/// (x) → x in another element type: fp32 to 16 bit or back
[[nodiscard]] OpPtr cast(ElementType to);
[[nodiscard]] OpPtr gelu_tanh();
[[nodiscard]] OpPtr gelu_erf();
[[nodiscard]] OpPtr relu();
[[nodiscard]] OpPtr silu();
/// (x, seed) → inverted dropout with probability p; `salt` tells the layers apart
[[nodiscard]] OpPtr dropout(double p, uint64_t salt);
/// (probabilities [B,T,V], targets [B,T]) → loss, loss by position [B,T]
[[nodiscard]] OpPtr cross_entropy();
/// (logits [B,T,V], targets [B,T]) → loss, loss by position, lse [B,T]
[[nodiscard]] OpPtr softmax_cross_entropy();
/// (gradients…) → Σ x² of each [N]
[[nodiscard]] OpPtr squared_norms();
/// (squares [N]) → norm, clip factor; (squares, loss, gate) → norm, clip factor, gate: written over the gate
[[nodiscard]] OpPtr clip(double max_norm);
/// (w, m, v, gradient, clip factor, schedule [3]) → new w, m, v
[[nodiscard]] OpPtr adamw(const kernels::AdamWConstants& constants);

/// `op` with one more mask cell set by hand; null where it is no mask.
[[nodiscard]] OpPtr with_mask_cell(const Op& op, const MaskCell& cell);
/// `op` at another temperature; null where it is no softmax.
[[nodiscard]] OpPtr with_temperature(const Op& op, double temperature);

/// What rewrites ask: the factor of a scale, the temperature of a softmax, the kind of a mask without
/// hand-set cells; empty for other ops. (inference.h has more.)
[[nodiscard]] std::optional<double> scale_factor(const Op& op);
[[nodiscard]] std::optional<double> softmax_temperature(const Op& op);
[[nodiscard]] std::optional<kernels::MaskKind> plain_mask_kind(const Op& op);
/// ε of a norm.
[[nodiscard]] std::optional<double> layernorm_epsilon(const Op& op);
[[nodiscard]] std::optional<double> rmsnorm_epsilon(const Op& op);

}  // namespace headlight::ops
