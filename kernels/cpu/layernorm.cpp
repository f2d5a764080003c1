// LayerNorm: a row is read once from memory, then mean, spread and result come from the cache.
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

namespace {

// Sum of function(x[i], i) over a row, in two alternating vectors.
template <class Function>
float sum_of(int64_t n, const Function& function) {
  Floats even{};
  Floats odd{};
  int64_t i = 0;
  for (; i + 2 * kWidth <= n; i += 2 * kWidth) {
    even += function(i, kWidth);
    odd += function(i + kWidth, kWidth);
  }
  if (i + kWidth <= n) {
    even += function(i, kWidth);
    i += kWidth;
  }
  if (i < n) odd += function(i, n - i);
  return sum(even + odd);
}

}  // namespace

void layernorm_forward(Context& context, float* mean, float* scale, float* normalized, float* y,
                       const float* x, const float* gain, const float* bias, int64_t R, int64_t C,
                       float eps) {
  const float inverse_width = 1.0F / static_cast<float>(C);
  for_rows(context, R, C, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = x + r * C;
      const float m = sum_of(C, [&](int64_t i, int64_t n) { return load_some(row + i, n); }) * inverse_width;
      const float squares = sum_of(C, [&](int64_t i, int64_t n) {
        const Floats d = load_some(row + i, n, m) - m;
        return d * d;
      });
      const float s = std::sqrt(squares * inverse_width + eps);
      const float inverse = 1.0F / s;
      mean[r] = m;
      scale[r] = s;
      for (int64_t i = 0; i < C; i += kWidth) {
        const int64_t n = C - i;
        const Floats value = (load_some(row + i, n) - m) * inverse;
        if (normalized != nullptr) store_some(normalized + r * C + i, value, n);
        Floats result = value * load_some(gain + i, n);
        if (bias != nullptr) result += load_some(bias + i, n);
        store_some(y + r * C + i, result, n);
      }
    }
  });
}

void layernorm_backward(Context& context, float* dx, float* dgain, float* dbias, const float* dy,
                        const float* x, const float* mean, const float* scale, const float* gain, int64_t R,
                        int64_t C) {
  CpuContext& cpu = on_cpu(context);
  const float inverse_width = 1.0F / static_cast<float>(C);
  // Each chunk of rows leaves its share of dgain and dbias; the shares are added in order.
  const int64_t rows = rows_in_chunk(C, kStreamChunk);
  const int64_t chunks = std::max<int64_t>(1, divide_up(R, rows));
  float* shares = cpu.workspace(chunks * 2 * C);
  cpu.pool.run(chunks, [&](int64_t chunk, int /*slot*/) {
    float* share_gain = shares + chunk * 2 * C;
    float* share_bias = share_gain + C;
    std::fill(share_gain, share_gain + 2 * C, 0.0F);
    const int64_t end = std::min(R, (chunk + 1) * rows);
    for (int64_t r = chunk * rows; r < end; ++r) {
      const float* row = x + r * C;
      const float* drow = dy + r * C;
      const float m = mean[r];
      const float inverse = 1.0F / scale[r];
      // dx = (g − mean(g) − n̂·mean(g·n̂))/scale, where g = dy·gain and n̂ the normalized row.
      Floats sum_g{};
      Floats sum_gn{};
      for (int64_t i = 0; i < C; i += kWidth) {
        const int64_t n = C - i;
        const Floats d = load_some(drow + i, n);
        const Floats normal = (load_some(row + i, n, m) - m) * inverse;
        const Floats g = d * load_some(gain + i, n);
        sum_g += g;
        sum_gn += g * normal;
        store_some(share_gain + i, load_some(share_gain + i, n) + d * normal, n);
        store_some(share_bias + i, load_some(share_bias + i, n) + d, n);
      }
      const float mean_g = sum(sum_g) * inverse_width;
      const float mean_gn = sum(sum_gn) * inverse_width;
      for (int64_t i = 0; i < C; i += kWidth) {
        const int64_t n = C - i;
        const Floats normal = (load_some(row + i, n) - m) * inverse;
        const Floats g = load_some(drow + i, n) * load_some(gain + i, n);
        store_some(dx + r * C + i, (g - mean_g - normal * mean_gn) * inverse, n);
      }
    }
  });
  const auto add = [](Floats a, Floats b) { return a + b; };
  std::copy(shares, shares + C, dgain);
  if (dbias != nullptr) std::copy(shares + C, shares + 2 * C, dbias);
  for (int64_t chunk = 1; chunk < chunks; ++chunk) {
    const float* share = shares + chunk * 2 * C;
    map(dgain, dgain, share, C, add);
    if (dbias != nullptr) map(dbias, dbias, share + C, C, add);
  }
}

}  // namespace headlight::kernels::cpu
