// Fused attention backward on Hopper's tensor cores (wgmma): 16-bit elements, heads of 64 or 128. Called by
// attention_backward.cu where the device is one. The same two passes without atomics as there: one walks keys
// for dq and δ, one walks queries for dk and dv.
//
// Why two passes of 3 and 4 products, where one pass of 5 would do. One pass has to add its part of dq to
// memory for each pair of tiles, in fixed order, after dscores went through shared memory: for 64 queries, 64
// keys and heads of 64 that is about 700 clocks of shared memory against 640 of products on one
// multiprocessor, blocks that wait for each other, and two more passes over an fp32 dq. Here patternᵀ and
// dscores never leave registers; shared memory is busy 320 + 380 clocks against 384 + 512 of products and 256
// + 256 of exponentials, so that products alone set the pace, and a short sequence pays for nothing but its
// tiles. What one pass would win, at most 7/5, it can only win where T is large.
//
// A block is two warpgroups, each with 64 rows of its own and up to 255 registers a thread. The next tile's
// scores are multiplied while the current tile's exponentials run, so that the tensor cores always have work
// queued; only keys of heads beyond 64 lack the registers for it, and there products are twice as long. Of
// the places for tiles that are walked over, one may still be read by the last product for dq or dk, two are
// being read, and the others are on their way.
#include "kernels/cuda/attention_backward.h"
#include "kernels/cuda/attention_hopper.h"
#include "kernels/cuda/attention_hopper_tile.h"
#include "kernels/cuda/attention_sections.h"
#include "kernels/cuda/attention_softmax.h"

namespace headlight::kernels::cuda {

namespace {

template <class E, int kSize>
struct Cut {
  static constexpr int kGroups = 2;
  static constexpr int kThreads = kGroups * kWarpgroup;
  static constexpr int kOwned = kGroups * kGroupRows;  // rows of a block
  static constexpr int kWalked = 64;                   // rows of a tile that it walks over
  static constexpr int kFragments = kWalked / 16;
  static constexpr int kPlaces = kSize <= 64 ? 8 : 4;
  static constexpr int kAhead = kPlaces - 2;  // steps from the start of a tile's copy to its own
  // Whether the next tile's transposed scores find registers beside two sums, and each sum's product operands
  // of its own.
  static constexpr bool kKeysAhead = kSize <= 64;
  static constexpr int kOperands = kKeysAhead ? 2 : 1;

  using Owned = PanelTile<E, kSize, kOwned>;
  using Walked = PanelTile<E, kSize, kWalked>;
  using Scores = WarpgroupAccumulator<kWalked>;
  using Sums = WarpgroupAccumulator<kSize>;

  static constexpr int kTiles = 2 * Owned::kBytes + 2 * kPlaces * Walked::kBytes;
  static constexpr int kBytes = kTiles + kTileAlignment;
  // The second pass adds two floats for each walked row.
  static constexpr int kKeyBytes = kBytes + 2 * kPlaces * kWalked * static_cast<int>(sizeof(float));
};

// The tiles of a block: two that it owns, and pairs that it walks over, `step` after `step`.
template <class E, int kSize>
class Places {
 public:
  using C = Cut<E, kSize>;
  __device__ Places() : memory_(aligned_shared_memory()) {}
  __device__ typename C::Owned owned(int i) const {
    return typename C::Owned(memory_ + i * C::Owned::kBytes);
  }
  __device__ typename C::Walked walked(int i, int step) const {
    return
        typename C::Walked(memory_ + 2 * C::Owned::kBytes + (step % C::kPlaces * 2 + i) * C::Walked::kBytes);
  }
  __device__ float* row_values(int i, int step) const {
    return reinterpret_cast<float*>(memory_ + C::kTiles) + (step % C::kPlaces * 2 + i) * C::kWalked;
  }

