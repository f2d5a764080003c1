// The cache of keys and values step by step: writing new places, scores against it, the mask, the weighted
// sum; and the rows that a decode program picks by place (positions, last tokens).
#include "kernels/cuda/cache.h"
#include "kernels/cuda/inference.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;

// One row of n elements by the lanes of a warp.
__device__ void copy_row(float* to, const float* from, int64_t n, bool vectors) {
  for_array<float>(n, vectors, lane_index(), kWarp, [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    store<N>(to + i, load<N>(from + i));
  });
}

bool whole_vectors(int64_t n) { return n % kLanes<float> == 0; }

__global__ void pick_positions(float* y, const float* table, const int32_t* at, int64_t R, int64_t T,
                               int64_t C, int64_t P, bool vectors) {
  using Row = Team<false>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const int64_t place = at[r / T] + r % T;
    copy_row(y + r * C, table + (place < P ? place : P - 1) * C, C, vectors);
  }
}

// Rows of x [B,T,G,D] to their places.
__global__ void append_rows(float* cache, const float* x, const int32_t* at, const int32_t* count, int64_t R,
                            CacheSizes s, bool vectors) {
  using Row = Team<false>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const int64_t b = r / (s.T * s.G);
    const int64_t t = r / s.G % s.T;
    if (t >= count[b]) continue;
    copy_row(cache + ((b * s.G + r % s.G) * s.S + at[b] + t) * s.D, x + r * s.D, s.D, vectors);
  }
}

// A thread for each cell: these scores are stored to be looked at, not to be fast.
__global__ void score_cells(float* scores, const float* q, const float* k, const int32_t* at,
                            const int32_t* count, CacheSizes s, bool vectors) {
  const int64_t cells = s.rows() * s.S;
  for (int64_t cell = thread_in_grid(); cell < cells; cell += threads_in_grid()) {
    const CacheRow row = cache_row(s, cell / s.S);
    const int64_t j = cell % s.S;
    float total = 0.0F;
    if (j < at[row.b] + count[row.b]) {
      const float* query = q + s.query(row.b, row.h, row.i);
      const float* key = k + s.head(row.b, row.h) + j * s.D;
      for_array<float>(s.D, vectors, 0, 1, [&](int64_t d, auto n) {
        constexpr int N = decltype(n)::value;
        const Floats<N> left = load<N>(query + d);
        const Floats<N> right = load<N>(key + d);
#pragma unroll
        for (int e = 0; e < N; ++e) total += left[e] * right[e];
      });
    }
    scores[cell] = total;
  }
}

__global__ void mask_cells(float* y, const float* x, const int32_t* at, CacheSizes s) {
  const int64_t cells = s.rows() * s.S;
  for (int64_t cell = thread_in_grid(); cell < cells; cell += threads_in_grid()) {
    const CacheRow row = cache_row(s, cell / s.S);
    y[cell] = cell % s.S <= at[row.b] + row.i ? x[cell] : -INFINITY;
  }
}

// A thread for each column of z: neighbours read neighbouring values.
__global__ void sum_values(float* z, const float* p, const float* v, const int32_t* at, const int32_t* count,
                           CacheSizes s) {
  const int64_t cells = s.rows() * s.D;
  for (int64_t cell = thread_in_grid(); cell < cells; cell += threads_in_grid()) {
    const int64_t row = cell / s.D;
    const int64_t d = cell % s.D;
    const auto [b, h, i] = cache_row(s, row);
    const int64_t used = at[b] + count[b];
    const int64_t seen = at[b] + i + 1 < used ? at[b] + i + 1 : used;
    const float* values = v + s.head(b, h) + d;
    float total = 0.0F;
    for (int64_t j = 0; j < seen; ++j) total += p[row * s.S + j] * values[j * s.D];
    z[s.query(b, h, i) + d] = total;
  }
}

__global__ void pick_last(float* y, const float* x, const int32_t* count, int64_t B, int64_t T, int64_t C,
                          bool vectors) {
  using Row = Team<false>;
  for (int64_t b = Row::first_row(); b < B; b += Row::row_step()) {
    const int64_t t = count[b] > 1 ? count[b] - 1 : 0;
    copy_row(y + b * C, x + (b * T + t) * C, C, vectors);
  }
}

// Blocks for a warp a row.
int64_t warps_for(Context& context, int64_t rows) { return blocks_for(context, rows, kThreads / kWarp); }

}  // namespace

void position_at(Context& context, float* y, const float* table, const int32_t* at, int64_t B, int64_t T,
                 int64_t C, int64_t P) {
  launch(context, pick_positions, warps_for(context, B * T), kThreads, 0, y, table, at, B * T, T, C, P,
         aligned(y, table) && whole_vectors(C));
}

void cache_append(Context& context, float* cache, const float* x, const int32_t* at, const int32_t* count,
                  int64_t B, int64_t T, int64_t G, int64_t S, int64_t D) {
  const CacheSizes sizes{B, T, G, G, S, D};
  launch(context, append_rows, warps_for(context, B * T * G), kThreads, 0, cache, x, at, count, B * T * G,
         sizes, aligned(cache, x) && whole_vectors(D));
}

void cached_scores(Context& context, float* s, const float* q, const float* k, const int32_t* at,
                   const int32_t* count, int64_t B, int64_t T, int64_t H, int64_t G, int64_t S, int64_t D) {
  const CacheSizes sizes{B, T, H, G, S, D};
  launch(context, score_cells, blocks_for(context, sizes.rows() * S, kThreads), kThreads, 0, s, q, k, at,
         count, sizes, aligned(q, k) && whole_vectors(D));
}

void cached_mask(Context& context, float* y, const float* x, const int32_t* at, int64_t B, int64_t H,
                 int64_t T, int64_t S) {
  const CacheSizes sizes{B, T, H, H, S, 1};
  launch(context, mask_cells, blocks_for(context, sizes.rows() * S, kThreads), kThreads, 0, y, x, at, sizes);
}

void cached_weighted_sum(Context& context, float* z, const float* p, const float* v, const int32_t* at,
                         const int32_t* count, int64_t B, int64_t T, int64_t H, int64_t G, int64_t S,
                         int64_t D) {
  const CacheSizes sizes{B, T, H, G, S, D};
  launch(context, sum_values, blocks_for(context, sizes.rows() * D, kThreads), kThreads, 0, z, p, v, at,
         count, sizes);
}

void last_rows(Context& context, float* y, const float* x, const int32_t* count, int64_t B, int64_t T,
               int64_t C) {
  launch(context, pick_last, warps_for(context, B), kThreads, 0, y, x, count, B, T, C,
         aligned(y, x) && whole_vectors(C));
}

}  // namespace headlight::kernels::cuda
