// How long attention takes on a backend, step by step and fused. `headlight bench attention` prints it beside
// the course's claims.
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"

namespace headlight::kernels {

/// Which kernels compute an attention.
enum class AttentionWay {
  steps,  ///< scores, scale, mask, softmax, weighted sum; [B,H,T,T] is stored twice
  fused,  ///< one kernel; no scores are stored
};

/// One causal attention of elements E (float, bfloat16 or float16).
struct AttentionShape {
  int64_t B, T, H, D;
  bool backward = false;  ///< also the gradient of q, k and v

  /// Floating-point operations of the products that a causal mask leaves, multiply-adds counted twice: two
  /// products forward, five backward.
  [[nodiscard]] double flops() const;
  /// Bytes that `way` needs on the device with elements of `element_bytes`.
  [[nodiscard]] size_t bytes(AttentionWay way, size_t element_bytes) const;
};

struct AttentionTiming {
  std::vector<double> first_calls;  ///< seconds of the first three calls, the very first one cold
  double seconds = 0;               ///< median of the calls behind them
};

/// Times `way` for about `budget` seconds, at least three calls behind the first three. Throws std::bad_alloc
/// where the device has not enough memory.
template <class E>
[[nodiscard]] AttentionTiming time_attention(Backend& backend, const AttentionShape& shape, AttentionWay way,
                                             double budget);

/// Largest difference between the outputs of the two ways on the same numbers.
template <class E>
[[nodiscard]] double attention_difference(Backend& backend, const AttentionShape& shape);

}  // namespace headlight::kernels
