// Cross-entropy of given probabilities: the mean over the rows that have a target.
#include "kernels/cpu/loss.h"

#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"

namespace headlight::kernels::cpu {

int64_t counted_rows(const int32_t* targets, int64_t R) {
  return std::count_if(targets, targets + R, [](int32_t target) { return target >= 0; });
}

float mean_loss(const float* loss_row, const int32_t* targets, int64_t R) {
  double total = 0.0;
  for (int64_t r = 0; r < R; ++r) total += static_cast<double>(loss_row[r]);
  const int64_t counted = counted_rows(targets, R);
  return counted == 0 ? 0.0F : static_cast<float>(total / static_cast<double>(counted));
}

void cross_entropy_forward(Context& /*context*/, float* loss, float* loss_row, const float* p,
                           const int32_t* targets, int64_t R, int64_t V) {
  for (int64_t r = 0; r < R; ++r) loss_row[r] = targets[r] < 0 ? 0.0F : -std::log(p[r * V + targets[r]]);
  loss[0] = mean_loss(loss_row, targets, R);
}

void cross_entropy_backward(Context& context, float* dp, const float* dloss, const float* p,
                            const int32_t* targets, int64_t R, int64_t V) {
  const auto counted = static_cast<float>(counted_rows(targets, R));
  for_rows(context, R, V, kStreamChunk, [&](int64_t begin, int64_t end) {
    std::fill(dp + begin * V, dp + end * V, 0.0F);
    for (int64_t r = begin; r < end; ++r) {
      if (targets[r] < 0) continue;
      const int64_t at = r * V + targets[r];
      dp[at] = -dloss[0] / (counted * p[at]);
    }
  });
}

}  // namespace headlight::kernels::cpu
