// Pictures of heads and what the rows of their patterns say. A block draws one row of a picture; a warp or a
// block reads one row of a pattern.
#include "kernels/cuda/device.h"
#include "kernels/cuda/inspection.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;

struct Smallest {
  __device__ __forceinline__ float operator()(float a, float b) const { return fminf(a, b); }
};
struct Greatest {
  __device__ __forceinline__ uint64_t operator()(uint64_t a, uint64_t b) const { return a > b ? a : b; }
};

// ranges [bands, 2], as range of each band alone.
template <class E>
__global__ void draw_bands(float* picture, float* ranges, const E* x, int64_t Tq, int64_t Tk,
                           PictureShape shape) {
  __shared__ unsigned cells[picture_side];
  const int64_t band = blockIdx.x;
  const int64_t first = band % shape.rows * shape.square;
  const int64_t rows = first + shape.square < Tq ? shape.square : Tq - first;
  const E* top = x + (band / shape.rows * Tq + first) * Tk;
  for (int i = static_cast<int>(threadIdx.x); i < picture_side; i += kThreads) cells[i] = 0;
  __syncthreads();
  float low = 0.0F;
  float high = 0.0F;
  for (int64_t j = threadIdx.x; j < Tk; j += kThreads) {
    unsigned strongest = 0;
    for (int64_t i = 0; i < rows; ++i) {
      const float value = wide(top[i * Tk + j]);
      const unsigned key = strength(value);
      strongest = key > strongest ? key : strongest;
      // False for NaN, too.
      const float score = fabsf(value) < largest_score ? value : 0.0F;
      low = fminf(low, score);
      high = fmaxf(high, score);
    }
    // The largest of whole numbers is the same in every order.
    atomicMax(&cells[j / shape.square], strongest);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < shape.cols; i += kThreads) {
    picture[band * shape.cols + i] = of_strength(cells[i]);
  }
  low = block_reduce(low, Smallest{});
  high = block_reduce(high, Largest{});
  if (threadIdx.x == 0) {
    ranges[2 * band] = low;
    ranges[2 * band + 1] = high;
  }
}

// A warp for each head.
__global__ void join_ranges(float* range, const float* ranges, int64_t bands) {
  const float* mine = ranges + 2 * blockIdx.x * bands;
  float low = 0.0F;
  float high = 0.0F;
  for (int64_t band = threadIdx.x; band < bands; band += kWarp) {
    low = fminf(low, mine[2 * band]);
    high = fmaxf(high, mine[2 * band + 1]);
  }
  low = warp_reduce(low, Smallest{});
  high = warp_reduce(high, Largest{});
  if (threadIdx.x == 0) {
    range[2 * blockIdx.x] = low;
    range[2 * blockIdx.x + 1] = high;
  }
}

template <class E, bool kBlock>
__global__ void read_rows(PatternRow* rows, const E* p, const int32_t* copied, int64_t R, int64_t Tq,
                          int64_t Tk, bool vectors) {
  using Row = Team<kBlock>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const E* row = p + r * Tk;
    const int64_t query = r % Tq;
    double entropy = 0.0;
    double future = 0.0;
    uint64_t strongest = 0;
    for_row<E>(Tk, r * Tk, vectors, Row::rank(), Row::size(), [&](int64_t j, auto count) {
      constexpr int N = decltype(count)::value;
      const Floats<N> values = load<N>(row + j);
#pragma unroll
      for (int i = 0; i < N; ++i) {
        entropy += entropy_term(values[i]);
        if (j + i > query) future += static_cast<double>(values[i]);
        strongest = Greatest{}(strongest, rank_key(values[i], static_cast<uint32_t>(j + i)));
      }
    });
    PatternRow result;
    entropy = Row::reduce(entropy, Add{});
    result.entropy = static_cast<float>(entropy > 0.0 ? entropy : 0.0);
    result.future = Row::reduce(future, Add{});
    result.strongest = static_cast<int32_t>(index_of_key(Row::reduce(strongest, Greatest{})));
    if (Row::rank() != 0) continue;
    const int64_t key = copied == nullptr ? -1 : copied[query];
    if (key >= 0 && key < Tk) result.copied = wide(row[key]);
    if (query > 0 && query - 1 < Tk) result.previous = wide(row[query - 1]);
    result.first = wide(row[0]);
    rows[r] = result;
  }
}

}  // namespace

template <class E>
void head_pictures(Context& context, float* picture, float* range, const E* x, int64_t H, int64_t Tq,
                   int64_t Tk) {
  const PictureShape shape = picture_shape(Tq, Tk);
  const int64_t bands = H * shape.rows;
  auto* ranges = on_cuda(context).workspace<float>(2 * bands);
  launch(context, draw_bands<E>, bands, kThreads, 0, picture, ranges, x, Tq, Tk, shape);
  launch(context, join_ranges, H, kWarp, 0, range, ranges, shape.rows);
}

template <class E>
void pattern_rows(Context& context, PatternRow* rows, const E* p, const int32_t* copied, int64_t H,
                  int64_t Tq, int64_t Tk) {
  launch_rows(context, read_rows<E, false>, read_rows<E, true>, H * Tq, Tk, 0, rows, p, copied, H * Tq, Tq,
              Tk, aligned(p));
}

template HeadPictures<float> head_pictures<float>;
template HeadPictures<bfloat16> head_pictures<bfloat16>;
template HeadPictures<float16> head_pictures<float16>;
template PatternRows<float> pattern_rows<float>;
template PatternRows<bfloat16> pattern_rows<bfloat16>;
template PatternRows<float16> pattern_rows<float16>;

}  // namespace headlight::kernels::cuda
