// The size of a gradient, summed in double in a fixed order, and the factor that clips it.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/tensor_list.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;

__global__ void add_squares(double* shares, const TensorList<SquaredTensor> list) {
  const Piece piece = piece_of(list);
  const float* x = list.at[piece.index].x + piece.begin;
  double mine = 0.0;
  for_array<float>(piece.n, vectors_in(x), threadIdx.x, kPieceThreads, [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    const Floats<N> values = load<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) mine += static_cast<double>(values[j]) * static_cast<double>(values[j]);
  });
  const double total = block_reduce(mine, Add{});
  if (threadIdx.x == 0) shares[blockIdx.x] = total;
}

// A block for each tensor adds its pieces' shares.
__global__ void add_shares(float* out, const double* shares, const TensorList<SquaredTensor> list,
                           int pieces) {
  const auto tensor = static_cast<int>(blockIdx.x);
  const int end = tensor + 1 < list.count ? list.first[tensor + 1] : pieces;
  double mine = 0.0;
  for (int i = list.first[tensor] + static_cast<int>(threadIdx.x); i < end; i += kThreads) mine += shares[i];
  const double total = block_reduce(mine, Add{});
  if (threadIdx.x == 0) out[tensor] = static_cast<float>(total);
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

void sums_of_squares(Context& context, float* out, std::span<const SquaredTensor> tensors) {
  for_lists(tensors, [&](const TensorList<SquaredTensor>& list, int pieces, size_t from) {
    auto* shares = on_cuda(context).workspace<double>(pieces);
    launch(context, add_squares, pieces, kPieceThreads, 0, shares, list);
    launch(context, add_shares, list.count, kThreads, 0, out + from, shares, list, pieces);
  });
}

void sum_of_squares(Context& context, float* out, const float* x, int64_t n) {
  const SquaredTensor only{x, n};
  sums_of_squares(context, out, {&only, 1});
}

void clip_factor(Context& context, float* norm, float* clip, float* gate_new, const float* squares,
                 const float* loss, const float* gate, float max_norm, int64_t n) {
  launch(context, clip_by_norm, 1, kThreads, 0, norm, clip, gate_new, squares, loss, gate, max_norm, n);
}

}  // namespace headlight::kernels::cuda
