// AdamW: weights and both moments in a single pass over memory, for one tensor or for all of them.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/tensor_list.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

namespace {

__global__ void adamw_step(const TensorList<UpdatedTensor> list, const float* clip, const float* schedule,
                           AdamWConstants k) {
  const Piece piece = piece_of(list);
  const UpdatedTensor& t = list.at[piece.index];
  float* w_new = t.w_new + piece.begin;
  float* m_new = t.m_new + piece.begin;
  float* v_new = t.v_new + piece.begin;
  const float* w = t.w + piece.begin;
  const float* m = t.m + piece.begin;
  const float* v = t.v + piece.begin;
  const float* g = t.g + piece.begin;
  const float weight_decay = t.weight_decay;
  const bool vectors = vectors_in(w_new, m_new, v_new, w, m, v, g);
  const float factor = clip[0];
  const auto first_index = static_cast<int64_t>(threadIdx.x);
  if (std::isnan(factor)) {  // a closed gate: nothing changes
    for_array<float>(piece.n, vectors, first_index, kPieceThreads, [&](int64_t i, auto count) {
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
  for_array<float>(piece.n, vectors, first_index, kPieceThreads, [&](int64_t i, auto count) {
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
      weight[j] -= rate * (step + weight_decay * weight[j]);
    }
    store<N>(w_new + i, weight);
    store<N>(m_new + i, first);
    store<N>(v_new + i, second);
  });
}

}  // namespace

void adamw_all(Context& context, std::span<const UpdatedTensor> tensors, const float* clip,
               const float* schedule, const AdamWConstants& constants) {
  for_lists(tensors, [&](const TensorList<UpdatedTensor>& list, int pieces, size_t /*from*/) {
    launch(context, adamw_step, pieces, kPieceThreads, 0, list, clip, schedule, constants);
  });
}

void adamw(Context& context, float* w_new, float* m_new, float* v_new, const float* w, const float* m,
           const float* v, const float* g, const float* clip, const float* schedule,
           const AdamWConstants& constants, int64_t n) {
  const UpdatedTensor only{w_new, m_new, v_new, w, m, v, g, constants.weight_decay, n};
  adamw_all(context, {&only, 1}, clip, schedule, constants);
}

}  // namespace headlight::kernels::cuda
