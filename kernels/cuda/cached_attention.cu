// Attention of new tokens over a cache of keys and values in one step. A block takes one query and a part of
// the places that it sees; the block that finishes a query's last part puts all of them together, in order,
// so that one launch is enough and the bits repeat. The same kernel serves queries, keys and values that
// still lie side by side: it reads the new places from there, and writes them into the cache on the way.
#include "kernels/cuda/attention_heads.h"
#include "kernels/cuda/cache.h"
#include "kernels/cuda/inference.h"
#include "kernels/cuda/overlap.h"
#include "kernels/cuda/rows.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 128;
constexpr int kPlaces = 64;        // of a turn
constexpr int kTeam = 8;           // lanes that share a place
constexpr int64_t kFewTokens = 8;  // from here on there are blocks enough without parts

// One call. Places go in parts of `part`; what they leave lies in `sums` [rows, parts, D] and `running`
// [rows, parts]; finished[row] counts parts, and is 0 before and after.
struct Parts {
  int64_t part;
  float* sums;
  Running* running;
  int* finished;
};

// Where queries lie, and the keys and values that the cache does not hold yet.
struct Source {
  const float* q;
  int64_t row;  // elements from one token's queries to the next
  // Null where everything is in the cache; else the places from at[b] on are read at token·row + head·D, and
  // written to the cache's k and v.
  const float* new_k;
  const float* new_v;
  float* k;
  float* v;
};

// How many threads share a column of values, each with places of its own.
__host__ __device__ int sharers(int64_t columns) {
  return columns < kThreads ? kThreads / static_cast<int>(columns) : 1;
}

// z[d] = Σ of the parts' sums, shrunk to the largest maximum among them, over the sum of their totals. By the
// whole block; factors [parts] lie in shared memory.
__device__ void combine(float* z, const float* sums, const Running* running, float* factors, int64_t parts,
                        int64_t D) {
  float top = -INFINITY;
  for (int64_t p = threadIdx.x; p < parts; p += kThreads) top = fmaxf(top, running[p].top);
  top = block_reduce(top, Largest{});
  float total = 0.0F;
  for (int64_t p = threadIdx.x; p < parts; p += kThreads) {
    factors[p] = running[p].top == top ? 1.0F : exp2_approximate(running[p].top - top);
    total += running[p].total * factors[p];
  }
  const float inverse = 1.0F / block_reduce(total, Add{});  // its barriers show the factors to all
  for (int64_t d = threadIdx.x; d < D; d += kThreads) {
    float sum = 0.0F;
#pragma unroll 4
    for (int64_t p = 0; p < parts; ++p) sum += sums[p * D + d] * factors[p];
    z[d] = sum * inverse;
  }
}

