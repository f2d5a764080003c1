// The gradients of LayerNorm and RMSNorm, also where what comes along a residual is added to them: rows that
// fit are held by a warp in registers, others by a block in the cache. The gradients of gain and bias, and
// the sums over the columns of dx, are summed in two stages of fixed order. layernorm and rmsnorm call it,
// too.
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels::cuda {

namespace {

constexpr int kHeldWarps = 4;
/// Blocks that share a processor: what their registers leave room for, by the quarters of a warp's longest
/// row.
constexpr int held_blocks(int quarters) { return quarters == 1 ? 5 : quarters < 4 ? 3 : 2; }
template <class E>
inline constexpr int kQuarter = static_cast<int>(kWarpRow) / kWarp / kLanes<E> / 4;

/// dx = base + the norm's gradient by row, a warp for each; base or null. Each block leaves its rows' shares
/// of dgain, dbias and, where parts is 3, of the sums over dx's columns in shares[block] = [parts,C]. 16-byte
/// access; C ≤ kVectors·kWarp·kLanes<E>.
template <class E, bool kCentered, int kVectors>
__global__ void __launch_bounds__(kHeldWarps* kWarp, held_blocks(kVectors / kQuarter<E>))
    normalize_backward_held(E* dx, float* shares, const E* base, const E* dy, const E* x, const float* mean,
                            const float* scale, const E* gain, int64_t R, int C, int parts) {
  constexpr int N = kLanes<E>;
  using Row = Team<false>;
  const float inverse_width = 1.0F / static_cast<float>(C);
  Floats<N> to_gain[kVectors] = {};
  Floats<N> to_bias[kVectors] = {};
  Floats<N> to_columns[kVectors] = {};
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step()) {
    // All of the row is under way before the first of it is used.
    Packed<E, N> row[kVectors] = {}, drow[kVectors] = {}, along[kVectors] = {};
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const int i = (k * kWarp + Row::rank()) * N;
      if (i >= C) continue;
      row[k] = *reinterpret_cast<const Packed<E, N>*>(x + r * C + i);
      drow[k] = *reinterpret_cast<const Packed<E, N>*>(dy + r * C + i);
      if (base != nullptr) along[k] = *reinterpret_cast<const Packed<E, N>*>(base + r * C + i);
    }
    const float m = kCentered ? mean[r] : 0.0F;
    const float inverse = 1.0F / scale[r];
    // dx = (g − mean(g) − n̂·mean(g·n̂))/scale, where g = dy·gain and n̂ the normalized row.
    float sum_g = 0.0F;
    float sum_gn = 0.0F;
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const int i = (k * kWarp + Row::rank()) * N;
      if (i >= C) continue;
      const Floats<N> gains = load<N>(gain + i);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float d = wide(drow[k].at[j]);
        const float normal = (wide(row[k].at[j]) - m) * inverse;
        const float g = d * gains[j];
        sum_g += g;
        sum_gn += g * normal;
        to_gain[k][j] += d * normal;
        to_bias[k][j] += d;
      }
    }
    const float mean_g = kCentered ? Row::reduce(sum_g, Add{}) * inverse_width : 0.0F;
    const float mean_gn = Row::reduce(sum_gn, Add{}) * inverse_width;
#pragma unroll
    for (int k = 0; k < kVectors; ++k) {
      const int i = (k * kWarp + Row::rank()) * N;
      if (i >= C) continue;
      const Floats<N> gains = load<N>(gain + i);
      Packed<E, N> result;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float normal = (wide(row[k].at[j]) - m) * inverse;
        float value = (wide(drow[k].at[j]) * gains[j] - mean_g - normal * mean_gn) * inverse;
        if (base != nullptr) value += wide(along[k].at[j]);
        result.at[j] = narrow_to<E>(value);
        to_columns[k][j] += wide(result.at[j]);  // what a sum over the stored numbers would see
      }
      *reinterpret_cast<Packed<E, N>*>(dx + r * C + i) = result;
    }
  }
  // The warps' shares side by side, then added in order.
  auto* warps = shared_memory<float>();  // [kHeldWarps][parts][C]
  float* mine = warps + warp_index() * parts * C;
