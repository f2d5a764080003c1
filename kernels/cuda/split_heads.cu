// q [B,T,H,D], k and v [B,T,H_kv,D] from qkv [B,T,(H+2·H_kv)·D] and back, and the heads side by side again.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;

// Parts of a row of qkv: q, k and v lie in it one behind another.
template <class E>
struct Parts {
  E* at[3];
  int64_t width[3];
};

// Segment s of 3·R: part s mod 3 of row s / 3.
template <class E, bool kJoin>
__global__ void copy_parts(E* packed, Parts<E> parts, int64_t R, bool vectors) {
  using Row = Team<false>;
  const int64_t all = parts.width[0] + parts.width[1] + parts.width[2];
  for (int64_t s = Row::first_row(); s < 3 * R; s += Row::row_step()) {
    const auto part = static_cast<int>(s % 3);
    const int64_t r = s / 3;
    const int64_t width = parts.width[part];
    E* alone = parts.at[part] + r * width;
    E* inside = packed + r * all + (part > 0 ? parts.width[0] : 0) + (part > 1 ? parts.width[1] : 0);
    E* to = kJoin ? inside : alone;
    const E* from = kJoin ? alone : inside;
    for_array<E>(width, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      *reinterpret_cast<Packed<E, N>*>(to + i) = *reinterpret_cast<const Packed<E, N>*>(from + i);
    });
  }
}

template <bool kJoin, class E>
void launch_copy(Context& context, E* packed, const Parts<E>& parts, int64_t R) {
  const bool vectors = aligned(packed, parts.at[0], parts.at[1], parts.at[2]) &&
                       parts.width[0] % kLanes<E> == 0 && parts.width[1] % kLanes<E> == 0;
  launch(context, copy_parts<E, kJoin>, blocks_for(context, 3 * R, kThreads / kWarp), kThreads, 0, packed,
         parts, R, vectors);
}

}  // namespace

// One kernel copies both ways, so it takes what it only reads without const.
template <class E>
void split_heads_forward(Context& context, E* q, E* k, E* v, const E* qkv, int64_t B, int64_t T, int64_t H,
                         int64_t H_kv, int64_t D) {
  launch_copy<false>(context, const_cast<E*>(qkv), Parts<E>{{q, k, v}, {H * D, H_kv * D, H_kv * D}}, B * T);
}

template <class E>
void split_heads_backward(Context& context, E* dqkv, const E* dq, const E* dk, const E* dv, int64_t B,
                          int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  launch_copy<true>(
      context, dqkv,
      Parts<E>{{const_cast<E*>(dq), const_cast<E*>(dk), const_cast<E*>(dv)}, {H * D, H_kv * D, H_kv * D}},
      B * T);
}

template <class E>
void merge_heads(Context& context, E* y, const E* x, int64_t B, int64_t T, int64_t H, int64_t D) {
  // [B,T,H,D] already has the heads of a token next to each other.
  if (y == x) return;
  check(cudaMemcpyAsync(y, x, static_cast<size_t>(B * T * H * D) * sizeof(E), cudaMemcpyDeviceToDevice,
                        on_cuda(context).stream()),
        "copying the heads");
}

template SplitHeadsForward<float> split_heads_forward<float>;
template SplitHeadsForward<bfloat16> split_heads_forward<bfloat16>;
template SplitHeadsForward<float16> split_heads_forward<float16>;
template SplitHeadsBackward<float> split_heads_backward<float>;
template SplitHeadsBackward<bfloat16> split_heads_backward<bfloat16>;
template SplitHeadsBackward<float16> split_heads_backward<float16>;
template MergeHeads<float> merge_heads<float>;
template MergeHeads<bfloat16> merge_heads<bfloat16>;
template MergeHeads<float16> merge_heads<float16>;

}  // namespace headlight::kernels::cuda
