// The CUDA backend's table of inference kernels.
#include "kernels/cuda/inference.h"

namespace headlight::kernels::cuda {

const InferenceKernels& inference_kernels() {
  static constexpr DecodeKernels decoding = {
      .embedding_bf16 = decode_embedding_bf16,
      .embedding_int8 = decode_embedding_int8,
      .linear_bf16 = fused_linear_bf16,
      .linear_int8 = fused_linear_int8,
      .attention = decode_attention,
  };
  static constexpr InferenceKernels table = {
      .position_at = position_at,
      .cache_append = cache_append,
      .cached_scores = cached_scores,
      .cached_mask = cached_mask,
      .cached_weighted_sum = cached_weighted_sum,
      .cached_attention = cached_attention,
      .last_rows = last_rows,
      .packed_bytes_bf16 = packed_bytes_bf16,
      .pack_bf16 = pack_bf16,
      .unpack_bf16 = unpack_bf16,
      .linear_forward_bf16 = linear_forward_bf16,
      .embedding_forward_bf16 = embedding_forward_bf16,
      .packed_bytes_int8 = packed_bytes_int8,
      .pack_int8 = pack_int8,
      .unpack_int8 = unpack_int8,
      .linear_forward_int8 = linear_forward_int8,
      .embedding_forward_int8 = embedding_forward_int8,
      .best_of_rows = best_of_rows,
      .decoding = &decoding,
  };
  return table;
}

}  // namespace headlight::kernels::cuda
