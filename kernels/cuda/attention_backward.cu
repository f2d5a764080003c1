// Fused attention backward, in two passes without atomics, so that every sum has one order: the first walks
// the keys for each tile of queries and writes dq (and δ = Σ dz ⊙ z of each row on the way), the second walks
// the queries for each tile of keys and writes dk and dv. Both recompute the pattern from the stored
// log-sum-exp. Called through the kernel table.
//
// The second pass holds its scores transposed, keys by queries, so that patternᵀ and dscoresᵀ stand in
// registers just as the products for dv and dk want them.
#include "kernels/cuda/attention_backward.h"
#include "kernels/cuda/attention_hopper.h"
#include "kernels/cuda/cuda.h"

namespace headlight::kernels::cuda {

namespace {

// Rows a block owns and rows it walks over, by registers: the sums of a warp take kM·kSize/2 of them (twice
// in the second pass), scores and their gradient kM·kWalked/2.
template <class E, int kSize>
struct QueryCut {
  static constexpr int kM = sizeof(E) == 2 && kSize <= 64 ? 2 : 1;
  static constexpr int kOwned = kTileWarps * 16 * kM;
  static constexpr int kWalked = sizeof(E) == 4 && kSize > 64 ? 16 : 32;
  static constexpr int kBlocks = kSize == (sizeof(E) == 2 ? 64 : 128) ? 2 : 3;  // as in attention.cu
  static constexpr int kBytes = Tile<E, kSize>::bytes(2 * kOwned + 4 * kWalked);
};
template <class E, int kSize>
struct KeyCut {
  static constexpr int kM = sizeof(E) == 2 && kSize <= 64 ? 2 : 1;
  static constexpr int kOwned = kTileWarps * 16 * kM;
  static constexpr int kWalked = QueryCut<E, kSize>::kWalked;
  static constexpr int kBlocks = sizeof(E) == 4 && kSize <= 64 ? 3 : 2;
  static constexpr int kBytes =
      Tile<E, kSize>::bytes(2 * kOwned + 4 * kWalked) + 4 * kWalked * static_cast<int>(sizeof(float));
};

// Tiles in a row in shared memory: two that a block owns, and two buffers of two that it walks over.
template <class E, int kSize, int kOwned, int kWalked>
struct Places {
  char* memory;
  __device__ Tile<E, kSize> owned(int i) const { return at(i * kOwned); }
  __device__ Tile<E, kSize> walked(int i, int buffer) const {
    return at(2 * kOwned + (2 * buffer + i) * kWalked);
  }
  // Two floats for each walked row of each buffer, behind the tiles.
  __device__ float* row_values(int i, int buffer) const {
    return reinterpret_cast<float*>(memory + Tile<E, kSize>::bytes(2 * kOwned + 4 * kWalked)) +
           (2 * buffer + i) * kWalked;
  }

