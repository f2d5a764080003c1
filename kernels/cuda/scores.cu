// s = q·kᵀ for each batch item and head, and its gradients. q [B,T,H,D], k [B,T,H_kv,D], s [B,H,T,T]; query
// head h reads key head h / (H / H_kv).
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/gemm.h"

namespace headlight::kernels::cuda {

namespace {

// How the matrices of a batch lie: all items and heads in one batch where each query head has a key head of
// its own, else a batch for each item, its groups outside and the heads of a group inside.
struct Heads {
  int64_t B, T, H, H_kv, D;
  [[nodiscard]] int64_t group() const { return H / H_kv; }
  [[nodiscard]] Batch batch(Stride a, Stride b, Stride c) const {
    return group() == 1 ? Batch{B, H, a, b, c} : Batch{H_kv, group(), a, b, c};
  }
  // From one item, or group of an item, to the next, and from one head to the next.
  [[nodiscard]] Stride own() const { return {group() == 1 ? T * H * D : group() * D, D}; }
  [[nodiscard]] Stride shared() const { return {group() == 1 ? T * H * D : D, group() == 1 ? D : 0}; }
  [[nodiscard]] Stride planes() const { return {(group() == 1 ? H : group()) * T * T, T * T}; }
  // Calls body(first element of q, of k, of s) once, or once for each batch item.
  template <class Body>
  void each(const Body& body) const {
    for (int64_t b = 0; b < (group() == 1 ? 1 : B); ++b) body(b * T * H * D, b * T * H_kv * D, b * H * T * T);
  }
};

// dk of a key head from the shares of its query heads [B·T,H,D].
template <class E>
__global__ void add_group(E* dk, const float* shares, int64_t n, int64_t D, int64_t group) {
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const float* from = shares + i / D * group * D + i % D;
    float total = 0.0F;
    for (int64_t g = 0; g < group; ++g) total += from[g * D];
    dk[i] = from_float<E>(total);
  }
}

}  // namespace

template <class E>
void scores_forward(Context& context, E* s, const E* q, const E* k, int64_t B, int64_t T, int64_t H,
                    int64_t H_kv, int64_t D) {
  const Heads heads{B, T, H, H_kv, D};
  heads.each([&](int64_t q0, int64_t k0, int64_t s0) {
    gemm(context, s + s0, T, {q + q0, H * D, false}, Operand<E>{k + k0, H_kv * D, true}, T, T, D, nullptr,
         heads.batch(heads.own(), heads.shared(), heads.planes()));
  });
}

template <class E>
void scores_backward_query(Context& context, E* dq, const E* ds, const E* k, int64_t B, int64_t T, int64_t H,
                           int64_t H_kv, int64_t D) {
  const Heads heads{B, T, H, H_kv, D};
  heads.each([&](int64_t q0, int64_t k0, int64_t s0) {
    gemm(context, dq + q0, H * D, {ds + s0, T, false}, Operand<E>{k + k0, H_kv * D, false}, T, D, T, nullptr,
         heads.batch(heads.planes(), heads.shared(), heads.own()));
  });
}

template <class E>
void scores_backward_key(Context& context, E* dk, const E* ds, const E* q, int64_t B, int64_t T, int64_t H,
                         int64_t H_kv, int64_t D) {
  // As if every query head had a key head of its own; shared ones are added afterwards, in float.
  const Heads own{B, T, H, H, D};
  const Batch batch = own.batch(own.planes(), own.own(), own.own());
  const Operand<E> queries{q, H * D, false};
  if (H == H_kv) {
    gemm(context, dk, H * D, {ds, T, true}, queries, T, D, T, nullptr, batch);
    return;
  }
  auto* shares = on_cuda(context).workspace<float>(B * T * H * D);
  gemm(context, shares, H * D, {ds, T, true}, queries, T, D, T, nullptr, batch);
  const int64_t n = B * T * H_kv * D;
  launch(context, add_group<E>, blocks_for(context, n, 256), 256, 0, dk, shares, n, D, H / H_kv);
}

template ScoresForward<float> scores_forward<float>;
template ScoresForward<bfloat16> scores_forward<bfloat16>;
template ScoresForward<float16> scores_forward<float16>;
template ScoresBackwardQuery<float> scores_backward_query<float>;
template ScoresBackwardQuery<bfloat16> scores_backward_query<bfloat16>;
template ScoresBackwardQuery<float16> scores_backward_query<float16>;
template ScoresBackwardKey<float> scores_backward_key<float>;
template ScoresBackwardKey<bfloat16> scores_backward_key<bfloat16>;
template ScoresBackwardKey<float16> scores_backward_key<float16>;

}  // namespace headlight::kernels::cuda