// Grid: x the rows (b, h, i), y the parts. N: elements that a lane reads at once.
template <int N, bool kNew>
__global__ void __launch_bounds__(kThreads)
    cached_attention_kernel(float* z, Parts parts, Source from, const float* k, const float* v,
                            const int32_t* at, const int32_t* count, float scale, CacheSizes s) {
  __shared__ float scores[kPlaces];
  __shared__ float weights[kPlaces];
  __shared__ bool last;
  let_next_start();
  const int64_t row = blockIdx.x;
  const CacheRow place = cache_row(s, row);
  float* to = z + s.query(place.b, place.h, place.i);
  const auto thread = static_cast<int>(threadIdx.x);
  const bool real = place.i < count[place.b];
  const int64_t seen = at[place.b] + place.i + 1;
  const int64_t used = (seen + parts.part - 1) / parts.part;
  const int64_t head = s.head(place.b, place.h);
  const float* keys = k + head;
  const float* values = v + head;
  const int64_t old = kNew ? at[place.b] : seen;  // places of the cache that hold what they should
  const int64_t begin = blockIdx.y * parts.part;
  const int64_t end = min(seen, begin + parts.part);
  if (const int64_t there = min(end, old) - begin; kNew && N > 1 && real && there > 0 && thread < 2) {
    const float* first = (thread == 0 ? keys : values) + begin * s.D;
    bring_to_cache(first, there * s.D * static_cast<int64_t>(sizeof(float)));
  }
  wait_for_previous();

  if (!real) {
    for (int64_t d = thread; blockIdx.y == 0 && d < s.D; d += kThreads) to[d] = 0.0F;
    return;
  }
  if (blockIdx.y >= used) return;
  const float* query = from.q + (place.b * s.T + place.i) * from.row + place.h * s.D;
  const int64_t fresh = place.b * s.T * from.row + place.h / (s.H / s.G) * s.D;
  const auto key_at = [&](int64_t j) {
    return !kNew || j < old ? keys + j * s.D : from.new_k + fresh + (j - old) * from.row;
  };
  const auto value_at = [&](int64_t j) {
    return !kNew || j < old ? values + j * s.D : from.new_v + fresh + (j - old) * from.row;
  };
  // Each token's place is written by one block, and read by none before the next call.
  if (kNew && blockIdx.y == 0 && place.h % (s.H / s.G) == 0) {
    const int64_t mine = fresh + place.i * from.row;
    const int64_t there = head + (old + place.i) * s.D;
    for (int64_t d = thread; d < s.D; d += kThreads) {
      from.k[there + d] = from.new_k[mine + d];
      from.v[there + d] = from.new_v[mine + d];
    }
  }
  const int64_t columns = s.D / N;
  const int shared = sharers(columns);
  auto* sums = shared_memory<float>();  // [shared, D]; a thread reads and writes only what is its own. Behind
                                        // them, the factors of combine()
  for (int64_t own = thread; own < shared * columns; own += kThreads) store<N>(sums + own * N, Floats<N>{});

  Running mine{-INFINITY, 0.0F};
  for (int64_t j0 = begin; j0 < end; j0 += kPlaces) {
    const int n = static_cast<int>(min(int64_t{kPlaces}, end - j0));
#pragma unroll
    for (int turn = 0; turn < kPlaces * kTeam / kThreads; ++turn) {
      const int j = turn * (kThreads / kTeam) + thread / kTeam;
      float sum = 0.0F;
      if (j < n) {
        const float* key = key_at(j0 + j);
        for (int64_t d = thread % kTeam * N; d < s.D; d += kTeam * N) {
          const Floats<N> left = load<N>(query + d);
          const Floats<N> right = load<N>(key + d);
#pragma unroll
          for (int e = 0; e < N; ++e) sum += left[e] * right[e];
        }
      }
#pragma unroll
      for (int distance = kTeam / 2; distance > 0; distance /= 2) {
        sum += __shfl_xor_sync(kAllLanes, sum, distance);
      }
      if (thread % kTeam == 0) scores[j] = j < n ? sum * scale : -INFINITY;
    }
    __syncthreads();
    // Every warp works out the same.
    const float low = scores[lane_index()];
    const float high = scores[lane_index() + kWarp];
    const float top = fmaxf(mine.top, warp_reduce(fmaxf(low, high), Largest{}));
    const float shift = shift_of(top);
    const float factor = mine.top == top ? 1.0F : exp2_approximate(mine.top - top);
    const float low_weight = exp2_approximate(low - shift);
    const float high_weight = exp2_approximate(high - shift);
    mine = {top, mine.total * factor + warp_reduce(low_weight + high_weight, Add{})};
    if (thread < kWarp) {
      weights[lane_index()] = low_weight;
      weights[lane_index() + kWarp] = high_weight;
    }
    __syncthreads();
    for (int64_t own = thread; own < shared * columns; own += kThreads) {
      const int64_t column = own % columns * N;
      Floats<N> sum = load<N>(sums + own * N);
#pragma unroll
      for (int e = 0; e < N; ++e) sum[e] *= factor;
#pragma unroll(kNew ? 4 : 2)
      for (int j = static_cast<int>(own / columns); j < n; j += shared) {
        const Floats<N> x = load<N>(value_at(j0 + j) + column);
#pragma unroll
        for (int e = 0; e < N; ++e) sum[e] += x[e] * weights[j];
      }
      store<N>(sums + own * N, sum);
    }
  }
  __syncthreads();

  const auto sum_of = [&](int64_t d) {
    float sum = sums[d];
    for (int i = 1; i < shared; ++i) sum += sums[i * s.D + d];
    return sum;
  };
  if (used == 1) {
    const float inverse = 1.0F / mine.total;
    for (int64_t d = thread; d < s.D; d += kThreads) to[d] = sum_of(d) * inverse;
    return;
  }
  float* all_sums = parts.sums + row * gridDim.y * s.D;
  Running* all_running = parts.running + row * gridDim.y;
  for (int64_t d = thread; d < s.D; d += kThreads) all_sums[blockIdx.y * s.D + d] = sum_of(d);
  if (thread == 0) all_running[blockIdx.y] = mine;
  __threadfence();
  __syncthreads();
  if (thread == 0) last = atomicAdd(parts.finished + row, 1) == static_cast<int>(used) - 1;
  __syncthreads();
  if (!last) return;
  __threadfence();
  if (thread == 0) parts.finished[row] = 0;
  combine(to, all_sums, all_running, sums + shared * s.D, used, s.D);
}

