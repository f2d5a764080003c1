// The cache of keys and values step by step: writing new places, scores against it, the mask, the weighted
// sum; and the rows that a decode program picks by place (positions, last tokens).
#include <limits>

#include "kernels/cpu/context.h"
#include "kernels/cpu/inference.h"
#include "kernels/cpu/rows.h"

namespace headlight::kernels::cpu {

void position_at(Context& context, float* y, const float* table, const int32_t* at, int64_t B, int64_t T,
                 int64_t C, int64_t P) {
  for_rows(context, B * T, C, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = table + std::min(at[r / T] + r % T, P - 1) * C;
      std::copy(row, row + C, y + r * C);
    }
  });
}

void cache_append(Context& context, float* cache, const float* x, const int32_t* at, const int32_t* count,
                  int64_t B, int64_t T, int64_t G, int64_t S, int64_t D) {
  for_rows(context, B * G, T * D, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t head = begin; head < end; ++head) {
      const int64_t b = head / G;
      float* places = cache + (head * S + at[b]) * D;
      const float* row = x + (b * T * G + head % G) * D;
      for (int64_t t = 0; t < count[b]; ++t) std::copy(row + t * G * D, row + t * G * D + D, places + t * D);
    }
  });
}

void cached_scores(Context& context, float* s, const float* q, const float* k, const int32_t* at,
                   const int32_t* count, int64_t B, int64_t T, int64_t H, int64_t G, int64_t S, int64_t D) {
  for_rows(context, B * H * T, S * D, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t b = row / (H * T), h = row / T % H, i = row % T;
      const float* query = q + ((b * T + i) * H + h) * D;
      const float* keys = k + (b * G + h / (H / G)) * S * D;
      const int64_t used = at[b] + count[b];
      for (int64_t j = 0; j < used; ++j) s[row * S + j] = row_dot(query, keys + j * D, D);
      std::fill(s + row * S + used, s + (row + 1) * S, 0.0F);
    }
  });
}

void cached_mask(Context& context, float* y, const float* x, const int32_t* at, int64_t B, int64_t H,
                 int64_t T, int64_t S) {
  for_rows(context, B * H * T, S, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t open = std::min(S, at[row / (H * T)] + row % T + 1);
      if (y != x) std::copy(x + row * S, x + row * S + open, y + row * S);
      std::fill(y + row * S + open, y + (row + 1) * S, -std::numeric_limits<float>::infinity());
    }
  });
}

void cached_weighted_sum(Context& context, float* z, const float* p, const float* v, const int32_t* at,
                         const int32_t* count, int64_t B, int64_t T, int64_t H, int64_t G, int64_t S,
                         int64_t D) {
  for_rows(context, B * H * T, S * D, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const int64_t b = row / (H * T), h = row / T % H, i = row % T;
      const float* values = v + (b * G + h / (H / G)) * S * D;
      float* to = z + ((b * T + i) * H + h) * D;
      const int64_t seen = std::min<int64_t>(at[b] + count[b], at[b] + i + 1);
      std::fill(to, to + D, 0.0F);
      for (int64_t j = 0; j < seen; ++j) {
        const float weight = p[row * S + j];
        map(to, to, values + j * D, D, [&](Floats sum, Floats value) { return sum + value * weight; });
      }
    }
  });
}

void last_rows(Context& context, float* y, const float* x, const int32_t* count, int64_t B, int64_t T,
               int64_t C) {
  for_rows(context, B, C, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const float* row = x + (b * T + std::max(count[b], 1) - 1) * C;
      std::copy(row, row + C, y + b * C);
    }
  });
}

}  // namespace headlight::kernels::cpu
