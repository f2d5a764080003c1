// Statistics of an array and its histogram: two passes, sums in double by blocks and then over the blocks in
// a fixed order. Only whole numbers are counted with atomics.
#include "kernels/cuda/device.h"
#include "kernels/cuda/inspection.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;
// What atomicAdd calls 64 bits.
using Wide = unsigned long long;
static_assert(sizeof(Wide) == sizeof(uint64_t));

struct Least {
  __device__ __forceinline__ double operator()(double a, double b) const { return b < a ? b : a; }
};
struct Most {
  __device__ __forceinline__ double operator()(double a, double b) const { return b > a ? b : a; }
};

/// The threads' sums put together, the same in every thread.
__device__ __forceinline__ FiniteSums block_sums(const FiniteSums& mine) {
  FiniteSums all;
  all.finite = block_reduce(mine.finite, Add{});
  all.sum = block_reduce(mine.sum, Add{});
  all.minimum = block_reduce(mine.minimum, Least{});
  all.maximum = block_reduce(mine.maximum, Most{});
  return all;
}

template <class E>
__global__ void add_values(FiniteSums* shares, const E* x, int64_t n, bool vectors) {
  FiniteSums mine;
  for_array<E>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    const Floats<N> values = load<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) take(mine, values[j]);
  });
  mine = block_sums(mine);
  if (threadIdx.x == 0) shares[blockIdx.x] = mine;
}

// One block. The histogram starts at 0.
__global__ void join_sums(ValueStatistics* result, uint64_t* histogram, const FiniteSums* shares, int count,
                          int64_t n, int bins) {
  for (int i = static_cast<int>(threadIdx.x); i < bins; i += kThreads) histogram[i] = 0;
  FiniteSums mine;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) take(mine, shares[i]);
  mine = block_sums(mine);
  if (threadIdx.x == 0) *result = statistics_of(mine, n);
}

template <class E>
__global__ void count_values(uint64_t* histogram, double* squares, const ValueStatistics* known, const E* x,
                             int64_t n, int bins, bool vectors) {
  __shared__ unsigned counts[most_bins];
  for (int i = static_cast<int>(threadIdx.x); i < bins; i += kThreads) counts[i] = 0;
  __syncthreads();
  const double minimum = known->minimum;
  const double maximum = known->maximum;
  const double mean = known->mean;
  double mine = 0.0;
  for_array<E>(n, vectors, thread_in_grid(), threads_in_grid(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    const Floats<N> values = load<N>(x + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      if (!is_finite(values[j])) continue;
      mine += squared_distance(values[j], mean);
      atomicAdd(&counts[bin_of(values[j], minimum, maximum, bins)], 1U);
    }
  });
  // Ends with a barrier: the block's counts are whole.
  const double total = block_reduce(mine, Add{});
  if (threadIdx.x == 0) squares[blockIdx.x] = total;
  for (int i = static_cast<int>(threadIdx.x); i < bins; i += kThreads) {
    if (counts[i] > 0) atomicAdd(reinterpret_cast<Wide*>(histogram) + i, static_cast<Wide>(counts[i]));
  }
}

// One block.
__global__ void join_squares(ValueStatistics* result, const double* squares, int count) {
  double mine = 0.0;
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) mine += squares[i];
  const double total = block_reduce(mine, Add{});
  const int64_t finite = result->count - result->non_finite;
  if (threadIdx.x == 0 && finite > 0) result->standard_deviation = sqrt(total / static_cast<double>(finite));
}

}  // namespace

template <class E>
void statistics(Context& context, ValueStatistics* result, uint64_t* histogram, const E* x, int64_t n,
                int bins) {
  const int64_t blocks = std::max<int64_t>(1, blocks_for(context, n, kThreads * 16, 4));
  auto* shares = on_cuda(context).workspace<FiniteSums>(blocks);
  launch(context, add_values<E>, blocks, kThreads, 0, shares, x, n, aligned(x));
  launch(context, join_sums, 1, kThreads, 0, result, histogram, shares, blocks, n, bins);
  // The sums are read no more.
  auto* squares = reinterpret_cast<double*>(shares);
  launch(context, count_values<E>, blocks, kThreads, 0, histogram, squares, result, x, n, bins, aligned(x));
  launch(context, join_squares, 1, kThreads, 0, result, squares, blocks);
}

template Statistics<float> statistics<float>;
template Statistics<bfloat16> statistics<bfloat16>;
template Statistics<float16> statistics<float16>;

}  // namespace headlight::kernels::cuda
