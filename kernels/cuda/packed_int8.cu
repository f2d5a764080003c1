// Weights of 8 bits: packing, and x·W with them. Rows of x are rounded to codes of their own; a lane adds the
// products of 16 codes in whole numbers, and all of one run go with the same two scales. Few rows of x and
// many go the same way, so that a row's bits never depend on the others.
#include "kernels/cuda/inference.h"
#include "kernels/cuda/packed.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kLane = 16;  // codes that a lane reads at once
constexpr float kLargest = 127.0F;
constexpr int64_t kFewRows = 8;  // up to here every block rounds them anew

// How a packed matrix is laid out: codes [out, depth], then scales [out, groups].
struct Layout {
  int64_t in, out, group;
  int64_t run;    // inputs of x that share a scale
  int64_t depth;  // inputs, filled up to whole runs
  int64_t groups;

  __host__ __device__ int64_t runs() const { return depth / run; }
  __host__ __device__ int64_t group_length() const { return group > 0 ? group : in; }
  __device__ int64_t scale_at(int64_t k, int64_t o) const { return o * groups + (group > 0 ? k / group : 0); }
};

Layout layout_of(int64_t in, int64_t out, int64_t group) {
  const int64_t run = int8_run(group);
  return {.in = in,
          .out = out,
          .group = group,
          .run = run,
          .depth = divide_up(in, run) * run,
          .groups = group > 0 ? divide_up(in, group) : 1};
}

size_t code_bytes(const Layout& w) { return static_cast<size_t>(w.out * w.depth); }

// A packed matrix with its two parts; Byte and Scale are const where it is read.
template <class Byte, class Scale>
struct Packed8 {
  Byte* codes;
  Scale* scales;
};
Packed8<int8_t, float> to_packed(void* memory, const Layout& w) {
  auto* codes = static_cast<int8_t*>(memory);
  return {codes, reinterpret_cast<float*>(codes + code_bytes(w))};
}
using ReadPacked = Packed8<const int8_t, const float>;
ReadPacked from_packed(const void* memory, const Layout& w) {
  const auto* codes = static_cast<const int8_t*>(memory);
  return {codes, reinterpret_cast<const float*>(codes + code_bytes(w))};
}

__device__ __forceinline__ float value_of(const ReadPacked& packed, const Layout& w, int64_t k, int64_t o) {
  return static_cast<float>(packed.codes[o * w.depth + k]) * packed.scales[w.scale_at(k, o)];
}

__device__ __forceinline__ int8_t code_of(float value, float inverse) {
  return isfinite(value) ? static_cast<int8_t>(static_cast<int>(rintf(value * inverse))) : int8_t{0};
}

// A thread for each group of an output. Packing happens once for a model.
__global__ void pack_groups(Packed8<int8_t, float> packed, const float* w, Unpacked from, Layout to) {
  const int64_t n = to.out * to.groups;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    // Neighbouring threads take neighbouring outputs: their weights lie side by side in the layout [in,out].
    const int64_t o = i % to.out;
    const int64_t begin = i / to.out * to.group_length();
    const bool last = begin + to.group_length() >= to.in;
    const int64_t end = last ? to.in : begin + to.group_length();
    float largest = 0.0F;
    for (int64_t k = begin; k < end; ++k) {
      const float size = fabsf(w[from.at(k, o)]);
      largest = isnan(size) || size > largest ? size : largest;
    }
    packed.scales[to.scale_at(begin, o)] = largest / kLargest;
    const float inverse = isfinite(largest) && largest > 0.0F ? kLargest / largest : 0.0F;
    int8_t* codes = packed.codes + o * to.depth;
    for (int64_t k = begin; k < end; ++k) codes[k] = code_of(w[from.at(k, o)], inverse);
    for (int64_t k = end; last && k < to.depth; ++k) codes[k] = 0;
  }
}

