// SiLU: x times the logistic function of x.
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/math.h"

namespace headlight::kernels::cpu {

namespace {

// Far from 0 the result is 0 or x: the bounds keep 0·∞ out of the product.
Floats silu(Floats x) { return x < -100.0F ? fill(0.0F) : x * logistic(x); }

Floats silu_slope(Floats x) {
  const Floats t = x > 50.0F ? fill(50.0F) : (x < -50.0F ? fill(-50.0F) : x);
  const Floats s = logistic(t);
  return s * (1.0F + t * (1.0F - s));
}

}  // namespace

void silu_forward(Context& context, float* y, const float* x, int64_t n) {
  for_elements(context, n, kMathChunk,
               [&](int64_t begin, int64_t end) { map(y + begin, x + begin, end - begin, silu); });
}

void silu_backward(Context& context, float* dx, const float* dy, const float* x, int64_t n) {
  for_elements(context, n, kMathChunk, [&](int64_t begin, int64_t end) {
    map(dx + begin, dy + begin, x + begin, end - begin, [](Floats g, Floats a) { return g * silu_slope(a); });
  });
}

}  // namespace headlight::kernels::cpu
