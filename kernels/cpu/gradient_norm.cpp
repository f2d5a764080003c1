// The size of a gradient, summed in double in a fixed order, and the factor that clips it.
#include <cmath>
#include <limits>

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

void clip_factor(Context& /*context*/, float* norm, float* clip, float* gate_new, const float* squares,
                 const float* loss, const float* gate, float max_norm, int64_t n) {
  double total = 0.0;
  for (int64_t i = 0; i < n; ++i) total += static_cast<double>(squares[i]);
  norm[0] = static_cast<float>(std::sqrt(total));
  bool open = std::isfinite(norm[0]);
  if (gate != nullptr) {
    open = open && std::isfinite(loss[0]) && gate[0] != 0.0F;
    gate_new[0] = open ? 1.0F : 0.0F;
  }
  const float factor = max_norm <= 0.0F || norm[0] <= max_norm ? 1.0F : max_norm / norm[0];
  clip[0] = open ? factor : std::numeric_limits<float>::quiet_NaN();
}

}  // namespace headlight::kernels::cpu
