// Weights of 8 bits: packing, and x·W with them. Rows of x are rounded to codes of their own; four lanes (two
// where runs are short) take the 16-byte pieces of a run and add its products in whole numbers, so that a
// run's sum is exact. Few rows of x and many go the same way, so that a row's bits never depend on the
// others.
#include "kernels/cuda/inference.h"
#include "kernels/cuda/packed.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kLane = 16;  // codes that a lane reads at once
constexpr float kLargest = 127.0F;

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

// x rounded: a warp for each run. Not-a-number and infinity pass through the scale.
__global__ void round_runs(int8_t* codes, float* scales, const float* x, int64_t R, Layout w) {
  using Row = Team<false>;
  const int64_t runs = R * w.runs();
  for (int64_t i = Row::first_row(); i < runs; i += Row::row_step()) {
    const int64_t r = i / w.runs();
    const int64_t begin = i % w.runs() * w.run;
    const float* from = x + r * w.in;
    float largest = 0.0F;
    float taint = 0.0F;  // 0, or not a number
    for (int64_t k = begin + lane_index(); k < begin + w.run && k < w.in; k += kWarp) {
      largest = fmaxf(largest, fabsf(from[k]));
      taint += from[k] * 0.0F;
    }
    largest = warp_reduce(largest, Largest{});
    taint = warp_reduce(taint, Add{});
    const float inverse = largest > 0.0F ? kLargest / largest : 0.0F;
    for (int64_t k = begin + lane_index(); k < begin + w.run; k += kWarp) {
      codes[r * w.depth + k] = code_of(k < w.in ? from[k] : 0.0F, inverse);
    }
    if (lane_index() == 0) scales[i] = largest / kLargest + taint;
  }
}

__device__ __forceinline__ int dot(const int4& a, const int4& b) {
  return __dp4a(a.w, b.w, __dp4a(a.z, b.z, __dp4a(a.y, b.y, __dp4a(a.x, b.x, 0))));
}

// Rows blockIdx.y·kRows … of y. Outputs and rows beyond the last are computed like the last, and not written.
template <int kRows, int kRun>
__global__ void __launch_bounds__(kPackedThreads)
    multiply_codes(float* y, const int8_t* codes, const float* scales, ReadPacked packed, const float* bias,
                   int64_t R, Layout w, int warps) {
  constexpr int kTeam = kRun / kLane;  // lanes that share a run
  const PackedWarp at = packed_warp(warps);
  const int64_t row = static_cast<int64_t>(blockIdx.y) * kRows;
  const int8_t* outs[kPackedOuts];
  int64_t o_at[kPackedOuts];
#pragma unroll
  for (int o = 0; o < kPackedOuts; ++o) {
    o_at[o] = min(at.o + o, w.out - 1);
    outs[o] = packed.codes + o_at[o] * w.depth;
  }
  int64_t rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) rows[r] = min(row + r, R - 1);

  float total[kRows][kPackedOuts] = {};
#pragma unroll 2
  for (int64_t first = at.part * kWarp * kLane; first < w.depth; first += warps * kWarp * kLane) {
    const int64_t k = first + lane_index() * kLane;
    const bool mine = k < w.depth;  // a run's lanes agree: the depth is made of whole runs
    int4 weights[kPackedOuts] = {};
    float weight_scale[kPackedOuts] = {};
#pragma unroll
    for (int o = 0; o < kPackedOuts; ++o) {
      if (!mine) continue;
      weights[o] = *reinterpret_cast<const int4*>(outs[o] + k);
      weight_scale[o] = packed.scales[w.scale_at(k < w.in ? k : w.in - 1, o_at[o])];
    }
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      int4 left{};
      float scale = 0.0F;
      if (mine) {
        left = *reinterpret_cast<const int4*>(codes + rows[r] * w.depth + k);
        scale = scales[rows[r] * w.runs() + k / kRun];
      }
#pragma unroll
      for (int o = 0; o < kPackedOuts; ++o) {
        int sum = dot(left, weights[o]);
#pragma unroll
        for (int distance = kTeam / 2; distance > 0; distance /= 2) {
          sum += __shfl_xor_sync(kAllLanes, sum, distance);
        }
        total[r][o] = fmaf(static_cast<float>(sum) * scale, weight_scale[o], total[r][o]);
      }
    }
  }
  // The lanes of a run hold the same: one of each counts.
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
#pragma unroll
    for (int o = 0; o < kPackedOuts; ++o) {
#pragma unroll
      for (int distance = kWarp / 2; distance >= kTeam; distance /= 2) {
        total[r][o] += __shfl_xor_sync(kAllLanes, total[r][o], distance);
      }
    }
  }
  finish_outputs<kRows>(total, warps, at.part, [&](int r, int o, float sum) {
    if (row + r >= R || at.o + o >= w.out) return;
    y[(row + r) * w.out + at.o + o] = bias == nullptr ? sum : sum + bias[at.o + o];
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
  const Layout w = layout_of(in, out, group);
  const int64_t code_floats = divide_up(R * w.depth, int64_t{4});
  auto* scales = on_cuda(context).workspace<float>(code_floats + R * w.runs()) + code_floats;
  auto* codes = reinterpret_cast<int8_t*>(scales - code_floats);
  launch(context, round_runs, blocks_for(context, R * w.runs(), kThreads / kWarp), kThreads, 0, codes, scales,
         x, R, w);
  const int warps = sharing_warps(context, out, divide_up(w.depth, int64_t{kWarp} * kLane));
  const auto start = [&](auto kernel, int rows) {
    launch(context, kernel, packed_grid(out, warps, R, rows), kPackedThreads, 0, y, codes, scales,
           from_packed(packed, w), bias, R, w, warps);
  };
  with_packed_rows(R, [&](auto rows) {
    constexpr int kRows = decltype(rows)::value;
    start(w.run == 32 ? multiply_codes<kRows, 32> : multiply_codes<kRows, 64>, kRows);
  });
}

void embedding_forward_int8(Context& context, float* y, const int32_t* tokens, const void* packed, int64_t R,
                            int64_t in, int64_t out, int64_t group) {
  const Layout from = layout_of(in, out, group);
  launch(context, gather_rows, blocks_for(context, R, kThreads / kWarp), kThreads, 0, y, tokens,
         from_packed(packed, from), R, from);
}

}  // namespace headlight::kernels::cuda