 private:
  __device__ Tile<E, kSize> at(int rows) const {
    return Tile<E, kSize>(memory + Tile<E, kSize>::bytes(rows));
  }
};

// Grid: x the query heads of the batch, y the tiles of queries, the longest rows first.
template <class E, int kSize>
__global__ void __launch_bounds__(kTileThreads, QueryCut<E, kSize>::kBlocks)
    attention_backward_query_kernel(E* dqkv, float* delta, const E* dz, const E* z, const float* lse,
                                    const E* qkv, Attention a) {
  using Cut = QueryCut<E, kSize>;
  constexpr int kM = Cut::kM;
  constexpr int kKeys = Cut::kWalked;
  const Places<E, kSize, Cut::kOwned, kKeys> places{shared_memory<char>()};
  const auto queries = places.owned(0);
  const auto dz_tile = places.owned(1);

  const int b = static_cast<int>(blockIdx.x) / a.H;
  const int h = static_cast<int>(blockIdx.x) % a.H;
  const int i0 = static_cast<int>(gridDim.y - 1 - blockIdx.y) * Cut::kOwned;
  const int tiles = tiles_over(a.limit(min(a.T, i0 + Cut::kOwned) - 1), kKeys);
  const int part = a.key_part(h);
  const auto fetch = [&](int tile) {
    places.walked(0, tile % 2).template fetch<kKeys>(a.head(qkv, b, part, tile * kKeys));
    places.walked(1, tile % 2).template fetch<kKeys>(a.head(qkv, b, part + a.H_kv, tile * kKeys));
    close_copies();
  };
  dz_tile.template fetch<Cut::kOwned>(a.output(dz, b, h, i0));
  close_copies();
  queries.template fetch<Cut::kOwned>(a.head(qkv, b, h, i0));
  fetch(0);

  const Lane lane = this_lane();
  const int row = this_warp() * 16 * kM;
  const int first = i0 + row;  // query
  const int64_t first_row = static_cast<int64_t>(blockIdx.x) * a.T;
  const float scale = a.scale * kLog2E;
  await_copies<1>();
  __syncthreads();
  float shift[kM][2];
  float dot[kM][2];
#pragma unroll
  for (int m = 0; m < kM; ++m) {
    const RowDots<E, kSize> dots(a.output(z, b, h, i0), row + 16 * m);
    dots.sum(dot[m], delta + first_row + i0, dz_tile);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int i = first + row_of(m, 2 * half, lane);
      shift[m][half] = i < a.T ? lse[first_row + i] * kLog2E : 0.0F;
    }
  }
  Accumulator<Cut::kM, kSize / 8> dq;
  clear<kM, kSize / 8>(dq);
#pragma unroll 1
  for (int tile = 0; tile < tiles; ++tile) {
    await_copies<0>();
    __syncthreads();
    if (tile + 1 < tiles) fetch(tile + 1);
    const int j0 = tile * kKeys;
    if (first >= a.T || j0 >= a.limit(first + 16 * kM - 1)) continue;
    Accumulator<Cut::kM, Cut::kWalked / 8> scores;
    Accumulator<Cut::kM, Cut::kWalked / 8> dscores;
    multiply_rows<kM, kKeys / 8, 8>(scores, queries, row, places.walked(0, tile % 2));
    multiply_rows<kM, kKeys / 8, 8>(dscores, dz_tile, row, places.walked(1, tile % 2));
    const bool border = j0 + kKeys > a.limit(first);
#pragma unroll
    for (int m = 0; m < kM; ++m) {
#pragma unroll
      for (int n = 0; n < kKeys / 8; ++n) {
#pragma unroll
        for (int e = 0; e < 4; ++e) {
          const float p = exp2_approximate(fmaf(scores[m][n][e], scale, -shift[m][e / 2]));
          dscores[m][n][e] = p * (dscores[m][n][e] - dot[m][e / 2]);
          if (border && j0 + column_of(n, e, lane) >= a.limit(first + row_of(m, e, lane)))
            dscores[m][n][e] = 0.0F;
        }
      }
    }
    add_product<kM, kKeys / 8>(dq, dscores, places.walked(0, tile % 2));
  }
  write_out<kM>(a.head(dqkv, b, h, i0), queries, row, dq, [&](int, int) { return a.scale; });
}

// Grid: x the key heads of the batch, y the tiles of keys; the first keys are seen by the most queries.
template <class E, int kSize>
__global__ void __launch_bounds__(kTileThreads, KeyCut<E, kSize>::kBlocks)
    attention_backward_key_kernel(E* dqkv, const float* delta, const E* dz, const float* lse, const E* qkv,
                                  Attention a) {
  using Cut = KeyCut<E, kSize>;
  constexpr int kM = Cut::kM;
  constexpr int kQueries = Cut::kWalked;
  const Places<E, kSize, Cut::kOwned, kQueries> places{shared_memory<char>()};
  const auto keys = places.owned(0);
  const auto values = places.owned(1);

  const int b = static_cast<int>(blockIdx.x) / a.H_kv;
  const int key_head = static_cast<int>(blockIdx.x) % a.H_kv;
  const int j0 = static_cast<int>(blockIdx.y) * Cut::kOwned;
  // The walk: the tiles of queries of each head that looks at these keys, head after head.
  const int begin = a.causal ? j0 / kQueries * kQueries : 0;
  const int heads = a.H / a.H_kv;
  const int last_head = (key_head + 1) * heads - 1;
  int h = key_head * heads;
  int i0 = begin;
  const auto advance = [&] {
    i0 += kQueries;
    if (i0 >= a.T) {
      i0 = begin;
      ++h;
    }
    return h <= last_head;
  };
  const auto fetch = [&](int buffer) {
    places.walked(0, buffer).template fetch<kQueries>(a.head(qkv, b, h, i0));
    places.walked(1, buffer).template fetch<kQueries>(a.output(dz, b, h, i0));
    const int i = static_cast<int>(threadIdx.x);
    if (i < kQueries) {
      const bool wanted = i0 + i < a.T;
      const int64_t at = (static_cast<int64_t>(b) * a.H + h) * a.T + (wanted ? i0 + i : 0);
      copy_async_4(places.row_values(0, buffer) + i, lse + at, wanted);
      copy_async_4(places.row_values(1, buffer) + i, delta + at, wanted);
    }
    close_copies();
  };
  keys.template fetch<Cut::kOwned>(a.head(qkv, b, a.H + key_head, j0));
  values.template fetch<Cut::kOwned>(a.head(qkv, b, a.H + a.H_kv + key_head, j0));
  fetch(0);

  const Lane lane = this_lane();
  const int row = this_warp() * 16 * kM;
  const int first = j0 + row;  // key
  const float scale = a.scale * kLog2E;
  Accumulator<Cut::kM, kSize / 8> dk;
  Accumulator<Cut::kM, kSize / 8> dv;
  clear<kM, kSize / 8>(dk);
  clear<kM, kSize / 8>(dv);
  bool more = true;
#pragma unroll 1
  for (int buffer = 0; more; buffer ^= 1) {
    await_copies<0>();
    __syncthreads();
    const int ahead = first - i0;  // how far the warp's keys lie behind the tile's queries
    more = advance();
    if (more) fetch(buffer ^ 1);
    if (first >= a.T || (a.causal && ahead >= kQueries)) continue;
    const auto query_tile = places.walked(0, buffer);
    const auto dz_tile = places.walked(1, buffer);
    const float* shifts = places.row_values(0, buffer);
    const float* dots = places.row_values(1, buffer);
    Accumulator<Cut::kM, Cut::kWalked / 8> pattern;
    multiply_rows<kM, kQueries / 8, 2>(pattern, keys, row, query_tile);
    // Queries beyond T are rows of zeros: whatever their pattern is, they add nothing.
    const bool border = a.causal && ahead > 1 - 16 * kM;
#pragma unroll
    for (int n = 0; n < kQueries / 8; ++n) {
#pragma unroll
      for (int e = 0; e < 2; ++e) {
        const int i = column_of(n, e, lane);
        const float shift = shifts[i] * kLog2E;
#pragma unroll
        for (int m = 0; m < kM; ++m) {
#pragma unroll
          for (int at = e; at < 4; at += 2) {
            pattern[m][n][at] = exp2_approximate(fmaf(pattern[m][n][at], scale, -shift));
            if (border && ahead + row_of(m, at, lane) > i) pattern[m][n][at] = 0.0F;
          }
        }
      }
    }
    add_product<kM, kQueries / 8>(dv, pattern, dz_tile);
    // The pattern becomes its scores' gradient 16 queries at a time, so that registers suffice.
#pragma unroll
    for (int n = 0; n < kQueries / 8; n += 2) {
      Accumulator<Cut::kM, 2> dpattern;
      multiply_rows<kM, 2, 2>(dpattern, values, row, dz_tile, 8 * n);
#pragma unroll
      for (int e = 0; e < 4; ++e) {
        const float dot = dots[column_of(n + e / 2, e, lane)];
#pragma unroll
        for (int m = 0; m < kM; ++m) {
#pragma unroll
          for (int at = e % 2; at < 4; at += 2) {
            float& p = pattern[m][n + e / 2][at];
            p *= dpattern[m][e / 2][at] - dot;
          }
        }
      }
    }
    add_product<kM, kQueries / 8>(dk, pattern, query_tile);
  }
  write_out<kM>(a.head(dqkv, b, a.H + key_head, j0), keys, row, dk, [&](int, int) { return a.scale; });
  write_out<kM>(a.head(dqkv, b, a.H + a.H_kv + key_head, j0), values, row, dv, [](int, int) { return 1.0F; });
}

template <class E, int kSize>
void launch_backward(Context& context, E* dqkv, const E* dz, const E* z, const float* lse, const E* qkv,
                     const Attention& a, int64_t B) {
  auto* delta = on_cuda(context).template workspace<float>(B * a.H * a.T);
  const auto query_kernel = attention_backward_query_kernel<E, kSize>;
  const auto key_kernel = attention_backward_key_kernel<E, kSize>;
  constexpr int kQueryBytes = QueryCut<E, kSize>::kBytes;
  constexpr int kKeyBytes = KeyCut<E, kSize>::kBytes;
  allow_shared_memory(query_kernel, kQueryBytes);
  allow_shared_memory(key_kernel, kKeyBytes);
  const dim3 query_grid(static_cast<unsigned>(B * a.H),
                        static_cast<unsigned>(tiles_over(a.T, QueryCut<E, kSize>::kOwned)));
  const dim3 key_grid(static_cast<unsigned>(B * a.H_kv),
                      static_cast<unsigned>(tiles_over(a.T, KeyCut<E, kSize>::kOwned)));
  launch(context, query_kernel, query_grid, kTileThreads, kQueryBytes, dqkv, delta, dz, z, lse, qkv, a);
  launch(context, key_kernel, key_grid, kTileThreads, kKeyBytes, dqkv, delta, dz, lse, qkv, a);
}

}  // namespace

template <class E>
void attention_backward(Context& context, E* dqkv, const E* dz, const E* z, const float* lse, const E* qkv,
                        float scale, MaskKind kind, int64_t B, int64_t T, int64_t H, int64_t H_kv,
                        int64_t D) {
  const Attention a = attention_of<E>(scale, kind, T, H, H_kv, D);
  if (!fits_tiles<E>(D)) {
    attention_backward_general(context, dqkv, dz, z, lse, qkv, a, B);
    return;
  }
  if constexpr (kHopperBuilt && sizeof(E) == 2) {
    if (fits_hopper<E>(context, a)) {
      attention_backward_hopper(context, dqkv, dz, z, lse, qkv, a, B);
      return;
    }
  }
  with_tile_size(a.D,
                 [&](auto size) { launch_backward<E, size.value>(context, dqkv, dz, z, lse, qkv, a, B); });
}

template AttentionBackward<float> attention_backward<float>;
template AttentionBackward<bfloat16> attention_backward<bfloat16>;
template AttentionBackward<float16> attention_backward<float16>;

}  // namespace headlight::kernels::cuda
