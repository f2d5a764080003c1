// The choice of a token: of a row of logits, the largest ones and the sums that a draw needs. A warp takes a
// segment of the row: its largest logit, and its sums shrunk to that. The block that finishes a row's last
// segment puts the sums together in order, and finds the best among the logits of those segments whose
// largest are among the first k: no other can hold one. One launch, and the logits are read once.
#include "kernels/cuda/device.h"
#include "kernels/cuda/inference.h"
#include "kernels/cuda/ranking.h"
#include "kernels/inspection.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;
constexpr int kMostSegments = kThreads;  // of a row: the last block has a thread for each
constexpr int kMostCandidates = 2048;
constexpr double kNegligible = -700.0;  // e^z below is nothing beside 1

// What a warp finds in its segment; the sums are those of BestOfRow with the segment's own largest logit.
struct Segment {
  uint64_t top;
  double sum;
  double weighted;
};

// How a row of V logits is cut: `count` segments of `length`, the last one shorter.
struct Cut {
  int length;
  int count;
};
Cut cut_of(int64_t V) {
  const int64_t length = divide_up(divide_up(V, int64_t{kMostSegments}), int64_t{kWarp}) * kWarp;
  return {static_cast<int>(length), static_cast<int>(divide_up(V, length))};
}

__device__ __forceinline__ uint64_t larger(uint64_t a, uint64_t b) { return a > b ? a : b; }
struct LargerKey {
  __device__ __forceinline__ uint64_t operator()(uint64_t a, uint64_t b) const { return larger(a, b); }
};

// (x − largest)/τ; −∞ stays that beside itself.
__device__ __forceinline__ double shifted(float x, double largest, double temperature) {
  return x == -INFINITY ? -INFINITY : (static_cast<double>(x) - largest) / temperature;
}

__device__ Segment read_segment(const float* row, int begin, int end, double temperature) {
  uint64_t top = 0;
  for (int i = begin + lane_index(); i < end; i += kWarp) {
    top = larger(top, rank_key(row[i], static_cast<uint32_t>(i)));
  }
  top = warp_reduce(top, LargerKey{});
  const auto largest = static_cast<double>(row[index_of_key(top)]);
  double sum = 0.0;
  double weighted = 0.0;
  for (int i = begin + lane_index(); i < end; i += kWarp) {
    const double z = shifted(row[i], largest, temperature);
    if (z < kNegligible) continue;
    const double e = exp(z);
    sum += e;
    weighted += e * z;
  }
  return {top, warp_reduce(sum, Add{}), warp_reduce(weighted, Add{})};
}

// The keys of at least k logits of the chosen segments, among them the k best: their number, in shared
// memory. By the whole block; ends with a barrier.
__device__ int collect(uint64_t* keys, const float* row, int V, const int* chosen, int segments,
                       const Cut& cut, uint64_t threshold, uint64_t top, int k) {
  __shared__ int count;
  // Of keys from a threshold on there are too many at `low` and too few at `high`.
  uint64_t low = threshold;
  uint64_t high = top + 1;
  for (;;) {
    __syncthreads();
    if (threadIdx.x == 0) count = 0;
    __syncthreads();
    for (int i = static_cast<int>(threadIdx.x); i < segments * cut.length; i += kThreads) {
      const int column = chosen[i / cut.length] * cut.length + i % cut.length;
      if (column >= V) continue;
      const uint64_t key = rank_key(row[column], static_cast<uint32_t>(column));
      if (key < threshold) continue;
      // In whatever order: they are sorted, and no two are alike.
      const int place = atomicAdd(&count, 1);
      if (place < kMostCandidates) keys[place] = key;
    }
    __syncthreads();
    if (count >= k && count <= kMostCandidates) return count;
    (count < k ? high : low) = threshold;
    threshold = low + (high - low) / 2;
  }
}

