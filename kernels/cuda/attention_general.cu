// Fused attention for the head sizes that the tiles of attention.cu do not serve: more than 128, or rows that
// do not end at a word. A warp works on one row and walks over the others, with its sums in shared memory;
// fp32 arithmetic, no tensor cores. Called by attention.cu and attention_backward.cu.
#include "kernels/cuda/attention_heads.h"

namespace headlight::kernels::cuda {

namespace {

// Σ_d a[d]·b[d], the same in every lane.
template <class E>
__device__ float row_dot(const E* a, const E* b, int D) {
  float sum = 0.0F;
  for (int d = lane_index(); d < D; d += kWarp) sum += to_float(a[d]) * to_float(b[d]);
  return warp_reduce(sum, Add{});
}

// A warp's `count` rows of D sums. Each lane reads and writes only columns of its own.
__device__ float* own_sums(int D, int count) {
  float* sums = shared_memory<float>() + static_cast<int64_t>(warp_index()) * count * D;
  for (int d = lane_index(); d < count * D; d += kWarp) sums[d] = 0.0F;
  __syncwarp();  // with more than one row the columns that are cleared are another lane's
  return sums;
}

// Grid: x the heads of the batch, y groups of queries, one for each warp.
template <class E>
__global__ void general_forward_kernel(E* z, float* lse, const E* qkv, Attention a) {
  const int64_t b = blockIdx.x / a.H;
  const int h = static_cast<int>(blockIdx.x) % a.H;
  const int i = static_cast<int>(blockIdx.y * blockDim.x) / kWarp + warp_index();
  if (i >= a.T) return;
  const int part = a.key_part(h);
  const Rows<const E> keys = a.head(qkv, b, part);
  const Rows<const E> values = a.head(qkv, b, part + a.H_kv);
  const E* query = a.head(qkv, b, h, i).first;
  float* sums = own_sums(a.D, 1);
  float shift = -INFINITY;
  float total = 0.0F;
  for (int j = 0; j < a.limit(i); ++j) {
    const float score = row_dot(query, keys.first + j * keys.stride, a.D) * (a.scale * kLog2E);
    const float highest = fmaxf(shift, score);
    const float factor = exp2_approximate(shift - highest);
    const float p = exp2_approximate(score - highest);
    const E* value = values.first + j * values.stride;
    for (int d = lane_index(); d < a.D; d += kWarp) sums[d] = sums[d] * factor + p * to_float(value[d]);
    total = total * factor + p;
    shift = highest;
  }
  E* out = a.output(z, b, h, i).first;
  for (int d = lane_index(); d < a.D; d += kWarp) out[d] = from_float<E>(sums[d] / total);
  if (lane_index() == 0) lse[static_cast<int64_t>(blockIdx.x) * a.T + i] = (shift + log2f(total)) * kLn2;
}

// The same grid: dq and δ.
template <class E>
__global__ void general_backward_query_kernel(E* dqkv, float* delta, const E* dz, const E* z,
                                              const float* lse, const E* qkv, Attention a) {
  const int64_t b = blockIdx.x / a.H;
  const int h = static_cast<int>(blockIdx.x) % a.H;
  const int i = static_cast<int>(blockIdx.y * blockDim.x) / kWarp + warp_index();
  if (i >= a.T) return;
  const int part = a.key_part(h);
  const Rows<const E> keys = a.head(qkv, b, part);
  const Rows<const E> values = a.head(qkv, b, part + a.H_kv);
  const E* query = a.head(qkv, b, h, i).first;
  const E* dz_row = a.output(dz, b, h, i).first;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * a.T + i;
  const float dot = row_dot(dz_row, a.output(z, b, h, i).first, a.D);
  float* dq = own_sums(a.D, 1);
  for (int j = 0; j < a.limit(i); ++j) {
    const E* key = keys.first + j * keys.stride;
    const float p = exp2_approximate((row_dot(query, key, a.D) * a.scale - lse[row]) * kLog2E);
    const float ds = p * (row_dot(dz_row, values.first + j * values.stride, a.D) - dot) * a.scale;
    for (int d = lane_index(); d < a.D; d += kWarp) dq[d] += ds * to_float(key[d]);
  }
  E* out = a.head(dqkv, b, h, i).first;
  for (int d = lane_index(); d < a.D; d += kWarp) out[d] = from_float<E>(dq[d]);
  if (lane_index() == 0) delta[row] = dot;
}

// Grid: x the key heads of the batch, y groups of keys, one for each warp.
template <class E>
__global__ void general_backward_key_kernel(E* dqkv, const float* delta, const E* dz, const float* lse,
                                            const E* qkv, Attention a) {
  const int64_t b = blockIdx.x / a.H_kv;
  const int key_head = static_cast<int>(blockIdx.x) % a.H_kv;
  const int j = static_cast<int>(blockIdx.y * blockDim.x) / kWarp + warp_index();
  if (j >= a.T) return;
  const E* key = a.head(qkv, b, a.H + key_head, j).first;
  const E* value = a.head(qkv, b, a.H + a.H_kv + key_head, j).first;
  float* dk = own_sums(a.D, 2);
  float* dv = dk + a.D;
  const int heads = a.H / a.H_kv;
  for (int h = key_head * heads; h < (key_head + 1) * heads; ++h) {
    const Rows<const E> queries = a.head(qkv, b, h);
    const Rows<const E> dz_rows = a.output(dz, b, h);
    const int64_t row = (b * a.H + h) * a.T;
    for (int i = a.causal ? j : 0; i < a.T; ++i) {
      const E* query = queries.first + i * queries.stride;
      const E* dz_row = dz_rows.first + i * dz_rows.stride;
      const float p = exp2_approximate((row_dot(query, key, a.D) * a.scale - lse[row + i]) * kLog2E);
      const float ds = p * (row_dot(dz_row, value, a.D) - delta[row + i]) * a.scale;
      for (int d = lane_index(); d < a.D; d += kWarp) {
        dk[d] += ds * to_float(query[d]);
        dv[d] += p * to_float(dz_row[d]);
      }
    }
  }
  E* dk_out = a.head(dqkv, b, a.H + key_head, j).first;
  E* dv_out = a.head(dqkv, b, a.H + a.H_kv + key_head, j).first;
  for (int d = lane_index(); d < a.D; d += kWarp) {
    dk_out[d] = from_float<E>(dk[d]);
    dv_out[d] = from_float<E>(dv[d]);
  }
}

// As many warps to a block as find room for `sums` rows of sums each in what every device has.
template <class... P, class... A>
void launch_rows(Context& context, void (*kernel)(P...), const Attention& a, int64_t heads, int sums,
                 A... arguments) {
  constexpr size_t kEverywhere = size_t{48} << 10;
  const size_t row = static_cast<size_t>(sums) * static_cast<size_t>(a.D) * sizeof(float);
  int warps = 4;
  while (warps > 1 && static_cast<size_t>(warps) * row > kEverywhere) warps /= 2;
  const size_t bytes = static_cast<size_t>(warps) * row;
  if (bytes > kEverywhere) allow_shared_memory(kernel, bytes);
  launch(context, kernel, dim3(static_cast<unsigned>(heads), static_cast<unsigned>(tiles_over(a.T, warps))),
         static_cast<unsigned>(warps * kWarp), bytes, arguments..., a);
}

}  // namespace

template <class E>
void attention_forward_general(Context& context, E* z, float* lse, const E* qkv, const Attention& a,
                               int64_t B) {
  launch_rows(context, general_forward_kernel<E>, a, B * a.H, 1, z, lse, qkv);
}

template <class E>
void attention_backward_general(Context& context, E* dqkv, const E* dz, const E* z, const float* lse,
                                const E* qkv, const Attention& a, int64_t B) {
  auto* delta = on_cuda(context).template workspace<float>(B * a.H * a.T);
  launch_rows(context, general_backward_query_kernel<E>, a, B * a.H, 1, dqkv, delta, dz, z, lse, qkv);
  launch_rows(context, general_backward_key_kernel<E>, a, B * a.H_kv, 2, dqkv, delta, dz, lse, qkv);
}

template void attention_forward_general(Context&, float*, float*, const float*, const Attention&, int64_t);
template void attention_forward_general(Context&, bfloat16*, float*, const bfloat16*, const Attention&,
                                        int64_t);
template void attention_forward_general(Context&, float16*, float*, const float16*, const Attention&,
                                        int64_t);
template void attention_backward_general(Context&, float*, const float*, const float*, const float*,
                                         const float*, const Attention&, int64_t);
template void attention_backward_general(Context&, bfloat16*, const bfloat16*, const bfloat16*, const float*,
                                         const bfloat16*, const Attention&, int64_t);
template void attention_backward_general(Context&, float16*, const float16*, const float16*, const float*,
                                         const float16*, const Attention&, int64_t);

}  // namespace headlight::kernels::cuda
