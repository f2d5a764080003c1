// AdamW: weights and both moments in a single pass over memory.
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"

namespace headlight::kernels::cpu {

void adamw(Context& context, float* w_new, float* m_new, float* v_new, const float* w, const float* m,
           const float* v, const float* g, const float* clip, const float* schedule,
           const AdamWConstants& constants, int64_t n) {
  const float factor = clip[0];
  if (std::isnan(factor)) {
    for_elements(context, n, kMathChunk, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        w_new[i] = w[i];
        m_new[i] = m[i];
        v_new[i] = v[i];
      }
    });
    return;
  }
  const float rate = schedule[0];
  const float inverse_correction1 = 1.0F / schedule[1];
  const float inverse_correction2 = 1.0F / schedule[2];
  const AdamWConstants k = constants;
  for_elements(context, n, kMathChunk, [&](int64_t begin, int64_t end) {
  // In place or distinct, element i depends on element i alone.
#pragma GCC ivdep
    for (int64_t i = begin; i < end; ++i) {
      const float gradient = g[i] * factor;
      const float first = k.beta1 * m[i] + (1.0F - k.beta1) * gradient;
      const float second = k.beta2 * v[i] + (1.0F - k.beta2) * (gradient * gradient);
      const float step = first * inverse_correction1 / (std::sqrt(second * inverse_correction2) + k.epsilon);
      w_new[i] = w[i] - rate * (step + k.weight_decay * w[i]);
      m_new[i] = first;
      v_new[i] = second;
    }
  });
}

}  // namespace headlight::kernels::cpu
