// What happens to the scores of keys that lie in the future (j > i): −∞, a finite number, zero, or nothing.
#include <limits>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"

namespace headlight::kernels::cpu {

namespace {

// Copies x where j ≤ i and writes `future` elsewhere; every element where `all`.
void fill_future(Context& context, float* y, const float* x, float future, bool all, int64_t G, int64_t T) {
  if (all && y == x) return;
  for_rows(context, G * T, T, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) {
      const int64_t seen = all ? T : r % T + 1;
      if (y != x) std::copy(x + r * T, x + r * T + seen, y + r * T);
      std::fill(y + r * T + seen, y + (r + 1) * T, future);
    }
  });
}

}  // namespace

void mask_forward(Context& context, float* y, const float* x, MaskKind kind, int64_t G, int64_t T) {
  float future = 0.0F;
  if (kind == MaskKind::causal) future = -std::numeric_limits<float>::infinity();
  if (kind == MaskKind::finite) future = finite_mask_value;
  fill_future(context, y, x, future, kind == MaskKind::none, G, T);
}

void mask_backward(Context& context, float* dx, const float* dy, MaskKind kind, int64_t G, int64_t T) {
  fill_future(context, dx, dy, 0.0F, kind == MaskKind::none, G, T);
}

}  // namespace headlight::kernels::cpu