#pragma unroll
  for (int k = 0; k < kVectors; ++k) {
    const int i = (k * kWarp + Row::rank()) * N;
    if (i >= C) continue;
    store<N>(mine + i, to_gain[k]);
    store<N>(mine + C + i, to_bias[k]);
    if (parts == 3) store<N>(mine + 2 * C + i, to_columns[k]);
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < parts * C; i += kHeldWarps * kWarp) {
    float all = warps[i];
    for (int w = 1; w < kHeldWarps; ++w) all += warps[w * parts * C + i];
    shares[static_cast<int64_t>(blockIdx.x) * parts * C + i] = all;
  }
}

constexpr int kShareWarps = 32;

/// dgain, dbias and columns [C] are the sums over blocks of shares [blocks,parts,C]; null ones are left out.
__global__ void __launch_bounds__(kShareWarps* kWarp)
    add_shares(float* dgain, float* dbias, float* columns, const float* shares, int blocks, int C,
               int parts) {
  __shared__ float sums[kShareWarps][kWarp];
  const int i = static_cast<int>(blockIdx.x) * kWarp + lane_index();
  float sum = 0.0F;
  if (i < parts * C) {
    for (int b = warp_index(); b < blocks; b += kShareWarps) {
      sum += shares[static_cast<int64_t>(b) * parts * C + i];
    }
  }
  sums[warp_index()][lane_index()] = sum;
  __syncthreads();
  if (warp_index() != 0 || i >= parts * C) return;
  float all = sums[0][lane_index()];
  for (int w = 1; w < kShareWarps; ++w) all += sums[w][lane_index()];
  float* to = i < C ? dgain : (i < 2 * C ? dbias : columns);
  if (to != nullptr) to[i % C] = all;
}

// The same for any width, a block for each row; shares[block] = [2,C]. A thread has the same columns in every
// row, so nobody else touches its sums.
template <class E, bool kCentered>
__global__ void normalize_backward(E* dx, float* shares, const E* base, const E* dy, const E* x,
                                   const float* mean, const float* scale, const E* gain, int64_t R, int64_t C,
                                   bool vectors, bool in_shared) {
  float* share_gain = in_shared ? shared_memory<float>() : shares + blockIdx.x * 2 * C;
  float* share_bias = share_gain + C;
  using Row = Team<true>;
  const float inverse_width = 1.0F / static_cast<float>(C);
  bool first = true;
  for (int64_t r = Row::first_row(); r < R; r += Row::row_step(), first = false) {
    const E* row = x + r * C;
    const E* drow = dy + r * C;
    const float m = kCentered ? mean[r] : 0.0F;
    const float inverse = 1.0F / scale[r];
    // dx = (g − mean(g) − n̂·mean(g·n̂))/scale, where g = dy·gain and n̂ the normalized row.
    float sum_g = 0.0F;
    float sum_gn = 0.0F;
    for_array<E>(C, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Floats<N> values = load<N>(row + i);
      const Floats<N> d = load<N>(drow + i);
      const Floats<N> gains = load<N>(gain + i);
      Floats<N> to_gain{};
      Floats<N> to_bias{};
      if (!first) {
        to_gain = load<N>(share_gain + i);
        to_bias = load<N>(share_bias + i);
      }
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float normal = (values[j] - m) * inverse;
        const float g = d[j] * gains[j];
        sum_g += g;
        sum_gn += g * normal;
        to_gain[j] += d[j] * normal;
        to_bias[j] += d[j];
      }
      store<N>(share_gain + i, to_gain);
      store<N>(share_bias + i, to_bias);
    });
    const float mean_g = kCentered ? Row::reduce(sum_g, Add{}) * inverse_width : 0.0F;
    const float mean_gn = Row::reduce(sum_gn, Add{}) * inverse_width;
    for_array<E>(C, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
      constexpr int N = decltype(count)::value;
      const Floats<N> values = load<N>(row + i);
      const Floats<N> d = load<N>(drow + i);
      const Floats<N> gains = load<N>(gain + i);
      Floats<N> result{};
      if (base != nullptr) result = load<N>(base + r * C + i);
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float normal = (values[j] - m) * inverse;
        result[j] += (d[j] * gains[j] - mean_g - normal * mean_gn) * inverse;
      }
      store<N>(dx + r * C + i, result);
    });
  }
  if (!in_shared) return;
  // Each thread copies the columns that it summed.
  for_array<E>(C, vectors, Row::rank(), Row::size(), [&](int64_t i, auto count) {
    constexpr int N = decltype(count)::value;
    float* to = shares + blockIdx.x * 2 * C;
    store<N>(to + i, load<N>(share_gain + i));
    store<N>(to + C + i, load<N>(share_bias + i));
  });
}

