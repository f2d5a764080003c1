// Fused attention forward: a block walks the tiles of keys for its queries, keeps a running maximum and sum
// of every row (online softmax), and never stores a score. Called through the kernel table.
//
// Four warps share a tile of queries, 16 or 32 rows each. The next tile of keys and values is on its way into
// the second buffer while the current one is multiplied, so that one barrier a tile is enough. Only tiles on
// the diagonal or at the end of the sequence test the mask; tiles wholly in the future are not visited.
#include "kernels/cuda/attention_heads.h"
#include "kernels/cuda/cuda.h"

namespace headlight::kernels::cuda {

namespace {

// kBlocks: how many blocks a multiprocessor's registers hold at once, 2 at up to 255 of them a thread, 3 at
// 168; as many as come without spilling.
template <class E, int kSize>
struct ForwardCut {
  static constexpr int kM = sizeof(E) == 2 ? 2 : 1;  // fragments of 16 queries of a warp
  static constexpr int kQueries = kTileWarps * 16 * kM;
  static constexpr int kKeys = sizeof(E) == 2 && kSize <= 64 ? 64 : 32;
  static constexpr int kTogether = sizeof(E) == 2 ? 8 : 2;  // steps of a product that are unrolled
  static constexpr int kBlocks = kSize == 32 || (sizeof(E) == 4 && kSize == 64) ? 3 : 2;
  static constexpr int kBytes = Tile<E, kSize>::bytes(kQueries + 4 * kKeys);
};

// What the rows of one warp have seen: 2^shift is taken out of every power, total = Σ 2^(score − shift) over
// this lane's columns. Index [m][half]: row 16m + 8·half + g.
template <int kM>
struct Running {
  float shift[kM][2];
  float total[kM][2];
};

// Turns scores into powers relative to the new maximum, and shrinks what was summed before.
template <int kM, int kN, int kColumns>
__device__ void absorb(Running<kM>& running, Accumulator<kM, kN>& scores, Accumulator<kM, kColumns>& sums,
                       float scale) {
#pragma unroll
  for (int m = 0; m < kM; ++m) {
    float factor[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float highest = scores[m][0][2 * half];
#pragma unroll
      for (int n = 0; n < kN; ++n)
        highest = fmaxf(highest, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
      highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, 1));
      highest = fmaxf(highest, __shfl_xor_sync(kAllLanes, highest, 2));
      const float shift = fmaxf(running.shift[m][half], highest * scale);
      factor[half] = exp2_approximate(running.shift[m][half] - shift);
      float total = 0.0F;
#pragma unroll
      for (int n = 0; n < kN; ++n) {
#pragma unroll
        for (int e = 2 * half; e < 2 * half + 2; ++e) {
          scores[m][n][e] = exp2_approximate(fmaf(scores[m][n][e], scale, -shift));
          total += scores[m][n][e];
        }
      }
      running.shift[m][half] = shift;
      running.total[m][half] = running.total[m][half] * factor[half] + total;
    }
    // After a few tiles the maximum rarely moves, and nothing shrinks.
    if (__any_sync(kAllLanes, factor[0] != 1.0F || factor[1] != 1.0F)) {
#pragma unroll
      for (int n = 0; n < kColumns; ++n)
#pragma unroll
        for (int e = 0; e < 4; ++e) sums[m][n][e] *= factor[e / 2];
    }
  }
}

// Grid: x the heads of the batch, y the tiles of queries, the longest rows first.
template <class E, int kSize>
__global__ void __launch_bounds__(kTileThreads, ForwardCut<E, kSize>::kBlocks)
    attention_forward_kernel(E* z, float* lse, const E* qkv, Attention a) {
  using Cut = ForwardCut<E, kSize>;
  using SizedTile = Tile<E, kSize>;
  constexpr int kM = Cut::kM;
  constexpr int kKeys = Cut::kKeys;
  char* memory = shared_memory<char>();
  const SizedTile queries(memory);
  const auto keys = [memory](int buffer) {
    return SizedTile(memory + SizedTile::bytes(Cut::kQueries + 2 * buffer * kKeys));
  };
  const auto values = [memory](int buffer) {
    return SizedTile(memory + SizedTile::bytes(Cut::kQueries + (2 * buffer + 1) * kKeys));
  };

  const int b = static_cast<int>(blockIdx.x) / a.H;
  const int h = static_cast<int>(blockIdx.x) % a.H;
  const int i0 = static_cast<int>(gridDim.y - 1 - blockIdx.y) * Cut::kQueries;
  const int tiles = tiles_over(a.limit(min(a.T, i0 + Cut::kQueries) - 1), kKeys);
  const int part = a.key_part(h);
  const auto fetch = [&](int tile) {
    keys(tile % 2).template fetch<kKeys>(a.head(qkv, b, part, tile * kKeys));
    values(tile % 2).template fetch<kKeys>(a.head(qkv, b, part + a.H_kv, tile * kKeys));
    close_copies();
  };
  queries.template fetch<Cut::kQueries>(a.head(qkv, b, h, i0));
  fetch(0);

  const Lane lane = this_lane();
  const int row = this_warp() * 16 * kM;
  const int first = i0 + row;  // query
  const float scale = a.scale * kLog2E;
  Accumulator<Cut::kM, kSize / 8> sums;
  clear<kM, kSize / 8>(sums);
  Running<kM> running;
#pragma unroll
  for (int m = 0; m < kM; ++m) {
    running.shift[m][0] = running.shift[m][1] = -INFINITY;
    running.total[m][0] = running.total[m][1] = 0.0F;
  }
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    await_copies<0>();
    __syncthreads();
    if (tile + 1 < tiles) fetch(tile + 1);
    const int j0 = tile * kKeys;
    if (first >= a.T || j0 >= a.limit(first + 16 * kM - 1)) continue;
    Accumulator<Cut::kM, Cut::kKeys / 8> scores;
    multiply_rows<kM, kKeys / 8, Cut::kTogether>(scores, queries, row, keys(tile % 2));
    if (j0 + kKeys > a.limit(first)) {
#pragma unroll
      for (int m = 0; m < kM; ++m)
#pragma unroll
        for (int n = 0; n < kKeys / 8; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e)
            if (j0 + column_of(n, e, lane) >= a.limit(first + row_of(m, e, lane)))
              scores[m][n][e] = -INFINITY;
    }
    absorb(running, scores, sums, scale);
    add_product<kM, kKeys / 8>(sums, scores, values(tile % 2));
  }

#pragma unroll
  for (int m = 0; m < kM; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float& total = running.total[m][half];
      total += __shfl_xor_sync(kAllLanes, total, 1);
      total += __shfl_xor_sync(kAllLanes, total, 2);
      const int i = first + row_of(m, 2 * half, lane);
      if (lane.t == 0 && i < a.T) {
        lse[static_cast<int64_t>(blockIdx.x) * a.T + i] = (running.shift[m][half] + log2f(total)) * kLn2;
      }
    }
  }
  write_out<kM>(a.output(z, b, h, i0), queries, row, sums,
                [&](int m, int half) { return 1.0F / running.total[m][half]; });
}

