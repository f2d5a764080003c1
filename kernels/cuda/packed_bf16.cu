// Weights of 16 bits: packing, and x·W with them. Few rows of x read W once, at the speed of memory. Many go
// through tensor cores: x is the exact sum of three bfloat16 numbers, so that three products with fp32 sums
// are one with fp32 activations.
#include "kernels/cuda/gemm.h"
#include "kernels/cuda/inference.h"
#include "kernels/cuda/packed.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kThreads = 256;
constexpr int kLane = kLanes<bfloat16>;  // elements that a lane reads at once
constexpr int64_t kFewRows = 8;
constexpr int64_t kMostFloats = int64_t{16} << 20;  // of the three products at a time

int64_t depth_of(int64_t in) { return divide_up(in, kLane) * kLane; }

__global__ void pack_elements(bfloat16* packed, const float* w, Unpacked from, int64_t depth) {
  const int64_t n = from.out * depth;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const int64_t k = i % depth;
    packed[i] = narrow_to<bfloat16>(k < from.in ? w[from.at(k, i / depth)] : 0.0F);
  }
}

__global__ void unpack_elements(float* w, const bfloat16* packed, Unpacked to, int64_t depth) {
  const int64_t n = to.in * to.out;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const int64_t k = to.by_input ? i / to.out : i % to.in;
    const int64_t o = to.by_input ? i % to.out : i / to.in;
    w[i] = wide(packed[o * depth + k]);
  }
}

__global__ void gather_rows(float* y, const int32_t* tokens, const bfloat16* packed, int64_t R, int64_t in,
                            int64_t depth) {
  using Row = Team<false>;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    const bfloat16* from = packed + tokens[r] * depth;
    for (int64_t k = lane_index(); k < in; k += kWarp) y[r * in + k] = wide(from[k]);
  }
}

// A block for each token.
__global__ void __launch_bounds__(kThreads)
    embed_tokens(float* y, const int32_t* tokens, const bfloat16* packed, const float* table,
                 const int32_t* at, int64_t T, int64_t in, int64_t depth, int64_t P) {
  let_next_start();
  const int64_t r = blockIdx.x;
  const bfloat16* from = packed + tokens[r] * depth;
  const float* place = table + min(at[r / T] + r % T, P - 1) * in;
  wait_for_previous();
  for (int64_t k = threadIdx.x; k < in; k += kThreads) y[r * in + k] = wide(from[k]) + place[k];
}

// x[k … k + kLane), zeros from `in` on.
__device__ __forceinline__ Floats<kLane> load_inputs(const float* x, int k, int in, bool vectors) {
  if (vectors && k + kLane <= in) return load<kLane>(x + k);
  Floats<kLane> values;
#pragma unroll
  for (int e = 0; e < kLane; ++e) values[e] = k + e < in ? x[k + e] : 0.0F;
  return values;
}

constexpr int kAhead = 2;  // steps of a warp whose weights are read before x is there

using Weights = Packed<bfloat16, kLane>;

__device__ __forceinline__ void load_weights(Weights (&weights)[kPackedOuts],
                                             const bfloat16* const (&w)[kPackedOuts], int k) {
#pragma unroll
  for (int o = 0; o < kPackedOuts; ++o) weights[o] = *reinterpret_cast<const Weights*>(w[o] + k);
}

