// Fused attention forward: a block walks the tiles of keys for its queries, keeps a running maximum and sum
// of every row (online softmax), and never stores a score. Called through the kernel table.
//
// Four warps share a tile of queries, 16 or 32 rows each. The next tile of keys and values is on its way into
// the second buffer while the current one is multiplied, so that one barrier a tile is enough. Only tiles on
// the diagonal or at the end of the sequence test the mask; tiles wholly in the future are not visited.
#include "kernels/cuda/attention_hopper.h"
#include "kernels/cuda/attention_softmax.h"
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

  const int row = this_warp() * 16 * kM;
  const int first = i0 + row;  // query
  const float scale = a.scale * kLog2E;
  Accumulator<Cut::kM, kSize / 8> sums;
  clear<kM, kSize / 8>(sums);
  Running running[kM];
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    await_copies<0>();
    __syncthreads();
    if (tile + 1 < tiles) fetch(tile + 1);
    const int j0 = tile * kKeys;
    if (first >= a.T || j0 >= a.limit(first + 16 * kM - 1)) continue;
    Accumulator<Cut::kM, Cut::kKeys / 8> scores;
    multiply_rows<kM, kKeys / 8, Cut::kTogether>(scores, queries, row, keys(tile % 2));
    const bool border = j0 + kKeys > a.limit(first);
#pragma unroll
    for (int m = 0; m < kM; ++m) {
      if (border) mask_scores(scores[m], a, first + 16 * m, j0);
      float factor[2];
      running[m].absorb(scores[m], factor, scale);
      shrink(sums[m], factor);
    }
    add_product<kM, kKeys / 8>(sums, scores, values(tile % 2));
  }

#pragma unroll
  for (int m = 0; m < kM; ++m) {
    const int i = first + 16 * m;
    running[m].finish(lse + static_cast<int64_t>(blockIdx.x) * a.T + i, i, a.T);
  }
  write_out<kM>(a.output(z, b, h, i0), queries, row, sums,
                [&](int m, int half) { return 1.0F / running[m].total[half]; });
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
  if constexpr (kHopperBuilt && sizeof(E) == 2) {
    if (fits_hopper<E>(context, a)) {
      attention_forward_hopper(context, z, lse, qkv, a, B);
      return;
    }
  }
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
