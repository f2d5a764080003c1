// Softmax and cross-entropy from the logits in one pass, and its gradient softmax − onehot.
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/loss.h"
#include "kernels/cpu/rows.h"

namespace headlight::kernels::cpu {

void softmax_cross_entropy_forward(Context& context, float* loss, float* loss_row, float* lse,
                                   const float* logits, const int32_t* targets, int64_t R, int64_t V) {
  for_rows(context, R, V, kMathChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = logits + r * V;
      const float top = row_largest(row, V, 1.0F);
      lse[r] = top + std::log(row_exponentials(nullptr, row, V, 1.0F, top));
      loss_row[r] = targets[r] < 0 ? 0.0F : lse[r] - row[targets[r]];
    }
  });
  loss[0] = mean_loss(loss_row, targets, R);
}

void softmax_cross_entropy_backward(Context& context, float* dlogits, const float* dloss, const float* logits,
                                    const float* lse, const int32_t* targets, int64_t R, int64_t V) {
  const auto counted = static_cast<float>(counted_rows(targets, R));
  const float factor = counted > 0.0F ? dloss[0] / counted : 0.0F;
  for_rows(context, R, V, kMathChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      float* to = dlogits + r * V;
      if (targets[r] < 0) {
        std::fill(to, to + V, 0.0F);
        continue;
      }
      const float shift = lse[r];
      map(to, logits + r * V, V, [&](Floats x) { return exp(x - shift) * factor; });
      to[targets[r]] -= factor;
    }
  });
}

}  // namespace headlight::kernels::cpu
