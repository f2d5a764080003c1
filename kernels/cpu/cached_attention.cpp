// Attention of new tokens over a cache of keys and values in one step. A few new tokens go row by row, at the
// speed at which the cache can be read; a prompt goes in tiles of queries whose scores stay in the
// second-level cache.
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/inference.h"
#include "kernels/cpu/rows.h"

namespace headlight::kernels::cpu {

namespace {

constexpr int64_t kQueries = 96;          // rows of a tile of scores
constexpr int64_t kFewQueries = 8;        // below this, tiles do not pay for packing
constexpr int64_t kSharedWork = 1 << 17;  // multiply-adds below which heads are done together
constexpr int kVectors = 4;               // of a value row that are summed in registers

int64_t padded(int64_t floats) { return divide_up(floats, 16) * 16; }

// Turns `seen` scores into weights that sum to 1.
void normalize(float* row, int64_t seen, float scale) {
  const float top = row_largest(row, seen, scale);
  const float total = row_exponentials(row, row, seen, scale, top);
  const float inverse = 1.0F / total;
  map(row, row, seen, [&](Floats x) { return x * inverse; });
}

// z = Σ_j weights[j]·values[j,:].
void weighted_sum(float* z, const float* weights, const float* values, int64_t seen, int64_t D) {
  int64_t d = 0;
  for (; d + kVectors * kWidth <= D; d += kVectors * kWidth) {
    Floats sums[kVectors] = {};
    for (int64_t j = 0; j < seen; ++j) {
      const float* value = values + j * D + d;
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sums[v] += load(value + v * kWidth) * weights[j];
    }
    for (int v = 0; v < kVectors; ++v) store(z + d + v * kWidth, sums[v]);
  }
  for (; d < D; d += kWidth) {
    const int64_t lanes = std::min<int64_t>(kWidth, D - d);
    Floats sums{};
    for (int64_t j = 0; j < seen; ++j) sums += load_partial(values + j * D + d, lanes) * weights[j];
    store_partial(z + d, sums, lanes);
  }
}

// Dot products of one query with the first `seen` keys, four at a time.
void score_row(float* row, const float* query, const float* keys, int64_t seen, int64_t D) {
  constexpr int kAtOnce = 4;
  int64_t j = 0;
  for (; j + kAtOnce <= seen; j += kAtOnce) {
    Floats totals[kAtOnce] = {};
    int64_t d = 0;
    for (; d + kWidth <= D; d += kWidth) {
      const Floats left = load(query + d);
#pragma GCC unroll 4
      for (int k = 0; k < kAtOnce; ++k) totals[k] += left * load(keys + (j + k) * D + d);
    }
    for (int k = 0; k < kAtOnce; ++k) {
      row[j + k] = sum(totals[k]) + (d < D ? row_dot(query + d, keys + (j + k) * D + d, D - d) : 0.0F);
    }
  }
  for (; j < seen; ++j) row[j] = row_dot(query, keys + j * D, D);
}

}  // namespace

void cached_attention(Context& context, float* z, const float* q, const float* k, const float* v,
                      const int32_t* at, const int32_t* count, float scale, int64_t B, int64_t T, int64_t H,
                      int64_t G, int64_t S, int64_t D) {
  CpuContext& cpu = on_cpu(context);
  const int64_t C = H * D;
  const bool few = T < kFewQueries;
  const int64_t rows = few ? 1 : std::min(T, kQueries);
  const int64_t tiles = divide_up(T, rows);
  int64_t longest = 1;
  for (int64_t b = 0; b < B; ++b) longest = std::max<int64_t>(longest, at[b] + count[b]);
  const int64_t score_step = padded(longest);
  cpu.reserve_slots(padded(rows * score_step) +
                    (few ? 0 : padded(panel_floats(D, longest)) + padded(panel_floats(longest, D))));
  const int64_t together = std::max<int64_t>(1, kSharedWork / (2 * rows * longest * D));
  for_chunks(cpu, B * H * tiles, together, [&](int64_t unit, int slot) {
    const int64_t b = unit / (H * tiles), h = unit / tiles % H, i0 = unit % tiles * rows;
    float* scores = cpu.slot(slot);
    const float* keys = k + (b * G + h / (H / G)) * S * D;
    const float* values = v + (b * G + h / (H / G)) * S * D;
    const float* queries = q + (b * T + i0) * C + h * D;
    float* to = z + (b * T + i0) * C + h * D;
    const int64_t end = std::min(rows, T - i0);
    const int64_t real = std::clamp<int64_t>(count[b] - i0, 0, end);
    for (int64_t i = real; i < end; ++i) std::fill(to + i * C, to + i * C + D, 0.0F);
    if (real == 0) return;
    const int64_t first = at[b] + i0;  // place of the tile's first query
    if (few) {
      score_row(scores, queries, keys, first + 1, D);
      normalize(scores, first + 1, scale);
      weighted_sum(to, scores, values, first + 1, D);
      return;
    }
    const int64_t seen = first + real;
    float* key_memory = scores + padded(rows * score_step);
    float* value_memory = key_memory + padded(panel_floats(D, longest));
    const Panels key_panels = pack_panels(key_memory, {keys, 1, D}, D, seen);
    multiply(scores, score_step, {queries, C, 1}, key_panels, real, seen, D, false);
    for (int64_t i = 0; i < real; ++i) {
      float* row = scores + i * score_step;
      normalize(row, first + i + 1, scale);
      std::fill(row + first + i + 1, row + seen, 0.0F);
    }
    const Panels value_panels = pack_panels(value_memory, {values, D, 1}, seen, D);
    multiply(to, C, {scores, score_step, 1}, value_panels, real, D, seen, false);
  });
}

}  // namespace headlight::kernels::cpu
