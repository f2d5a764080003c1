// Token embedding: rows of a table by token id; and the sum of the gradients that go back to each row,
// without atomics on floats. For the sum, positions are sorted by token; each window of sorted positions adds
// its runs of equal tokens in order; runs that cross windows are put together afterwards.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kTile = 1024;    // tokens that one block of rank_tokens compares with
constexpr int kWindow = 32;    // sorted positions of a window
constexpr int kColumns = 128;  // threads that share the columns of a window

template <class E>
__global__ void gather_rows(E* y, const int32_t* tokens, const E* table, int64_t R, int64_t C, bool vectors) {
  using Row = Team<false>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const E* from = table + tokens[r] * C;
    E* to = y + r * C;
    for_array<E>(C, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      *reinterpret_cast<Packed<E, N>*>(to + i) = *reinterpret_cast<const Packed<E, N>*>(from + i);
    });
  }
}

// rank[r] += how many positions of one tile of tokens sort before r: by token, then by position. Integers may
// be added in any order.
__global__ void rank_tokens(int* rank, const int32_t* tokens, int64_t R) {
  auto* tile = shared_memory<int32_t>();
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * kTile;
  const int count = static_cast<int>(R - begin < kTile ? R - begin : kTile);
  for (int i = static_cast<int>(threadIdx.x); i < count; i += kThreads) tile[i] = tokens[begin + i];
  __syncthreads();
  const int64_t r = thread_in_grid();
  if (r >= R) return;
  const int32_t token = tokens[r];
  int before = 0;
  for (int i = 0; i < count; ++i) {
    before += tile[i] < token || (tile[i] == token && begin + i < r) ? 1 : 0;
  }
  atomicAdd(rank + r, before);
}

__global__ void place_by_rank(int32_t* order, int32_t* sorted, const int* rank, const int32_t* tokens,
                              int64_t R) {
  const int64_t r = thread_in_grid();
  if (r >= R) return;
  order[rank[r]] = static_cast<int32_t>(r);
  sorted[rank[r]] = tokens[r];
}

// One window and a slice of columns a block. A run of equal tokens that lies wholly inside the window is
// added to the table; the part of a run that came from before goes to open[window][0], of one that goes on to
// open[window][1] (what does both counts as having come from before).
template <class E, int N>
__global__ void add_windows(float* dtable, float* open, const E* dy, const int32_t* order,
                            const int32_t* sorted, int64_t R, int64_t C) {
  const int64_t column = (static_cast<int64_t>(blockIdx.y) * kColumns + threadIdx.x) * N;
  if (column >= C) return;
  const int64_t window = blockIdx.x;
  const int64_t begin = window * kWindow;
  const int64_t end = begin + kWindow < R ? begin + kWindow : R;
  Floats<N> total{};
  bool from_before = begin > 0 && sorted[begin - 1] == sorted[begin];
  for (int64_t p = begin; p < end; ++p) {
    const Floats<N> row = load<N>(dy + order[p] * C + column);
#pragma unroll
    for (int j = 0; j < N; ++j) total[j] += row[j];
    const int32_t token = sorted[p];
    const bool goes_on = p + 1 < R && sorted[p + 1] == token;
    if (goes_on && p + 1 < end) continue;
    if (from_before || goes_on) {
      store<N>(open + (window * 2 + (from_before ? 0 : 1)) * C + column, total);
    } else {
      float* to = dtable + token * C + column;
      Floats<N> sum = load<N>(to);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += total[j];
      store<N>(to, sum);
    }
    total = {};
    from_before = false;
  }
}

// The runs that cross windows: the block of the window where one begins adds its parts in order.
__global__ void add_open_runs(float* dtable, const float* open, const int32_t* sorted, int64_t R, int64_t C) {
  const int64_t column = static_cast<int64_t>(blockIdx.y) * kColumns + threadIdx.x;
  if (column >= C) return;
  const int64_t window = blockIdx.x;
  const int64_t next = (window + 1) * kWindow;
  if (next >= R || sorted[next] != sorted[next - 1]) return;  // nothing goes on
  const int32_t token = sorted[next];
  const bool began_before = window > 0 && sorted[window * kWindow - 1] == token;
  if (began_before) return;
  float total = open[(window * 2 + 1) * C + column];
  for (int64_t p = next; p < R && sorted[p] == token; p += kWindow) {
    total += open[p / kWindow * 2 * C + column];
  }
  dtable[token * C + column] += total;
}

}  // namespace

template <class E>
void embedding_forward(Context& context, E* y, const int32_t* tokens, const E* table, int64_t R, int64_t C) {
  launch(context, gather_rows<E>, blocks_for(context, R, kThreads / kWarp), kThreads, 0, y, tokens, table, R,
         C, aligned(y, table) && C % kLanes<E> == 0);
}

template <class E>
void embedding_backward(Context& context, float* dtable, const float* base, const E* dy,
                        const int32_t* tokens, int64_t R, int64_t C, int64_t V) {
  CudaContext& cuda = on_cuda(context);
  const auto bytes = static_cast<size_t>(V * C) * sizeof(float);
  if (base == nullptr) {
    check(cudaMemsetAsync(dtable, 0, bytes, cuda.stream()), "clearing the table's gradient");
  } else if (base != dtable) {
    check(cudaMemcpyAsync(dtable, base, bytes, cudaMemcpyDeviceToDevice, cuda.stream()),
          "copying the table's gradient");
  }
  if (R == 0 || C == 0) return;
  const int64_t windows = divide_up(R, kWindow);
  const int64_t padded = divide_up(R, 4) * 4;
  auto* integers = cuda.workspace<int32_t>(3 * padded + windows * 2 * C);
  int32_t* rank = integers;
  int32_t* order = rank + padded;
  int32_t* sorted = order + padded;
  auto* open = reinterpret_cast<float*>(sorted + padded);
  check(cudaMemsetAsync(rank, 0, static_cast<size_t>(R) * sizeof(int32_t), cuda.stream()),
        "clearing the ranks of tokens");
  const auto blocks = static_cast<unsigned>(divide_up(R, kThreads));
  launch(context, rank_tokens, dim3(blocks, static_cast<unsigned>(divide_up(R, kTile))), kThreads,
         kTile * sizeof(int32_t), rank, tokens, R);
  launch(context, place_by_rank, blocks, kThreads, 0, order, sorted, rank, tokens, R);
  constexpr int N = kLanes<float>;
  const bool vectors = aligned(dtable, dy) && C % N == 0;
  const auto slices = static_cast<unsigned>(divide_up(C, int64_t{kColumns} * (vectors ? N : 1)));
  const dim3 grid(static_cast<unsigned>(windows), slices);
  launch(context, vectors ? add_windows<E, N> : add_windows<E, 1>, grid, kColumns, 0, dtable, open, dy, order,
         sorted, R, C);
  launch(context, add_open_runs,
         dim3(static_cast<unsigned>(windows), static_cast<unsigned>(divide_up(C, kColumns))), kColumns, 0,
         dtable, open, sorted, R, C);
}

template EmbeddingForward<float> embedding_forward<float>;
template EmbeddingForward<bfloat16> embedding_forward<bfloat16>;
template EmbeddingForward<float16> embedding_forward<float16>;
template EmbeddingBackward<float> embedding_backward<float>;
template EmbeddingBackward<bfloat16> embedding_backward<bfloat16>;
template EmbeddingBackward<float16> embedding_backward<float16>;

}  // namespace headlight::kernels::cuda
