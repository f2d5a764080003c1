// z = p·v for each batch item and head, and its gradients. z [B,T,H,D], v [B,T,H_kv,D], p [B,H,T,T]. The same
// three products as the scores', with other names.
#include "kernels/cuda/cuda.h"

namespace headlight::kernels::cuda {

template <class E>
void weighted_sum_forward(Context& context, E* z, const E* p, const E* v, int64_t B, int64_t T, int64_t H,
                          int64_t H_kv, int64_t D) {
  scores_backward_query(context, z, p, v, B, T, H, H_kv, D);
}

template <class E>
void weighted_sum_backward_pattern(Context& context, E* dp, const E* dz, const E* v, int64_t B, int64_t T,
                                   int64_t H, int64_t H_kv, int64_t D) {
  scores_forward(context, dp, dz, v, B, T, H, H_kv, D);
}

template <class E>
void weighted_sum_backward_value(Context& context, E* dv, const E* dz, const E* p, int64_t B, int64_t T,
                                 int64_t H, int64_t H_kv, int64_t D) {
  scores_backward_key(context, dv, p, dz, B, T, H, H_kv, D);
}

template WeightedSumForward<float> weighted_sum_forward<float>;
template WeightedSumForward<bfloat16> weighted_sum_forward<bfloat16>;
template WeightedSumForward<float16> weighted_sum_forward<float16>;
template WeightedSumBackwardPattern<float> weighted_sum_backward_pattern<float>;
template WeightedSumBackwardPattern<bfloat16> weighted_sum_backward_pattern<bfloat16>;
template WeightedSumBackwardPattern<float16> weighted_sum_backward_pattern<float16>;
template WeightedSumBackwardValue<float> weighted_sum_backward_value<float>;
template WeightedSumBackwardValue<bfloat16> weighted_sum_backward_value<bfloat16>;
template WeightedSumBackwardValue<float16> weighted_sum_backward_value<float16>;

}  // namespace headlight::kernels::cuda