// Grid: x blocks of kWarps segments, y rows.
__global__ void __launch_bounds__(kThreads)
    best_of_row(BestOfRow* best, Segment* segments, int* finished, const float* x, double temperature,
                Feedback feedback, int V, Cut cut, int k) {
  __shared__ uint64_t keys[kMostCandidates];
  __shared__ uint64_t tops[kMostSegments];
  __shared__ int chosen[most_best];
  __shared__ uint64_t limits[2];  // the largest key, and the k-th largest of the segments'
  __shared__ bool last;
  const int64_t r = blockIdx.y;
  const float* row = x + r * V;
  segments += r * cut.count;
  const auto thread = static_cast<int>(threadIdx.x);
  const int mine = static_cast<int>(blockIdx.x) * kWarps + warp_index();
  if (mine < cut.count) {
    const int begin = mine * cut.length;
    const Segment found = read_segment(row, begin, min(begin + cut.length, V), temperature);
    if (lane_index() == 0) segments[mine] = found;
  }
  __threadfence();
  __syncthreads();
  if (thread == 0) last = atomicAdd(finished + r, 1) == static_cast<int>(gridDim.x) - 1;
  __syncthreads();
  if (!last) return;
  __threadfence();
  if (thread == 0) finished[r] = 0;

  const bool has_one = thread < cut.count;
  const Segment own = has_one ? segments[thread] : Segment{0, 0.0, 0.0};
  tops[thread] = own.top;
  if (thread == 0) limits[1] = 0;
  __syncthreads();
  int rank = 0;
  for (int i = 0; i < cut.count; ++i) rank += tops[i] > own.top ? 1 : 0;
  if (has_one && rank < k) chosen[rank] = thread;
  if (has_one && rank == 0) limits[0] = own.top;
  if (has_one && rank == k - 1) limits[1] = own.top;
  __syncthreads();

  const auto largest = static_cast<double>(row[index_of_key(limits[0])]);
  double sum = own.sum;
  double weighted = 0.0;
  if (has_one && !isnan(own.sum)) {
    const double shift = shifted(row[index_of_key(own.top)], largest, temperature);
    const double factor = shift < kNegligible ? 0.0 : exp(shift);
    sum = factor * own.sum;
    weighted = factor == 0.0 ? 0.0 : factor * (own.weighted + shift * own.sum);
  }
  sum = block_reduce(sum, Add{});
  weighted = block_reduce(weighted, Add{});

  const int n = collect(keys, row, V, chosen, min(k, cut.count), cut, limits[1], limits[0], k);
  int sorted = 1;
  while (sorted < n) sorted *= 2;
  for (int i = n + thread; i < sorted; i += kThreads) keys[i] = 0;
  __syncthreads();
  sort_keys(keys, sorted);
  BestOfRow& to = best[r];
  for (int i = thread; i < k; i += kThreads) {
    const uint32_t column = index_of_key(keys[i]);
    to.columns[i] = static_cast<int32_t>(column);
    to.values[i] = row[column];
  }
  if (thread != 0) return;
  to.sum = sum;
  to.weighted = weighted;
  if (feedback.tokens == nullptr) return;
  feedback.tokens[r] = static_cast<int32_t>(index_of_key(keys[0]));
  feedback.places[r] += 1;
}

}  // namespace

void best_of_rows(Context& context, BestOfRow* best, const float* x, double temperature,
                  const Feedback& feedback, int64_t R, int64_t V, int64_t k) {
  CudaContext& cuda = on_cuda(context);
  const Cut cut = cut_of(V);
  int* finished = cuda.counters(R);
  auto* segments = cuda.workspace<Segment>(R * cut.count);
  const dim3 grid(static_cast<unsigned>(divide_up(cut.count, kWarps)), static_cast<unsigned>(R));
  launch(context, best_of_row, grid, kThreads, 0, best, segments, finished, x, temperature, feedback,
         static_cast<int>(V), cut, static_cast<int>(k));
}

}  // namespace headlight::kernels::cuda