__global__ void unpack_codes(float* w, ReadPacked packed, Unpacked to, Layout from) {
  const int64_t n = to.in * to.out;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const int64_t k = to.by_input ? i / to.out : i % to.in;
    const int64_t o = to.by_input ? i % to.out : i / to.in;
    w[i] = value_of(packed, from, k, o);
  }
}

__global__ void gather_rows(float* y, const int32_t* tokens, ReadPacked packed, int64_t R, Layout from) {
  using Row = Team<false>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    for (int64_t k = lane_index(); k < from.in; k += kWarp) {
      y[r * from.in + k] = value_of(packed, from, k, tokens[r]);
    }
  }
}

// A block for each token.
__global__ void __launch_bounds__(kThreads)
    embed_tokens(float* y, const int32_t* tokens, ReadPacked packed, const float* table, const int32_t* at,
                 int64_t T, int64_t P, Layout from) {
  let_next_start();
  const int64_t r = blockIdx.x;
  const int64_t token = tokens[r];
  const float* place = table + min(at[r / T] + r % T, P - 1) * from.in;
  wait_for_previous();
  for (int64_t k = threadIdx.x; k < from.in; k += kThreads) {
    y[r * from.in + k] = value_of(packed, from, k, token) + place[k];
  }
}

// Rounds a run of n inputs by the lanes of a warp, and fills its codes up with zeros. Not-a-number and
// infinity pass through the scale.
__device__ void round_run(int8_t* codes, float* scale, const float* x, int n, int run) {
  // Sizes of floats are ordered like their bits, and what is not finite is the largest of all.
  unsigned bits = 0;
  for (int k = lane_index(); k < n; k += kWarp) bits = max(bits, __float_as_uint(fabsf(x[k])));
  const float largest = __uint_as_float(__reduce_max_sync(kAllLanes, bits));
  const float inverse = largest > 0.0F && isfinite(largest) ? kLargest / largest : 0.0F;
  for (int k = lane_index(); k < run; k += kWarp) codes[k] = code_of(k < n ? x[k] : 0.0F, inverse);
  if (lane_index() == 0) *scale = largest / kLargest + largest * 0.0F;
}

// Rows of x rounded: a warp for each run.
__global__ void round_rows(int8_t* codes, float* scales, const float* x, int64_t R, Layout w) {
  using Row = Team<false>;
  for (int64_t i = Row::first_row(); i < R * w.runs(); i += Row::row_step()) {
    const int64_t r = i / w.runs();
    const int64_t begin = i % w.runs() * w.run;
    round_run(codes + r * w.depth + begin, scales + i, x + r * w.in + begin,
              static_cast<int>(min(w.run, w.in - begin)), static_cast<int>(w.run));
  }
}

// x as codes [rows, depth] and scales [rows, runs].
struct Rounded {
  const int8_t* codes;
  const float* scales;
};

// The block's own rounding of its rows in shared memory, which holds the codes, the scales and, for a norm,
// one row of floats.
template <int kRows, bool kNorm>
__device__ Rounded round_own_rows(const float* x, const LinearFusion& fusion, const NormAhead& norm,
                                  int64_t row, int64_t R, const Layout& w) {
  const auto in = static_cast<int>(w.in);
  const auto run = static_cast<int>(w.run);
  const auto runs = static_cast<int>(w.runs());
  auto* codes = shared_memory<int8_t>();
  auto* scales = reinterpret_cast<float*>(codes + kRows * w.depth);
  float* normalized = scales + kRows * runs;
  for (int r = 0; r < kRows; ++r) {
    const float* from = x + min(row + r, R - 1) * w.in;
    if constexpr (kNorm) {
      normalize_row(normalized, from, fusion, norm, in);
      from = normalized;
    }
    for (int i = warp_index(); i < runs; i += kPackedWarps) {
      round_run(codes + r * w.depth + i * run, scales + r * runs + i, from + i * run, min(run, in - i * run),
                run);
    }
    __syncthreads();
  }
  return {codes, scales};
}
int64_t shared_bytes_of_row(const Layout& w, bool norm) {
  return w.depth + (w.runs() + (norm ? w.in : 0)) * static_cast<int64_t>(sizeof(float));
}