template <class E, int kSize>
void launch_forward(Context& context, E* z, float* lse, const E* qkv, const Attention& a, int64_t B) {
  using Cut = ForwardCut<E, kSize>;
  allow_shared_memory(attention_forward_kernel<E, kSize>, Cut::kBytes);
  const dim3 grid(static_cast<unsigned>(B * a.H), static_cast<unsigned>(tiles_over(a.T, Cut::kQueries)));
  launch(context, attention_forward_kernel<E, kSize>, grid, kTileThreads, Cut::kBytes, z, lse, qkv, a);
}

}  // namespace

template <class E>
void attention_forward(Context& context, E* z, float* lse, const E* qkv, float scale, MaskKind kind,
                       int64_t B, int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  const Attention a = attention_of<E>(scale, kind, T, H, H_kv, D);
  if (!fits_tiles<E>(D)) {
    attention_forward_general(context, z, lse, qkv, a, B);
    return;
  }
  with_tile_size(a.D, [&](auto size) { launch_forward<E, size.value>(context, z, lse, qkv, a, B); });
}

template AttentionForward<float> attention_forward<float>;
template AttentionForward<bfloat16> attention_forward<bfloat16>;
template AttentionForward<float16> attention_forward<float16>;

}  // namespace headlight::kernels::cuda