// Rows blockIdx.y·kRows … of y. Outputs and rows beyond the last are computed like the last, and not written.
// kNorm: every block normalizes its rows anew, which is less than waiting for a kernel that does it once.
// Weights, gains and biases come while the kernels before are still at work.
template <int kRows, bool kNorm>
__global__ void __launch_bounds__(kPackedThreads, kRows == 1 ? 4 : 1)
    multiply_few_rows(float* y, const float* x, const bfloat16* packed, const float* bias,
                      LinearFusion fusion, int64_t R, int in, int64_t out, int depth, int warps,
                      bool vectors) {
  let_next_start();
  const PackedWarp at = packed_warp(warps);
  const int64_t row = static_cast<int64_t>(blockIdx.y) * kRows;
  const bfloat16* w[kPackedOuts];
#pragma unroll
  for (int o = 0; o < kPackedOuts; ++o) w[o] = packed + min(at.o + o, out - 1) * depth;
  const int first = (at.part * kWarp + lane_index()) * kLane;
  const int step = warps * kWarp * kLane;
  Weights ahead[kAhead][kPackedOuts];
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (first + i * step < depth) load_weights(ahead[i], w, first + i * step);
  }
  Output<kRows * kPackedOuts> output(at, row, R, out, bias);
  [[maybe_unused]] const NormAhead norm = [&] {
    if constexpr (kNorm) {
      return NormAhead(fusion, in);
    } else {
      return NormAhead();
    }
  }();
  wait_for_previous();

  output.read_residual(fusion);
  const float* rows[kRows];
#pragma unroll
  for (int r = 0; r < kRows; ++r) {
    rows[r] = x + min(row + r, R - 1) * in;
    if constexpr (kNorm) {
      float* normalized = shared_memory<float>() + r * depth;
      normalize_row(normalized, rows[r], fusion, norm, in);
      rows[r] = normalized;
    }
  }
  float total[kRows * kPackedOuts] = {};
  const auto multiply = [&](int k, const Weights(&weights)[kPackedOuts]) {
#pragma unroll
    for (int r = 0; r < kRows; ++r) {
      const Floats<kLane> left = load_inputs(rows[r], k, in, vectors);
#pragma unroll
      for (int o = 0; o < kPackedOuts; ++o) {
        float& sum = total[r * kPackedOuts + o];
#pragma unroll
        for (int e = 0; e < kLane; ++e) sum = fmaf(left[e], wide(weights[o].at[e]), sum);
      }
    }
  };
#pragma unroll
  for (int i = 0; i < kAhead; ++i) {
    if (first + i * step < depth) multiply(first + i * step, ahead[i]);
  }
#pragma unroll 2
  for (int k = first + kAhead * step; k < depth; k += step) {
    Weights weights[kPackedOuts];
    load_weights(weights, w, k);
    multiply(k, weights);
  }
  output.finish(y, total, warps, fusion);
}

// x as high + middle + low, each with 8 of its 24 significant bits: parts [3, R, depth]. Cutting, unlike
// rounding, never goes beyond the largest number; what is not finite is in the first part alone.
__global__ void split_inputs(bfloat16* parts, const float* x, int64_t R, int64_t in, int64_t depth) {
  const int64_t n = R * depth;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const int64_t k = i % depth;
    float rest = k < in ? x[i / depth * in + k] : 0.0F;
    if (!isfinite(rest)) {
      parts[i] = narrow_to<bfloat16>(rest);
      parts[n + i] = parts[2 * n + i] = narrow_to<bfloat16>(0.0F);
      continue;
    }
#pragma unroll
    for (int part = 0; part < 3; ++part) {
      const float upper = __uint_as_float(__float_as_uint(rest) & 0xFFFF0000U);
      parts[part * n + i] = narrow_to<bfloat16>(upper);
      rest -= upper;
    }
  }
}

// y = the three products, the smallest first, + bias. products [3, R, row].
__global__ void add_products(float* y, const float* products, const float* bias, int64_t R, int64_t out,
                             int64_t row) {
  const int64_t n = R * out;
  for (int64_t i = thread_in_grid(); i < n; i += threads_in_grid()) {
    const int64_t o = i % out;
    const float* from = products + i / out * row + o;
    const float sum = from[2 * R * row] + from[R * row] + from[0];
    y[i] = bias == nullptr ? sum : sum + bias[o];
  }
}

