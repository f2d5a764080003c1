// Where the heads of a fused attention lie in memory, and which kernels serve which head size. Included by
// attention.cu, attention_backward.cu and attention_general.cu.
//
// A row of qkv holds H queries, then H_kv keys, then H_kv values of D elements each; query head h looks at
// key head h / (H / H_kv).
#pragma once

#include <type_traits>

#include "kernels/cuda/attention_tile.h"
#include "kernels/kernels.h"

namespace headlight::kernels::cuda {

/// log2 e and ln 2: the kernels count in powers of two.
inline constexpr float kLog2E = 1.44269504F;
inline constexpr float kLn2 = 0.693147181F;

/// One fused attention.
struct Attention {
  int T, H, H_kv, D;
  float scale;  ///< of the scores; positive
  bool causal;
  bool wide;  ///< rows of heads start and end at multiples of 16 bytes, else of 4

  /// Elements of a row of qkv.
  __host__ __device__ int64_t packed() const { return static_cast<int64_t>(H + 2 * H_kv) * D; }
  /// Part `part` (a query, key or value head) of batch item b in a buffer like qkv, from its `row` on.
  template <class E>
  __device__ Rows<E> head(E* qkv, int64_t b, int part, int row = 0) const {
    return {qkv + (b * T + row) * packed() + static_cast<int64_t>(part) * D, packed(), T - row, D, wide};
  }
  /// Head h of batch item b in a buffer like z [B,T,H·D], from its `row` on.
  template <class E>
  __device__ Rows<E> output(E* z, int64_t b, int h, int row = 0) const {
    const int64_t stride = static_cast<int64_t>(H) * D;
    return {z + (b * T + row) * stride + static_cast<int64_t>(h) * D, stride, T - row, D, wide};
  }
  /// First key that query i does not see.
  __device__ int limit(int i) const { return causal && i < T ? i + 1 : T; }
  /// The part that holds the keys of query head h; its values come H_kv parts later.
  __device__ int key_part(int h) const { return H + h / (H / H_kv); }
};

/// An attention of elements E.
template <class E>
Attention attention_of(float scale, MaskKind kind, int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  return {.T = static_cast<int>(T),
          .H = static_cast<int>(H),
          .H_kv = static_cast<int>(H_kv),
          .D = static_cast<int>(D),
          .scale = scale,
          .causal = kind == MaskKind::causal,
          .wide = D * static_cast<int64_t>(sizeof(E)) % 16 == 0};
}

/// Whether tiles serve this head size: at most 128, rows in whole words.
template <class E>
bool fits_tiles(int64_t D) {
  return D <= 128 && D * static_cast<int64_t>(sizeof(E)) % 4 == 0;
}

/// Calls run with the narrowest tile that holds D columns, as a type.
template <class Run>
void with_tile_size(int D, const Run& run) {
  if (D <= 32) {
    run(std::integral_constant<int, 32>{});
  } else if (D <= 64) {
    run(std::integral_constant<int, 64>{});
  } else {
    run(std::integral_constant<int, 128>{});
  }
}

/// Head sizes beyond the tiles (attention_general.cu).
template <class E>
void attention_forward_general(Context&, E* z, float* lse, const E* qkv, const Attention& a, int64_t B);
template <class E>
void attention_backward_general(Context&, E* dqkv, const E* dz, const E* z, const float* lse, const E* qkv,
                                const Attention& a, int64_t B);

/// Index of this thread's warp, as a value that the compiler knows to be the same in all its lanes.
__device__ inline int this_warp() { return __shfl_sync(kAllLanes, warp_index(), 0); }

/// How many tiles of `size` cover n rows.
__host__ __device__ constexpr int tiles_over(int n, int size) { return (n + size - 1) / size; }

}  // namespace headlight::kernels::cuda
