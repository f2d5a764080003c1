// What both cross-entropies share: counting the rows that have a target, and the mean over them.
#pragma once

#include <cstdint>

namespace headlight::kernels::cpu {

/// Rows whose target is not negative (a negative target is ignored).
int64_t counted_rows(const int32_t* targets, int64_t R);
/// Sum of loss_row in double, in order, over the counted rows; 0 where none counts.
float mean_loss(const float* loss_row, const int32_t* targets, int64_t R);

}  // namespace headlight::kernels::cpu