template <bool kNew>
void attend(Context& context, float* z, const Source& from, const float* k, const float* v, const int32_t* at,
            const int32_t* count, float scale, const CacheSizes& s, bool vectors) {
  constexpr int N = kLanes<float>;
  const int64_t columns = vectors ? s.D / N : s.D;
  // The grid covers the whole cache, since a recorded step is given again when more of it is in use.
  Parts parts{
      .part = s.T < kFewTokens ? kPlaces : s.S, .sums = nullptr, .running = nullptr, .finished = nullptr};
  const int64_t most = divide_up(s.S, parts.part);
  if (most > 1) {
    CudaContext& cuda = on_cuda(context);
    parts.finished = cuda.counters(s.rows());
    parts.sums = cuda.workspace<float>(s.rows() * most * (s.D + 2));
    parts.running = reinterpret_cast<Running*>(parts.sums + s.rows() * most * s.D);
  }
  const dim3 grid(static_cast<unsigned>(s.rows()), static_cast<unsigned>(most));
  const size_t shared_bytes = static_cast<size_t>(sharers(columns) * s.D + most) * sizeof(float);
  launch_overlapping(context, vectors ? cached_attention_kernel<N, kNew> : cached_attention_kernel<1, kNew>,
                     grid, kThreads, shared_bytes, z, parts, from, k, v, at, count, scale * kLog2E, s);
}

}  // namespace

void cached_attention(Context& context, float* z, const float* q, const float* k, const float* v,
                      const int32_t* at, const int32_t* count, float scale, int64_t B, int64_t T, int64_t H,
                      int64_t G, int64_t S, int64_t D) {
  const Source from{.q = q, .row = H * D, .new_k = nullptr, .new_v = nullptr, .k = nullptr, .v = nullptr};
  attend<false>(context, z, from, k, v, at, count, scale, {B, T, H, G, S, D},
                aligned(q, k, v) && D % kLanes<float> == 0);
}

void decode_attention(Context& context, float* z, float* k, float* v, const float* qkv, const int32_t* at,
                      const int32_t* count, float scale, int64_t B, int64_t T, int64_t H, int64_t G,
                      int64_t S, int64_t D) {
  const Source from{
      .q = qkv, .row = (H + 2 * G) * D, .new_k = qkv + H * D, .new_v = qkv + (H + G) * D, .k = k, .v = v};
  attend<true>(context, z, from, k, v, at, count, scale, {B, T, H, G, S, D},
               aligned(qkv, k, v) && D % kLanes<float> == 0);
}

}  // namespace headlight::kernels::cuda