void multiply_many_rows(Context& context, float* y, const float* x, const bfloat16* w, const float* bias,
                        int64_t R, int64_t in, int64_t out, int64_t depth) {
  const int64_t row = divide_up(out, kLanes<float>) * kLanes<float>;
  const int64_t together = std::clamp(kMostFloats / (3 * row), int64_t{1}, R);
  auto* products = on_cuda(context).workspace<float>(3 * together * (row + depth / 2));
  auto* parts = reinterpret_cast<bfloat16*>(products + 3 * together * row);
  for (int64_t r = 0; r < R; r += together) {
    const int64_t now = std::min(together, R - r);
    launch(context, split_inputs, blocks_for(context, now * depth, kThreads), kThreads, 0, parts, x + r * in,
           now, in, depth);
    gemm(context, products, row, Operand<bfloat16>{parts, depth, false}, Operand<bfloat16>{w, depth, true},
         3 * now, out, depth);
    launch(context, add_products, blocks_for(context, now * out, kThreads), kThreads, 0, y + r * out,
           products, bias, now, out, row);
  }
}

}  // namespace

size_t packed_bytes_bf16(int64_t in, int64_t out) {
  return static_cast<size_t>(out * depth_of(in)) * sizeof(bfloat16);
}

void pack_bf16(Context& context, void* packed, const float* w, int64_t in, int64_t out, WeightLayout layout) {
  const Unpacked from{in, out, layout == WeightLayout::in_out};
  launch(context, pack_elements, blocks_for(context, out * depth_of(in), kThreads), kThreads, 0,
         static_cast<bfloat16*>(packed), w, from, depth_of(in));
}

void unpack_bf16(Context& context, float* w, const void* packed, int64_t in, int64_t out,
                 WeightLayout layout) {
  const Unpacked to{in, out, layout == WeightLayout::in_out};
  launch(context, unpack_elements, blocks_for(context, in * out, kThreads), kThreads, 0, w,
         static_cast<const bfloat16*>(packed), to, depth_of(in));
}

void linear_forward_bf16(Context& context, float* y, const float* x, const void* packed, const float* bias,
                         int64_t R, int64_t in, int64_t out) {
  if (R <= kFewRows) {
    fused_linear_bf16(context, y, x, packed, bias, {}, R, in, out);
  } else {
    multiply_many_rows(context, y, x, static_cast<const bfloat16*>(packed), bias, R, in, out, depth_of(in));
  }
}

void fused_linear_bf16(Context& context, float* y, const float* x, const void* packed, const float* bias,
                       const LinearFusion& fusion, int64_t R, int64_t in, int64_t out) {
  const int64_t depth = depth_of(in);
  const int warps = sharing_warps(context, out, divide_up(depth, kWarp * kLane));
  const bool norm = fusion.norm != LinearFusion::Norm::none;
  const int64_t bytes_of_row = norm ? depth * static_cast<int64_t>(sizeof(float)) : 0;
  with_packed_rows(R, bytes_of_row, [&](auto rows) {
    constexpr int kRows = decltype(rows)::value;
    const auto kernel = norm ? multiply_few_rows<kRows, true> : multiply_few_rows<kRows, false>;
    const auto bytes = static_cast<size_t>(kRows * bytes_of_row);
    if (bytes > kSharedAlways) allow_shared_memory(kernel, bytes);
    launch_overlapping(context, kernel, packed_grid(out, warps, R, kRows), kPackedThreads, bytes, y, x,
                       static_cast<const bfloat16*>(packed), bias, fusion, R, static_cast<int>(in), out,
                       static_cast<int>(depth), warps, norm || (aligned(x) && in % kLanes<float> == 0));
  });
}

void embedding_forward_bf16(Context& context, float* y, const int32_t* tokens, const void* packed, int64_t R,
                            int64_t in, int64_t /*out*/) {
  launch(context, gather_rows, blocks_for(context, R, kThreads / kWarp), kThreads, 0, y, tokens,
         static_cast<const bfloat16*>(packed), R, in, depth_of(in));
}

void decode_embedding_bf16(Context& context, float* y, const int32_t* tokens, const void* packed,
                           const float* table, const int32_t* at, int64_t B, int64_t T, int64_t in,
                           int64_t /*out*/, int64_t P) {
  launch_overlapping(context, embed_tokens, B * T, kThreads, 0, y, tokens,
                     static_cast<const bfloat16*>(packed), table, at, T, in, depth_of(in), P);
}

}  // namespace headlight::kernels::cuda