__device__ __forceinline__ int dot(const int4& a, const int4& b) {
  return __dp4a(a.w, b.w, __dp4a(a.z, b.z, __dp4a(a.y, b.y, __dp4a(a.x, b.x, 0))));
}

constexpr int kAhead = 2;  // steps of a warp whose weights are read before x is there

// The weights of a lane's step, with the scales that they go with.
struct Weights {
  int4 codes[kPackedOuts];
  float scales[kPackedOuts];
};

// Rows blockIdx.y·kRows … of y, from all rows rounded before, or from x where there are none. Outputs and
// rows beyond the last are computed like the last, and not written. Weights, gains and biases come while the
// kernels before are still at work.
template <int kRows, int kRun, bool kNorm>
__global__ void __launch_bounds__(kPackedThreads, kRows == 1 ? 4 : 1)
    multiply_codes(float* y, const float* x, Rounded rounded, ReadPacked packed, const float* bias,
                   LinearFusion fusion, int64_t R, Layout w, int warps) {
  let_next_start();
  const PackedWarp at = packed_warp(warps);
  const int64_t row = static_cast<int64_t>(blockIdx.y) * kRows;
  const auto depth = static_cast<int>(w.depth);
  const int first = (at.part * kWarp + lane_index()) * kLane;
  const int step = warps * kWarp * kLane;
  const auto load_weights = [&](Weights& weights, int k) {
    const int group = w.group > 0 ? min(k, static_cast<int>(w.in) - 1) / static_cast<int>(w.group) : 0;
#pragma unroll
    for (int o = 0; o < kPackedOuts; ++o) {
      const int64_t out = min(at.o + o, w.out - 1);
      weights.codes[o] = *reinterpret_cast<const int4*>(packed.codes + out * w.depth + k);
      weights.scales[o] = packed.scales[out * w.groups + group];
    }
  };
  Weights ahead[kAhead];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (first + i * step < depth) load_weights(ahead[i], first + i * step);
  }
  Output<kRows * kPackedOuts> output(at, row, R, w.out, bias);
  [[maybe_unused]] const NormAhead norm = [&] {
    if constexpr (kNorm) {
      return NormAhead(fusion, static_cast<int>(w.in));
    } else {
      return NormAhead();
    }
  }();
  wait_for_previous();

  output.read_residual(fusion);
  const bool own = rounded.codes == nullptr;
  if (own) rounded = round_own_rows<kRows, kNorm>(x, fusion, norm, row, R, w);
  int64_t rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) rows[r] = own ? r : min(row + r, R - 1);
  float total[kRows * kPackedOuts] = {};
  const auto multiply = [&](int k, const Weights& weights) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const int4 left = *reinterpret_cast<const int4*>(rounded.codes + rows[r] * w.depth + k);
      const float scale = rounded.scales[rows[r] * (depth / kRun) + k / kRun];
#pragma unroll
      for (int o = 0; o < kPackedOuts; ++o) {
        const auto sum = static_cast<float>(dot(left, weights.codes[o]));
        float& all = total[r * kPackedOuts + o];
        all = fmaf(sum * scale, weights.scales[o], all);
      }
    }
  };
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (first + i * step < depth) multiply(first + i * step, ahead[i]);
  }
#pragma unroll 2
  for (int k = first + kAhead * step; k < depth; k += step) {
    Weights weights;
    load_weights(weights, k);
    multiply(k, weights);
  }
  output.finish(y, total, warps, fusion);
}

// The instance for the length of w's runs and with or without a norm.
template <int kRows>
auto multiply_kernel(const Layout& w, bool norm) {
  if (w.run == 32) return norm ? multiply_codes<kRows, 32, true> : multiply_codes<kRows, 32, false>;
  return norm ? multiply_codes<kRows, 64, true> : multiply_codes<kRows, 64, false>;
}

