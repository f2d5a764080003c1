// Cross-entropy of given probabilities: the mean over the rows that have a target.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/loss.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;

template <class E>
__global__ void negative_logs(float* loss_row, const E* p, const int32_t* targets, int64_t R, int64_t V) {
  const int64_t r = thread_in_grid();
  if (r >= R) return;
  loss_row[r] = targets[r] < 0 ? 0.0F : -logf(to_float(p[r * V + targets[r]]));
}

template <class E>
__global__ void slopes_at_targets(E* dp, const float* factor, const E* p, const int32_t* targets, int64_t R,
                                  int64_t V) {
  const int64_t r = thread_in_grid();
  if (r >= R || targets[r] < 0) return;
  const int64_t at = r * V + targets[r];
  dp[at] = from_float<E>(-factor[0] / to_float(p[at]));
}

}  // namespace

template <class E>
void cross_entropy_forward(Context& context, float* loss, float* loss_row, const E* p, const int32_t* targets,
                           int64_t R, int64_t V) {
  launch(context, negative_logs<E>, divide_up(R, kThreads), kThreads, 0, loss_row, p, targets, R, V);
  mean_loss(context, loss, loss_row, targets, R);
}

template <class E>
void cross_entropy_backward(Context& context, E* dp, const float* dloss, const E* p, const int32_t* targets,
                            int64_t R, int64_t V) {
  CudaContext& cuda = on_cuda(context);
  auto* factor = cuda.workspace<float>(1);
  loss_factor(context, factor, dloss, targets, R);
  check(cudaMemsetAsync(dp, 0, static_cast<size_t>(R * V) * sizeof(E), cuda.stream()), "clearing a gradient");
  launch(context, slopes_at_targets<E>, divide_up(R, kThreads), kThreads, 0, dp, factor, p, targets, R, V);
}

template CrossEntropyForward<float> cross_entropy_forward<float>;
template CrossEntropyForward<bfloat16> cross_entropy_forward<bfloat16>;
template CrossEntropyForward<float16> cross_entropy_forward<float16>;
template CrossEntropyBackward<float> cross_entropy_backward<float>;
template CrossEntropyBackward<bfloat16> cross_entropy_backward<bfloat16>;
template CrossEntropyBackward<float16> cross_entropy_backward<float16>;

}  // namespace headlight::kernels::cuda
