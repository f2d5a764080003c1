// RMSNorm: a row is read once from memory, then its size and the result come from the cache.
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/rows.h"

namespace headlight::kernels::cpu {

void rmsnorm_forward(Context& context, float* scale, float* normalized, float* y, const float* x,
                     const float* gain, int64_t R, int64_t C, float eps) {
  const float inverse_width = 1.0F / static_cast<float>(C);
  for_rows(context, R, C, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const float* row = x + r * C;
      const float s = std::sqrt(row_dot(row, row, C) * inverse_width + eps);
      const float inverse = 1.0F / s;
      scale[r] = s;
      if (normalized != nullptr) {
        map(normalized + r * C, row, C, [&](Floats value) { return value * inverse; });
      }
      map(y + r * C, row, gain, C, [&](Floats value, Floats g) { return value * inverse * g; });
    }
  });
}

void rmsnorm_backward(Context& context, float* dx, float* dgain, const float* dy, const float* x,
                      const float* scale, const float* gain, int64_t R, int64_t C) {
  CpuContext& cpu = on_cpu(context);
  const float inverse_width = 1.0F / static_cast<float>(C);
  // Each chunk of rows leaves its share of dgain; the shares are added in order.
  const int64_t rows = rows_in_chunk(C, kStreamChunk);
  const int64_t chunks = std::max<int64_t>(1, divide_up(R, rows));
  float* shares = cpu.workspace(chunks * C);
  cpu.reserve_slots(2 * C);
  cpu.pool.run(chunks, [&](int64_t chunk, int slot) {
    float* share = shares + chunk * C;
    float* normal = cpu.slot(slot);
    float* g = normal + C;
    std::fill(share, share + C, 0.0F);
    const auto times = [](Floats a, Floats b) { return a * b; };
    const auto plus = [](Floats a, Floats b) { return a + b; };
    const int64_t end = std::min(R, (chunk + 1) * rows);
    for (int64_t r = chunk * rows; r < end; ++r) {
      const float inverse = 1.0F / scale[r];
      // dx = (g − n·mean(g·n))/scale, where g = dy·gain and n the normalized row.
      map(normal, x + r * C, C, [&](Floats value) { return value * inverse; });
      map(g, dy + r * C, normal, C, times);
      map(share, share, g, C, plus);
      map(g, dy + r * C, gain, C, times);
      const float mean_gn = row_dot(g, normal, C) * inverse_width;
      map(dx + r * C, g, normal, C, [&](Floats a, Floats n) { return (a - n * mean_gn) * inverse; });
    }
  });
  std::copy(shares, shares + C, dgain);
  for (int64_t chunk = 1; chunk < chunks; ++chunk) {
    map(dgain, dgain, shares + chunk * C, C, [](Floats a, Floats b) { return a + b; });
  }
}

}  // namespace headlight::kernels::cpu