void multiply(Context& context, float* y, const float* x, const Rounded& rounded, const void* packed,
              const float* bias, const LinearFusion& fusion, int64_t R, const Layout& w) {
  const int warps = sharing_warps(context, w.out, divide_up(w.depth, int64_t{kWarp} * kLane));
  const bool norm = fusion.norm != LinearFusion::Norm::none;
  const int64_t bytes_of_row = rounded.codes == nullptr ? shared_bytes_of_row(w, norm) : 0;
  with_packed_rows(R, bytes_of_row, [&](auto rows) {
    constexpr int kRows = decltype(rows)::value;
    const auto kernel = multiply_kernel<kRows>(w, norm);
    const auto bytes = static_cast<size_t>(kRows * bytes_of_row);
    if (bytes > kSharedAlways) allow_shared_memory(kernel, bytes);
    launch_overlapping(context, kernel, packed_grid(w.out, warps, R, kRows), kPackedThreads, bytes, y, x,
                       rounded, from_packed(packed, w), bias, fusion, R, w, warps);
  });
}

}  // namespace

size_t packed_bytes_int8(int64_t in, int64_t out, int64_t group) {
  const Layout layout = layout_of(in, out, group);
  return code_bytes(layout) + static_cast<size_t>(layout.out * layout.groups) * sizeof(float);
}

void pack_int8(Context& context, void* packed, const float* w, int64_t in, int64_t out, int64_t group,
               WeightLayout layout) {
  const Layout to = layout_of(in, out, group);
  launch(context, pack_groups, blocks_for(context, out * to.groups, kThreads), kThreads, 0,
         to_packed(packed, to), w, Unpacked{in, out, layout == WeightLayout::in_out}, to);
}

void unpack_int8(Context& context, float* w, const void* packed, int64_t in, int64_t out, int64_t group,
                 WeightLayout layout) {
  const Layout from = layout_of(in, out, group);
  launch(context, unpack_codes, blocks_for(context, in * out, kThreads), kThreads, 0, w,
         from_packed(packed, from), Unpacked{in, out, layout == WeightLayout::in_out}, from);
}

void linear_forward_int8(Context& context, float* y, const float* x, const void* packed, const float* bias,
                         int64_t R, int64_t in, int64_t out, int64_t group) {
  if (R <= kFewRows) {
    fused_linear_int8(context, y, x, packed, bias, {}, R, in, out, group);
    return;
  }
  const Layout w = layout_of(in, out, group);
  const int64_t code_floats = R * w.depth / static_cast<int64_t>(sizeof(float));
  auto* scales = on_cuda(context).workspace<float>(code_floats + R * w.runs()) + code_floats;
  auto* codes = reinterpret_cast<int8_t*>(scales - code_floats);
  launch(context, round_rows, blocks_for(context, R * w.runs(), kThreads / kWarp), kThreads, 0, codes, scales,
         x, R, w);
  multiply(context, y, x, {codes, scales}, packed, bias, {}, R, w);
}

void fused_linear_int8(Context& context, float* y, const float* x, const void* packed, const float* bias,
                       const LinearFusion& fusion, int64_t R, int64_t in, int64_t out, int64_t group) {
  multiply(context, y, x, {nullptr, nullptr}, packed, bias, fusion, R, layout_of(in, out, group));
}

void embedding_forward_int8(Context& context, float* y, const int32_t* tokens, const void* packed, int64_t R,
                            int64_t in, int64_t out, int64_t group) {
  const Layout from = layout_of(in, out, group);
  launch(context, gather_rows, blocks_for(context, R, kThreads / kWarp), kThreads, 0, y, tokens,
         from_packed(packed, from), R, from);
}

void decode_embedding_int8(Context& context, float* y, const int32_t* tokens, const void* packed,
                           const float* table, const int32_t* at, int64_t B, int64_t T, int64_t in,
                           int64_t out, int64_t group, int64_t P) {
  const Layout from = layout_of(in, out, group);
  launch_overlapping(context, embed_tokens, B * T, kThreads, 0, y, tokens, from_packed(packed, from), table,
                     at, T, P, from);
}

}  // namespace headlight::kernels::cuda
