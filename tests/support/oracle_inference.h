// What the inference kernels must compute, in double precision and naive loops: attention over a cache, and
// products with quantised weights and activations.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/support/oracle.h"

namespace headlight::test::oracle {

/// Sizes of a cached attention, letters as in kernels/inference.h.
struct CacheSizes {
  int64_t B, T, H, G, S, D;
};

/// z [B,T,H,D] of queries q [B,T,H,D] over caches k, v [B,G,S,D] in which at[b] + count[b] places are in use;
/// 0 for tokens that are not real.
Values cached_attention(const Values& q, const Values& k, const Values& v, const Tokens& at,
                        const Tokens& count, double factor, const CacheSizes& sizes);

/// codes·scale of W [in,out] quantised by group (0: by output channel).
Values quantized_weight(const std::vector<float>& w, int64_t in, int64_t out, int64_t group);
/// x̂: rows of `in`, each run of `run` inputs rounded to 127 steps.
Values quantized_rows(const std::vector<float>& x, int64_t in, int64_t run);

}  // namespace headlight::test::oracle
