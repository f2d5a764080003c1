// What both cross-entropies share: the mean over the rows that have a target, and 1 over their number.
#pragma once

#include "kernels/cuda/context.h"

namespace headlight::kernels::cuda {

/// loss[0] = Σ loss_row over the rows whose target is not negative, summed in double in a fixed order, over
/// their number; 0 where there are none.
void mean_loss(Context& context, float* loss, const float* loss_row, const int32_t* targets, int64_t R);

/// factor[0] = dloss[0] over the number of rows whose target is not negative; 0 where there are none.
void loss_factor(Context& context, float* factor, const float* dloss, const int32_t* targets, int64_t R);

}  // namespace headlight::kernels::cuda
