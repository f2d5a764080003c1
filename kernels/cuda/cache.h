// Sizes of attention over a cache as device code takes them, and what a row of queries sees. Included by
// cache.cu and cached_attention.cu.
#pragma once

#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

/// Letters as in kernels/inference.h.
struct CacheSizes {
  int64_t B, T, H, G, S, D;

  /// Rows of scores, [B,H,T].
  __host__ __device__ int64_t rows() const { return B * H * T; }
  /// First element of the keys or values that query head h of sequence b looks at.
  __device__ int64_t head(int64_t b, int64_t h) const { return (b * G + h / (H / G)) * S * D; }
  /// First element of query i in a buffer like q [B,T,H,D].
  __device__ int64_t query(int64_t b, int64_t h, int64_t i) const { return ((b * T + i) * H + h) * D; }
};

/// One query of one head.
struct CacheRow {
  int64_t b, h, i;
};
__device__ __forceinline__ CacheRow cache_row(const CacheSizes& s, int64_t row) {
  return {row / (s.H * s.T), row / s.T % s.H, row % s.T};
}

}  // namespace headlight::kernels::cuda