/// The kernel that holds rows of C elements: a quarter of a warp's longest row, half of it, and so on.
template <class E, bool kCentered>
auto held_kernel(int64_t C) {
  const int64_t quarters = divide_up(C, kWarpRow / 4);
  return quarters == 1   ? normalize_backward_held<E, kCentered, kQuarter<E>>
         : quarters == 2 ? normalize_backward_held<E, kCentered, 2 * kQuarter<E>>
         : quarters == 3 ? normalize_backward_held<E, kCentered, 3 * kQuarter<E>>
                         : normalize_backward_held<E, kCentered, 4 * kQuarter<E>>;
}

/// As AddNormBackward.
template <bool kCentered, class E>
void normalize_gradients(Context& context, E* dx, float* dgain, float* dbias, float* columns, const E* base,
                         const E* dy, const E* x, const float* mean, const float* scale, const E* gain,
                         int64_t R, int64_t C) {
  CudaContext& cuda = on_cuda(context);
  if (R == 0 || C == 0) {
    for (float* gradient : {dgain, dbias, columns}) {
      if (gradient == nullptr || C == 0) continue;
      check(cudaMemsetAsync(gradient, 0, static_cast<size_t>(C) * sizeof(float), cuda.stream()),
            "clearing a gradient");
    }
    return;
  }
  constexpr int N = kLanes<E>;
  const bool vectors = aligned(dx, base, dy, x, gain) && C % N == 0;
  const auto finish = [&](const float* shares, int64_t blocks, int parts) {
    launch(context, add_shares, divide_up(parts * C, kWarp), kShareWarps * kWarp, 0, dgain, dbias,
           parts == 3 ? columns : nullptr, shares, static_cast<int>(blocks), static_cast<int>(C), parts);
  };
  if (vectors && C <= kWarpRow) {
    const int parts = columns == nullptr ? 2 : 3;
    const int64_t blocks =
        blocks_for(context, R, kHeldWarps, held_blocks(static_cast<int>(divide_up(C, kWarpRow / 4))));
    auto* shares = cuda.workspace<float>(blocks * parts * C);
    launch(context, held_kernel<E, kCentered>(C), blocks, kHeldWarps * kWarp,
           static_cast<size_t>(kHeldWarps * parts * C) * sizeof(float), dx, shares, base, dy, x, mean, scale,
           gain, R, static_cast<int>(C), parts);
    finish(shares, blocks, parts);
    return;
  }
  constexpr size_t kSharedBytes = size_t{48} << 10;
  const int64_t wanted = divide_up(vectors ? C / N : C, kWarp) * kWarp;
  const auto threads = static_cast<unsigned>(std::clamp<int64_t>(wanted, kWarp, kTeamThreads));
  const int64_t blocks = blocks_for(context, R, 1);
  const size_t bytes = static_cast<size_t>(2 * C) * sizeof(float);
  const bool in_shared = bytes <= kSharedBytes;
  auto* shares = cuda.workspace<float>(blocks * 2 * C);
  launch(context, normalize_backward<E, kCentered>, blocks, threads, in_shared ? bytes : 0, dx, shares, base,
         dy, x, mean, scale, gain, R, C, vectors, in_shared);
  finish(shares, blocks, 2);
  if (columns != nullptr) linear_backward_bias(context, columns, dx, R, C);
}

}  // namespace

template <class E>
void add_norm_backward(Context& context, E* dx, float* dgain, float* dbias, float* columns, const E* base,
                       const E* dy, const E* x, const float* mean, const float* scale, const E* gain,
                       int64_t R, int64_t C) {
  if (mean != nullptr) {
    normalize_gradients<true>(context, dx, dgain, dbias, columns, base, dy, x, mean, scale, gain, R, C);
  } else {
    normalize_gradients<false>(context, dx, dgain, dbias, columns, base, dy, x, mean, scale, gain, R, C);
  }
}

template AddNormBackward<float> add_norm_backward<float>;
template AddNormBackward<bfloat16> add_norm_backward<bfloat16>;
template AddNormBackward<float16> add_norm_backward<float16>;

}  // namespace headlight::kernels::cuda
