// The size of a gradient, summed in double in a fixed order, and the factor that clips it.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void add_squares(double* shares, const float* x, int64_t n, bool vectors) {
  double mine = 0.0;
  for_array<float>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    const Floats<N> values = load<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) mine += static_cast<double>(values[j]) * static_cast<double>(values[j]);
  });
  const double total = block_reduce(mine, Add{});
  if (threadIdx.x == 0) shares[blockIdx.x] = total;
}

__global__ void add_shares(float* out, const double* shares, int count) {
  double mine = 0.0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) mine += shares[i];
  const double total = block_reduce(mine, Add{});
  if (threadIdx.x == 0) out[0] = static_cast<float>(total);
}

__global__ void clip_by_norm(float* norm, float* clip, float* gate_new, const float* squares,
                             const float* loss, const float* gate, float max_norm, int64_t n) {
  double mine = 0.0;
  for (int64_t i = threadIdx.x; i < n; i += kThreads) mine += static_cast<double>(squares[i]);
  const double total = block_reduce(mine, Add{});
  if (threadIdx.x != 0) return;
  const auto size = static_cast<float>(sqrt(total));
  norm[0] = size;
  bool open = std::isfinite(size);
  if (gate != nullptr) {
    open = open && std::isfinite(loss[0]) && gate[0] != 0.0F;
    gate_new[0] = open ? 1.0F : 0.0F;
  }
  const float factor = max_norm <= 0.0F || size <= max_norm ? 1.0F : max_norm / size;
  clip[0] = open ? factor : NAN;
}

}  // namespace

void sum_of_squares(Context& context, float* out, const float* x, int64_t n) {
  const int64_t blocks = std::max<int64_t>(1, blocks_for(context, n, kThreads * 16, 4));
  auto* shares = on_cuda(context).workspace<double>(blocks);
  launch(context, add_squares, blocks, kThreads, 0, shares, x, n, aligned(x));
  launch(context, add_shares, 1, kThreads, 0, out, shares, blocks);
}

void clip_factor(Context& context, float* norm, float* clip, float* gate_new, const float* squares,
                 const float* loss, const float* gate, float max_norm, int64_t n) {
  launch(context, clip_by_norm, 1, kThreads, 0, norm, clip, gate_new, squares, loss, gate, max_norm, n);
}

}  // namespace headlight::kernels::cuda
