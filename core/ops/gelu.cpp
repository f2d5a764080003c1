// GELU (Hendrycks & Gimpel 2016): x·Φ(x) with the error function, and GPT-2's tanh approximation of it.
#include <cmath>
#include <numbers>

#include "core/ops/activation.h"

namespace headlight::ops {
namespace {

using kernels::Context;
using kernels::Kernels;

const double kRootTwoOverPi = std::sqrt(2.0 / std::numbers::pi);
constexpr double kCubic = 0.044715;

const ActivationFunction kTanh = {
    "gelu_tanh",
    "gelu_tanh_grad",
    "gelu(x) = x ∕ 2 · (1 + tanh(√(2∕π)(x + 0.044715 x³)))",
    "dY · gelu′(x)",
    [](const Kernels& k, Context& c, float* y, const float* x, int64_t n) {
      k.gelu_tanh_forward(c, y, x, n);
    },
    [](const Kernels& k, Context& c, float* dx, const float* dy, const float* x, int64_t n) {
      k.gelu_tanh_backward(c, dx, dy, x, n);
    },
    [](double x) { return 0.5 * x * (1 + std::tanh(kRootTwoOverPi * (x + kCubic * x * x * x))); },
    [](double x) {
      const double t = std::tanh(kRootTwoOverPi * (x + kCubic * x * x * x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kRootTwoOverPi * (1 + 3 * kCubic * x * x);
    }};

const ActivationFunction kErf = {
    "gelu_erf",
    "gelu_erf_grad",
    "gelu(x) = x · Φ(x)",
    "dY · gelu′(x)",
    [](const Kernels& k, Context& c, float* y, const float* x, int64_t n) { k.gelu_erf_forward(c, y, x, n); },
    [](const Kernels& k, Context& c, float* dx, const float* dy, const float* x, int64_t n) {
      k.gelu_erf_backward(c, dx, dy, x, n);
    },
    [](double x) { return 0.5 * x * std::erfc(-x / std::numbers::sqrt2); },
    [](double x) {
      return 0.5 * std::erfc(-x / std::numbers::sqrt2) +
             x * std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi);
    }};

}  // namespace

OpPtr gelu_tanh() { return std::make_shared<ActivationOp>(kTanh); }
OpPtr gelu_erf() { return std::make_shared<ActivationOp>(kErf); }

}  // namespace headlight::ops
