// The largest values of each row and its log-sum-exp. A block looks for the k-th largest key of its row digit
// by digit (radix selection), collects the keys from there on, and sorts them.
#include "kernels/cuda/device.h"
#include "kernels/cuda/inspection.h"
#include "kernels/cuda/ranking.h"
#include "kernels/cuda/rows.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / kWarp;
constexpr int kDigitBits = 11;
constexpr int kDigits = 1 << kDigitBits;
constexpr int kOwn = kDigits / kThreads;  // digits that a thread counts together

/// The digit in which the k-th largest key lies, how many keys of that digit are wanted, and how many there
/// are.
struct Found {
  int digit;
  unsigned wanted;
  unsigned count;
};

/// Every thread gets the digit of the `wanted`-th key from the top. Starts and ends with a barrier.
__device__ Found find_digit(const unsigned* counts, unsigned wanted) {
  __shared__ Found found;
  __shared__ unsigned totals[kWarps];
  __syncthreads();
  const int first = static_cast<int>(threadIdx.x) * kOwn;
  unsigned own = 0;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) own += counts[first + i];
  unsigned from_here = own;  // keys of this thread's digits and of larger ones
#pragma unroll
  for (int distance = 1; distance < kWarp; distance *= 2) {
    const unsigned other = __shfl_down_sync(kAllLanes, from_here, static_cast<unsigned>(distance));
    if (lane_index() + distance < kWarp) from_here += other;
  }
  if (lane_index() == 0) totals[warp_index()] = from_here;
  __syncthreads();
  for (int warp = warp_index() + 1; warp < kWarps; ++warp) from_here += totals[warp];
  unsigned above = from_here - own;
  if (above < wanted && from_here >= wanted) {
    for (int i = kOwn - 1; i >= 0; --i) {
      const unsigned count = counts[first + i];
      if (above + count >= wanted) {
        found = {first + i, wanted - above, count};
        break;
      }
      above += count;
    }
  }
  __syncthreads();
  return found;
}

/// Calls body(key) for the key of each element of the row.
template <class E, class Body>
__device__ __forceinline__ void for_keys(const E* row, int64_t V, int64_t offset, bool vectors,
                                         const Body& body) {
  using Row = Team<true>;
  for_row<E>(V, offset, vectors, Row::rank(), Row::size(), [&](int64_t j, auto count) {
    constexpr int N = decltype(count)::value;
    const Floats<N> values = load<N>(row + j);
#pragma unroll
    for (int i = 0; i < N; ++i) body(rank_key(values[i], static_cast<uint32_t>(j + i)));
  });
}

template <class E>
__global__ void rank_rows(float* values, int32_t* index, float* log_sum_exp, float* named, const E* x,
                          const int32_t* columns, int64_t R, int64_t V, int k, bool vectors) {
  __shared__ unsigned counts[kDigits];
  __shared__ uint64_t keys[most_ranked];
  __shared__ int collected;
  int sorted = 1;
  while (sorted < k) sorted *= 2;
  for (int64_t r = blockIdx.x; r < R; r += gridDim.x) {
    const E* row = x + r * V;
    uint64_t prefix = 0;
    int shift = 64;
    auto wanted = static_cast<unsigned>(k);
    int any_nan = 0;
    // A key is read as 11 + 11 + 10 bits of the value, then of the index where values are equal.
    for (const int next : {53, 42, 32, 21, 10, 0}) {
      for (int i = static_cast<int>(threadIdx.x); i < kDigits; i += kThreads) counts[i] = 0;
      __syncthreads();
      const uint64_t mask = (uint64_t{1} << (shift - next)) - 1;
      for_keys(row, V, r * V, vectors, [&](uint64_t key) {
        any_nan |= key >> 32 == 0 ? 1 : 0;
        if (shift < 64 && key >> shift != prefix) return;
        atomicAdd(&counts[key >> next & mask], 1U);
      });
      const Found found = find_digit(counts, wanted);
      prefix = prefix << (shift - next) | static_cast<uint64_t>(found.digit);
      shift = next;
      wanted = found.wanted;
      // All keys with this prefix are among the first k: their later digits say nothing.
      if (found.count == found.wanted) break;
    }
    if (threadIdx.x == 0) collected = 0;
    for (int i = static_cast<int>(threadIdx.x); i < sorted; i += kThreads) keys[i] = 0;
    __syncthreads();
    for_keys(row, V, r * V, vectors, [&](uint64_t key) {
      // In whatever order: they are sorted, and no two are alike.
      if (key >> shift >= prefix) keys[atomicAdd(&collected, 1)] = key;
    });
    any_nan = __syncthreads_or(any_nan);
    sort_keys(keys, sorted);
    for (int i = static_cast<int>(threadIdx.x); i < k; i += kThreads) {
      const uint32_t column = index_of_key(keys[i]);
      index[r * k + i] = static_cast<int32_t>(column);
      values[r * k + i] = wide(row[column]);
    }
    const Running all = run_over_row<Team<true>>(row, V, r * V, vectors, 1.0F);
    if (threadIdx.x == 0) {
      const bool infinite = any_nan == 0 && fabsf(all.top) == INFINITY;
      log_sum_exp[r] = infinite ? all.top : all.top + logf(all.total);
      const int64_t column = columns == nullptr ? -1 : columns[r];
      if (named != nullptr) named[r] = column >= 0 && column < V ? wide(row[column]) : NAN;
    }
  }
}

}  // namespace

template <class E>
void top_of_rows(Context& context, float* values, int32_t* index, float* log_sum_exp, float* named,
                 const E* x, const int32_t* columns, int64_t R, int64_t V, int64_t k) {
  launch(context, rank_rows<E>, blocks_for(context, R, 1, 4), kThreads, 0, values, index, log_sum_exp, named,
         x, columns, R, V, k, aligned(x));
}

template TopOfRows<float> top_of_rows<float>;
template TopOfRows<bfloat16> top_of_rows<bfloat16>;
template TopOfRows<float16> top_of_rows<float16>;

}  // namespace headlight::kernels::cuda
