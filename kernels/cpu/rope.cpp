// Rotary positions: the table of angles, and the rotation of queries and keys by it.
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

void rope_table(Context& context, float* cosine, float* sine, const int32_t* first,
                const RopeConstants& constants, int64_t S, int64_t T, int64_t D) {
  const int64_t half = D / 2;
  CpuContext& cpu = on_cpu(context);
  auto* frequency = reinterpret_cast<double*>(cpu.workspace(2 * half));
  for (int64_t d = 0; d < half; ++d) frequency[d] = rope_frequency(constants, d, D);
  for_rows(context, S * T, half, kMathChunk / 8, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const auto position = static_cast<double>((first != nullptr ? first[r / T] : 0) + r % T);
      for (int64_t d = 0; d < half; ++d) {
        cosine[r * half + d] = static_cast<float>(std::cos(position * frequency[d]));
        sine[r * half + d] = static_cast<float>(std::sin(position * frequency[d]));
      }
    }
  });
}

void rope(Context& context, float* y, const float* x, const float* cosine, const float* sine, bool inverse,
          int64_t B, int64_t S, int64_t T, int64_t heads, int64_t rotated, int64_t D) {
  const int64_t half = D / 2;
  for_rows(context, B * T, heads * D, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t angle = S == 1 ? r % T : r;
      const float* c = cosine + angle * half;
      const float* s = sine + angle * half;
      for (int64_t h = 0; h < rotated; ++h) {
        const float* from = x + (r * heads + h) * D;
        float* to = y + (r * heads + h) * D;
        for (int64_t d = 0; d < half; d += kWidth) {
          const int64_t n = half - d;
          const Floats a = load_some(from + d, n), b = load_some(from + half + d, n);
          const Floats cos = load_some(c + d, n);
          const Floats sin = inverse ? -load_some(s + d, n) : load_some(s + d, n);
          store_some(to + d, a * cos - b * sin, n);
          store_some(to + half + d, b * cos + a * sin, n);
        }
      }
      if (y != x) {
        const int64_t rest = (r * heads + rotated) * D;
        std::copy(x + rest, x + (r + 1) * heads * D, y + rest);
      }
    }
  });
}

}  // namespace headlight::kernels::cpu
