// The mean of the losses of rows, and the factor of its gradient: one block over one number for each row.
#include "kernels/cuda/loss.h"

#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 1024;

__device__ int counted_rows(const int32_t* targets, int64_t R) {
  int mine = 0;
  for (int64_t r = threadIdx.x; r < R; r += kThreads) mine += targets[r] >= 0 ? 1 : 0;
  return block_reduce(mine, Add{});
}

__global__ void average(float* loss, const float* loss_row, const int32_t* targets, int64_t R) {
  double mine = 0.0;
  for (int64_t r = threadIdx.x; r < R; r += kThreads) mine += static_cast<double>(loss_row[r]);
  const double total = block_reduce(mine, Add{});
  const int counted = counted_rows(targets, R);
  if (threadIdx.x == 0) loss[0] = counted == 0 ? 0.0F : static_cast<float>(total / counted);
}

__global__ void divide_by_count(float* factor, const float* dloss, const int32_t* targets, int64_t R) {
  const int counted = counted_rows(targets, R);
  if (threadIdx.x == 0) factor[0] = counted == 0 ? 0.0F : dloss[0] / static_cast<float>(counted);
}

}  // namespace

void mean_loss(Context& context, float* loss, const float* loss_row, const int32_t* targets, int64_t R) {
  launch(context, average, 1, kThreads, 0, loss, loss_row, targets, R);
}

void loss_factor(Context& context, float* factor, const float* dloss, const int32_t* targets, int64_t R) {
  launch(context, divide_by_count, 1, kThreads, 0, factor, dloss, targets, R);
}

}  // namespace headlight::kernels::cuda
