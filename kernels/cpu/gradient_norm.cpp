// The size of a gradient, summed in double in a fixed order, and the factor that clips it.
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

namespace {

double squares(const float* x, int64_t n) {
  // Lanes of doubles; the compiler makes vectors of the inner loop.
  double lanes[kWidth] = {};
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    for (int j = 0; j < kWidth; ++j) {
      const auto value = static_cast<double>(x[i + j]);
      lanes[j] += value * value;
    }
  }
  double total = 0.0;
  for (; i < n; ++i) total += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  for (const double lane : lanes) total += lane;
  return total;
}

}  // namespace

void sum_of_squares(Context& context, float* out, const float* x, int64_t n) {
  CpuContext& cpu = on_cpu(context);
  const int64_t chunks = divide_up(n, kStreamChunk);
  static_assert(sizeof(double) == 2 * sizeof(float));
  auto* shares = reinterpret_cast<double*>(cpu.workspace(std::max<int64_t>(1, 2 * chunks)));
  cpu.pool.run(chunks, [&](int64_t chunk, int /*slot*/) {
    const int64_t begin = chunk * kStreamChunk;
    shares[chunk] = squares(x + begin, std::min(kStreamChunk, n - begin));
  });
  double total = 0.0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) total += shares[chunk];
  out[0] = static_cast<float>(total);
}

void clip_factor(Context& /*context*/, float* norm, float* clip, const float* squares, float max_norm,
                 int64_t n) {
  double total = 0.0;
  for (int64_t i = 0; i < n; ++i) total += static_cast<double>(squares[i]);
  norm[0] = static_cast<float>(std::sqrt(total));
  // A norm that is not a number gives a factor that is not a number: the trainer sees it, it is not hidden.
  clip[0] = max_norm <= 0.0F || norm[0] <= max_norm ? 1.0F : max_norm / norm[0];
}

}  // namespace headlight::kernels::cpu
