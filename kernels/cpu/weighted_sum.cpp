// z = p·v for each batch item and head, and its gradients. z [B,T,H,D], v [B,T,H_kv,D], p [B,H,T,T]. The same
// three products as the scores', with other names.
#include "kernels/cpu/cpu.h"

namespace headlight::kernels::cpu {

void weighted_sum_forward(Context& context, float* z, const float* p, const float* v, int64_t B, int64_t T,
                          int64_t H, int64_t H_kv, int64_t D) {
  scores_backward_query(context, z, p, v, B, T, H, H_kv, D);
}

void weighted_sum_backward_pattern(Context& context, float* dp, const float* dz, const float* v, int64_t B,
                                   int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  scores_forward(context, dp, dz, v, B, T, H, H_kv, D);
}

void weighted_sum_backward_value(Context& context, float* dv, const float* dz, const float* p, int64_t B,
                                 int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  scores_backward_key(context, dv, p, dz, B, T, H, H_kv, D);
}

}  // namespace headlight::kernels::cpu