 private:
  char* memory_;
};

// Of every row [B,H,T], what the first pass leaves to the second: the power of two that is taken out of its
// pattern, and δ.
struct RowValues {
  float* shift;
  float* delta;
};

// All but the newest kPending copies of a step have landed, and everybody has left the step before last.
template <int kPending>
__device__ void meet() {
  await_copies<kPending>();
  fence_shared();
  __syncthreads();
}

template <int kSize>
__device__ void clear_sums(WarpgroupAccumulator<kSize>& x) {
#pragma unroll
  for (int n = 0; n < kSize / 8; ++n)
#pragma unroll
    for (int e = 0; e < 4; ++e) x[n][e] = 0.0F;
}

// Scores and their gradient are rounded to E when they become an operand.
template <class E, int kWalked>
__device__ void as_operands(uint32_t (&a)[kWalked / 16][4], const WarpgroupAccumulator<kWalked>& x) {
#pragma unroll
  for (int step = 0; step < kWalked / 16; ++step) as_operand<E>(a[step], x, step);
}

// Grid: the tiles of queries of the batch's query heads.
template <class E, int kSize>
__global__ void __launch_bounds__(Cut<E, kSize>::kThreads, 1)
    attention_hopper_query_kernel(E* dqkv, RowValues row_values, const E* dz, const E* z, const float* lse,
                                  const E* qkv, Attention a, Sections sections) {
  using C = Cut<E, kSize>;
  const Places<E, kSize> places;
  const auto queries = places.owned(0);
  const auto dz_tile = places.owned(1);

  const auto [head, rank] = sections.at(static_cast<int>(blockIdx.x));
  const int b = head / a.H;
  const int h = head % a.H;
  const int i0 = (sections.tiles - 1 - rank) * C::kOwned;  // the longest rows first
  const int steps = tiles_over(a.limit(min(a.T, i0 + C::kOwned) - 1), C::kWalked);
  Rows<const E> keys = a.head(qkv, b, a.key_part(h));  // from the next tile to fetch on
  Rows<const E> values = a.head(qkv, b, a.key_part(h) + a.H_kv);
  const auto fetch = [&](int step) {
    if (step < steps) {
      places.walked(0, step).template fetch<C::kThreads>(keys);
      places.walked(1, step).template fetch<C::kThreads>(values);
      skip_rows(keys, C::kWalked);
      skip_rows(values, C::kWalked);
    }
    close_copies();
  };
  queries.template fetch<C::kThreads>(a.head(qkv, b, h, i0));
  dz_tile.template fetch<C::kThreads>(a.output(dz, b, h, i0));
#pragma unroll 1
  for (int step = 0; step < C::kAhead; ++step) fetch(step);

  const Lane lane = this_lane();
  const int row = this_warp() * 16;
  const int group_row = this_warp() / 4 * kGroupRows;
  const int first = i0 + row;  // query
  // What this warpgroup sees; its share of the walk is shorter than the block's, or nothing.
  const int last = min(a.T, i0 + group_row + kGroupRows) - 1;
  const int seen = i0 + group_row < a.T ? tiles_over(a.limit(last), C::kWalked) : 0;
  const int64_t first_row = static_cast<int64_t>(head) * a.T;
  const float scale = a.scale * kLog2E;
  const RowDots<E, kSize> dots(a.output(z, b, h, i0), row);
  float shift[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int i = first + row_of(0, 2 * half, lane);
    shift[half] = i < a.T ? lse[first_row + i] * kLog2E : 0.0F;
    if (lane.t == 0 && i < a.T) row_values.shift[first_row + i] = shift[half];
  }

  typename C::Scores scores;
  typename C::Sums dq;
  uint32_t operand[C::kFragments][4];
  meet<C::kAhead - 1>();
  if (seen > 0) {
    warpgroup_arrive();
    start_product(scores, queries, group_row, places.walked(0, 0));
    commit_products();
  }
  float dot[2];
  dots.sum(dot, row_values.delta + first_row + i0, dz_tile);
  clear_sums<kSize>(dq);
  await_products<0>(scores);
  // kMore: another tile follows, whose scores this step starts.
  const auto take = [&]<bool kMore>(int step, std::bool_constant<kMore> /*more*/) {
    meet<C::kAhead - 2>();
    fetch(step + C::kAhead);
    typename C::Scores pattern;
    typename C::Scores dpattern;
    warpgroup_arrive();
    start_product(dpattern, dz_tile, group_row, places.walked(1, step));
    commit_products();
    // Only the last tile has a border: a warpgroup's first query is the first key of a tile.
    const int j0 = step * C::kWalked;
    if (!kMore && j0 + C::kWalked > a.limit(first)) mask_scores(scores, a, first, j0);
#pragma unroll
    for (int n = 0; n < C::kWalked / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) pattern[n][e] = exp2_approximate(fmaf(scores[n][e], scale, -shift[e / 2]));
    if constexpr (kMore) {
      warpgroup_arrive();
      start_product(scores, queries, group_row, places.walked(0, step + 1));
      commit_products();
    }
    await_products<kMore ? 1 : 0>(dpattern);
#pragma unroll
    for (int n = 0; n < C::kWalked / 8; ++n)
#pragma unroll
      for (int e = 0; e < 4; ++e) pattern[n][e] *= dpattern[n][e] - dot[e / 2];
    as_operands<E, C::kWalked>(operand, pattern);
    warpgroup_arrive();
    start_adding(dq, operand, places.walked(0, step));
    commit_products();
    if constexpr (kMore) await_products<1>(scores);
  };
#pragma unroll 1
  for (int step = 0; step < seen - 1; ++step) take(step, std::true_type{});
  if (seen > 0) take(seen - 1, std::false_type{});
  await_products<0>(dq);
#pragma unroll 1
  for (int step = seen; step < steps; ++step) {
    meet<C::kAhead - 2>();
    fetch(step + C::kAhead);
  }
  __syncthreads();
  write_rows(a.head(dqkv, b, h, i0), queries, row, dq, a.scale);
}

// Grid: the tiles of keys of the batch's key heads; the first keys are seen by the most queries.
template <class E, int kSize>
__global__ void __launch_bounds__(Cut<E, kSize>::kThreads, 1)
    attention_hopper_key_kernel(E* dqkv, RowValues row_values, const E* dz, const E* qkv, Attention a,
                                Sections sections) {
  using C = Cut<E, kSize>;
  const Places<E, kSize> places;
  const auto keys = places.owned(0);
  const auto values = places.owned(1);

  const auto [of_batch, rank] = sections.at(static_cast<int>(blockIdx.x));
  const int b = of_batch / a.H_kv;
  const int key_head = of_batch % a.H_kv;
  const int j0 = rank * C::kOwned;
  // The walk: the queries from first_query on of each head that looks at these keys, head after head.
  const int first_query = a.causal ? j0 : 0;
  const int tiles = tiles_over(a.T - first_query, C::kWalked);  // of a head
  const int heads = a.H / a.H_kv;
  const int place = static_cast<int>(threadIdx.x);
  int h = key_head * heads;  // and the following: from the next tile to fetch on
  Rows<const E> queries = a.head(qkv, b, h, first_query);
  Rows<const E> dz_rows = a.output(dz, b, h, first_query);
  const float* of_rows = (place < C::kWalked ? row_values.shift : row_values.delta) + place % C::kWalked +
                         (static_cast<int64_t>(b) * a.H + h) * a.T + first_query;
  const auto fetch = [&](int step) {
    if (h == (key_head + 1) * heads) {
      close_copies();
      return;
    }
    places.walked(0, step).template fetch<C::kThreads>(queries);
    places.walked(1, step).template fetch<C::kThreads>(dz_rows);
    if (place < 2 * C::kWalked)
      copy_async_4(places.row_values(0, step) + place, of_rows, place % C::kWalked < queries.count);
    close_copies();
    of_rows += min(queries.count, C::kWalked);
    skip_rows(queries, C::kWalked);
    skip_rows(dz_rows, C::kWalked);
    if (queries.count <= 0) {
      h += 1;
      queries = a.head(qkv, b, h, first_query);
      dz_rows = a.output(dz, b, h, first_query);
      of_rows += first_query;
    }
  };
  keys.template fetch<C::kThreads>(a.head(qkv, b, a.H + key_head, j0));
  values.template fetch<C::kThreads>(a.head(qkv, b, a.H + a.H_kv + key_head, j0));
#pragma unroll 1
  for (int step = 0; step < C::kAhead; ++step) fetch(step);

  const Lane lane = this_lane();
  const int row = this_warp() * 16;
  const int group_row = this_warp() / 4 * kGroupRows;
  const int first = j0 + row;  // key
  // The tiles of a head from which on this warpgroup's keys are seen.
  const int group_first = j0 + group_row;
  const int unseen = group_first >= a.T ? tiles : a.causal ? (group_first - first_query) / C::kWalked : 0;
  const float scale = a.scale * kLog2E;

  typename C::Scores scores;
  typename C::Sums dk;
  typename C::Sums dv;
  uint32_t operands[C::kOperands][C::kFragments][4];
  clear_sums<kSize>(dk);
  clear_sums<kSize>(dv);
  meet<C::kAhead - 1>();
  int step = 0;
#pragma unroll 1
  for (int head = 0; head < heads; ++head) {
    const int end = step + tiles;
    const int begin = step + unseen;
#pragma unroll 1
    for (; step < begin; ++step) {
      meet<C::kAhead - 2>();
      fetch(step + C::kAhead);
    }
    if (C::kKeysAhead && step < end) {
      warpgroup_arrive();
      start_product(scores, keys, group_row, places.walked(0, step));
      commit_products();
      await_products<0>(scores);
    }
#pragma unroll 1
    for (; step < end; ++step) {
      meet<C::kAhead - 2>();
      fetch(step + C::kAhead);
      const auto query_tile = places.walked(0, step);
      const auto dz_tile = places.walked(1, step);
      typename C::Scores pattern;
      typename C::Scores dpattern;
      warpgroup_arrive();
      if constexpr (!C::kKeysAhead) {
        start_product(scores, keys, group_row, query_tile);
        commit_products();
      }
      start_product(dpattern, values, group_row, dz_tile);
      commit_products();
      if constexpr (!C::kKeysAhead) await_products<1>(scores);
      // How far the warp's keys lie behind the tile's queries. Queries beyond T are rows of zeros: whatever
      // their pattern is, they add nothing.
      const int behind = first - (first_query + (step - end + tiles) * C::kWalked);
      if (a.causal && behind > 1 - 16) {
#pragma unroll
        for (int n = 0; n < C::kWalked / 8; ++n)
#pragma unroll
          for (int e = 0; e < 4; ++e)
            if (behind + row_of(0, e, lane) > column_of(n, e, lane)) scores[n][e] = -INFINITY;
      }
      const float* shifts = places.row_values(0, step);
#pragma unroll
      for (int n = 0; n < C::kWalked / 8; ++n) {
        const float2 shift = *reinterpret_cast<const float2*>(shifts + column_of(n, 0, lane));
#pragma unroll
        for (int e = 0; e < 4; ++e)
          pattern[n][e] = exp2_approximate(fmaf(scores[n][e], scale, -(e % 2 == 0 ? shift.x : shift.y)));
      }
      if constexpr (C::kKeysAhead) {
        warpgroup_arrive();
        // Behind a head's last tile it is multiplied once more, and not looked at: under a condition the
        // compiler would wait for every product, and a last step apart takes too many registers.
        start_product(scores, keys, group_row, places.walked(0, min(step + 1, end - 1)));
        commit_products();
      }
      as_operands<E, C::kWalked>(operands[0], pattern);
      warpgroup_arrive();
      start_adding(dv, operands[0], dz_tile);
      commit_products();
      await_products<C::kKeysAhead ? 2 : 1>(dpattern);
      const float* dots = places.row_values(1, step);
#pragma unroll
      for (int n = 0; n < C::kWalked / 8; ++n) {
        const float2 dot = *reinterpret_cast<const float2*>(dots + column_of(n, 0, lane));
#pragma unroll
        for (int e = 0; e < 4; ++e) pattern[n][e] *= dpattern[n][e] - (e % 2 == 0 ? dot.x : dot.y);
      }
      if constexpr (C::kOperands == 1) await_products<0>(pattern);  // dv's product has read its operand
      as_operands<E, C::kWalked>(operands[C::kOperands - 1], pattern);
      warpgroup_arrive();
      start_adding(dk, operands[C::kOperands - 1], query_tile);
      commit_products();
      if constexpr (C::kKeysAhead) await_products<1>(scores);
    }
    await_products<0>(dk, dv);
  }
  __syncthreads();
  write_rows(a.head(dqkv, b, a.H + key_head, j0), keys, row, dk, a.scale);
  write_rows(a.head(dqkv, b, a.H + a.H_kv + key_head, j0), values, row, dv, 1.0F);
}

template <class E, int kSize>
void launch_backward(Context& context, E* dqkv, const E* dz, const E* z, const float* lse, const E* qkv,
                     const Attention& a, int64_t B) {
  using C = Cut<E, kSize>;
  const int64_t rows = B * a.H * a.T;
  auto* memory = on_cuda(context).template workspace<float>(2 * rows);
  const RowValues row_values{memory, memory + rows};
  const auto query_kernel = attention_hopper_query_kernel<E, kSize>;
  const auto key_kernel = attention_hopper_key_kernel<E, kSize>;
  allow_shared_memory(query_kernel, C::kBytes);
  allow_shared_memory(key_kernel, C::kKeyBytes);
  const int tiles = tiles_over(a.T, C::kOwned);
  const int64_t head_bytes = int64_t{2} * a.T * kSize * static_cast<int64_t>(sizeof(E));
  const Sections of_queries = sections_of(B * a.H, tiles, head_bytes);
  const Sections of_keys = sections_of(B * a.H_kv, tiles, a.H / a.H_kv * head_bytes);
  launch(context, query_kernel, of_queries.count(), C::kThreads, C::kBytes, dqkv, row_values, dz, z, lse, qkv,
         a, of_queries);
  launch(context, key_kernel, of_keys.count(), C::kThreads, C::kKeyBytes, dqkv, row_values, dz, qkv, a,
         of_keys);
}

}  // namespace

template <class E>
void attention_backward_hopper(Context& context, E* dqkv, const E* dz, const E* z, const float* lse,
                               const E* qkv, const Attention& a, int64_t B) {
  if (a.D == 64) {
    launch_backward<E, 64>(context, dqkv, dz, z, lse, qkv, a, B);
  } else {
    launch_backward<E, 128>(context, dqkv, dz, z, lse, qkv, a, B);
  }
}

template void attention_backward_hopper<bfloat16>(Context&, bfloat16*, const bfloat16*, const bfloat16*,
                                                  const float*, const bfloat16*, const Attention&, int64_t);
template void attention_backward_hopper<float16>(Context&, float16*, const float16*, const float16*,
                                                 const float*, const float16*, const Attention&, int64_t);

}  // namespace headlight::kernels::cuda
