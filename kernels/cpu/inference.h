// The kernels of inference.h on the CPU, declared through their function types. Defined in the files of their
// ops: cache.cpp, cached_attention.cpp, packed_bf16.cpp, packed_int8.cpp.
#pragma once

#include "kernels/inference.h"

namespace headlight::kernels::cpu {

PositionAt position_at;
CacheAppend cache_append;
CachedScores cached_scores;
CachedMask cached_mask;
CachedWeightedSum cached_weighted_sum;
CachedAttention cached_attention;
LastRows last_rows;
PackedBytes packed_bytes_bf16;
PackBf16 pack_bf16;
UnpackBf16 unpack_bf16;
LinearForwardBf16 linear_forward_bf16;
EmbeddingForwardBf16 embedding_forward_bf16;
PackedBytesInt8 packed_bytes_int8;
PackInt8 pack_int8;
UnpackInt8 unpack_int8;
LinearForwardInt8 linear_forward_int8;
EmbeddingForwardInt8 embedding_forward_int8;
BestOfRows best_of_rows;

/// The table that the CPU backend hands out.
[[nodiscard]] const InferenceKernels& inference_kernels();

}  // namespace headlight::kernels::cpu
