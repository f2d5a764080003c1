// The CUDA backend's kernels for inference: attention over a cache, products with packed weights, the choice
// of a token. Each is defined in the .cu file of its noun; what it computes stands beside its type in
// kernels/inference.h.
#pragma once

#include "kernels/inference.h"

namespace headlight::kernels::cuda {

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
FusedLinearBf16 fused_linear_bf16;
FusedLinearInt8 fused_linear_int8;
DecodeAttention decode_attention;
DecodeEmbeddingBf16 decode_embedding_bf16;
DecodeEmbeddingInt8 decode_embedding_int8;
BestOfRows best_of_rows;

/// The table of all of them.
[[nodiscard]] const InferenceKernels& inference_kernels();

}  // namespace headlight::kernels::cuda
