// GELU with tanh and with the error function. ½(1 + tanh u) is the logistic function of 2u, which costs one
// exp and one division and does not cancel for negative x.
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/math.h"

namespace headlight::kernels::cpu {

namespace {

constexpr float kTwoRootTwoOverPi = 1.59576912F;  // 2·√(2/π)
constexpr float kCubic = 0.044715F;
constexpr float kRootHalf = 0.707106781F;
constexpr float kInverseRootTwoPi = 0.398942280F;

Floats gelu_tanh(Floats x) {
  const Floats u2 = x * (x * x * (kTwoRootTwoOverPi * kCubic) + kTwoRootTwoOverPi);
  return x * logistic(u2);
}

Floats gelu_tanh_slope(Floats x) {
  // Beyond ±16 the slope is 0 or 1; the bound keeps 0·∞ out of the product below.
  const Floats t = x > 16.0F ? fill(16.0F) : (x < -16.0F ? fill(-16.0F) : x);
  const Floats square = t * t;
  const Floats u2 = t * (square * (kTwoRootTwoOverPi * kCubic) + kTwoRootTwoOverPi);
  const Floats s = logistic(u2);
  const Floats du2 = square * (3.0F * kTwoRootTwoOverPi * kCubic) + kTwoRootTwoOverPi;
  return s + t * s * (1.0F - s) * du2;
}

Floats gelu_erf(Floats x) { return (0.5F * x) * (1.0F + erf(x * kRootHalf)); }

Floats gelu_erf_slope(Floats x) {
  const Floats t = x > 16.0F ? fill(16.0F) : (x < -16.0F ? fill(-16.0F) : x);
  return 0.5F * (1.0F + erf(t * kRootHalf)) + t * kInverseRootTwoPi * exp(-0.5F * t * t);
}

}  // namespace

void gelu_tanh_forward(Context& context, float* y, const float* x, int64_t n) {
  for_elements(context, n, kMathChunk,
               [&](int64_t begin, int64_t end) { map(y + begin, x + begin, end - begin, gelu_tanh); });
}

void gelu_tanh_backward(Context& context, float* dx, const float* dy, const float* x, int64_t n) {
  for_elements(context, n, kMathChunk, [&](int64_t begin, int64_t end) {
    map(dx + begin, dy + begin, x + begin, end - begin,
        [](Floats g, Floats a) { return g * gelu_tanh_slope(a); });
  });
}

void gelu_erf_forward(Context& context, float* y, const float* x, int64_t n) {
  for_elements(context, n, kMathChunk,
               [&](int64_t begin, int64_t end) { map(y + begin, x + begin, end - begin, gelu_erf); });
}

void gelu_erf_backward(Context& context, float* dx, const float* dy, const float* x, int64_t n) {
  for_elements(context, n, kMathChunk, [&](int64_t begin, int64_t end) {
    map(dx + begin, dy + begin, x + begin, end - begin,
        [](Floats g, Floats a) { return g * gelu_erf_slope(a); });
  });
}

}  // namespace headlight::kernels::cpu
