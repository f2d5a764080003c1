// AdamW: weights and both moments in a single pass over memory.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

namespace {

__global__ void adamw_step(float* w_new, float* m_new, float* v_new, const float* w, const float* m,
                           const float* v, const float* g, const float* clip, const float* schedule,
                           AdamWConstants k, int64_t n, bool vectors) {
  const float factor = clip[0];
  if (std::isnan(factor)) {  // a closed gate: nothing changes
    for_array<float>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      store<N>(w_new + i, load<N>(w + i));
      store<N>(m_new + i, load<N>(m + i));
      store<N>(v_new + i, load<N>(v + i));
    });
    return;
  }
  const float rate = schedule[0];
  const float inverse_correction1 = 1.0F / schedule[1];
  const float inverse_correction2 = 1.0F / schedule[2];
  for_array<float>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    const Floats<N> gradient = load<N>(g + i);
    Floats<N> first = load<N>(m + i);
    Floats<N> second = load<N>(v + i);
    Floats<N> weight = load<N>(w + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float slope = gradient[j] * factor;
      first[j] = k.beta1 * first[j] + (1.0F - k.beta1) * slope;
      second[j] = k.beta2 * second[j] + (1.0F - k.beta2) * (slope * slope);
      const float step =
          first[j] * inverse_correction1 / (sqrtf(second[j] * inverse_correction2) + k.epsilon);
      weight[j] -= rate * (step + k.weight_decay * weight[j]);
    }
    store<N>(w_new + i, weight);
    store<N>(m_new + i, first);
    store<N>(v_new + i, second);
  });
}

}  // namespace

void adamw(Context& context, float* w_new, float* m_new, float* v_new, const float* w, const float* m,
           const float* v, const float* g, const float* clip, const float* schedule,
           const AdamWConstants& constants, int64_t n) {
  launch(context, adamw_step, blocks_for(context, n, 256 * kLanes<float>), 256, 0, w_new, m_new, v_new, w, m,
         v, g, clip, schedule, constants, n, aligned(w_new, m_new, v_new, w, m, v, g));
}

}  // namespace headlight::kernels::cuda
