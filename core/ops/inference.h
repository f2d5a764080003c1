// The ops of decode programs: a cache of keys and values, attention over it, and products with packed
// weights. They only run forward; the builder makes steps of them where ProgramOptions asks for a cache. S
// places of the cache, G heads of keys and values; positions [B]: places in use before the step, counts [B]:
// real tokens among the T new ones.
#pragma once

#include <cstdint>
#include <optional>

#include "core/ops/ops.h"

namespace headlight {

/// How the weights of a decode program are stored.
enum class WeightFormat { f32, bf16, int8 };

namespace ops {

/// (table [P,C], positions) → [B,T,C]: row positions[b] + t
[[nodiscard]] OpPtr position_at(int64_t T);
/// (past [B,G,S,D], x [B,T,G,D], positions, counts) → the cache with the new places, written over the past
/// one
[[nodiscard]] OpPtr cache_append(bool keys);
/// (q [B,T,H,D], key cache, positions, counts) → [B,H,Tq,S]; 0 at places that are not in use
[[nodiscard]] OpPtr cached_scores();
/// (scores [B,H,Tq,S], positions) → −∞ where a place lies behind the query's own
[[nodiscard]] OpPtr cached_mask();
/// (pattern [B,H,Tq,S], value cache, positions, counts) → z [B,T,H,D]
[[nodiscard]] OpPtr cached_weighted_sum();
/// (q, key cache, value cache, positions, counts) → z [B,T,C]: the four steps and the merge in one
[[nodiscard]] OpPtr cached_attention(double scale);
/// (x [B,T,C], counts) → [B,1,C]: the last real token of each sequence
[[nodiscard]] OpPtr last_token();
/// (tokens [B,T], packed table [V,C]) → [B,T,C]
[[nodiscard]] OpPtr packed_embedding(WeightFormat format, int64_t group);
/// (x [..,in], packed W, bias or none) → [..,out]; `group` of int8: inputs that share a scale, 0 for all
[[nodiscard]] OpPtr packed_linear(WeightFormat format, int64_t group, kernels::WeightLayout layout);

/// How a product with packed weights stores them.
struct PackedWeight {
  WeightFormat format = WeightFormat::bf16;
  int64_t group = 0;
  kernels::WeightLayout layout = kernels::WeightLayout::in_out;
};
/// A packed product with the steps around it.
struct FusedLinear {
  PackedWeight weight;
  kernels::LinearFusion::Norm norm = kernels::LinearFusion::Norm::none;
  double epsilon = 0;  ///< of the norm
  kernels::LinearFusion::Activation activation = kernels::LinearFusion::Activation::none;
};
/// (x [..,in], packed W, bias, gain, shift, residual [..,out]; all but the first two may be none) → [..,out]:
/// activation(norm(x)·W + bias) + residual
[[nodiscard]] OpPtr fused_linear(const FusedLinear& fusion);
/// (qkv [B,T,(H+2G)·D], past keys, past values [B,G,S,D], positions, counts) → z [B,T,H·D], the caches with
/// the new places, written over the past ones
[[nodiscard]] OpPtr decode_attention(int64_t H, double scale);

/// (tokens [B,T], packed table [V,C], places [P,C], positions) → [B,T,C]: packed_embedding + position_at
[[nodiscard]] OpPtr decode_embedding(WeightFormat format, int64_t group);

/// What the rewrite asks; empty for other ops.
[[nodiscard]] std::optional<PackedWeight> packed_weight(const Op& op);
/// Of packed_embedding.
[[nodiscard]] std::optional<PackedWeight> packed_table(const Op& op);
[[nodiscard]] std::optional<double> cached_attention_scale(const Op& op);

/// Rounds each run of `length` numbers to multiples of a 127th of the largest, in the kernels' own fp32 steps
/// so that ties fall the same way.
void round_runs(std::span<double> row, int64_t length);

/// The backend's kernels, or an Error that says that it has none.
[[nodiscard]] const kernels::InferenceKernels& inference_kernels(const StepMemory& memory);
[[nodiscard]] const kernels::DecodeKernels& decode_kernels(const StepMemory& memory);

}  // namespace ops
}  // namespace headlight
