// GELU (Hendrycks & Gimpel 2016): x·Φ(x) with the error function, and GPT-2's tanh approximation of it.
#include <cmath>
#include <numbers>

#include "core/ops/activation.h"

namespace headlight::ops {
namespace {

const double kRootTwoOverPi = std::sqrt(2.0 / std::numbers::pi);
constexpr double kCubic = 0.044715;

const ActivationFunction kTanh = {
    "gelu_tanh",
    "gelu_tanh_grad",
    "gelu(x) = x ∕ 2 · (1 + tanh(√(2∕π)(x + 0.044715 x³)))",
    "dY · gelu′(x)",
    [](const StepMemory& m, int64_t n) {
      m.typed([&](const auto& t) { t.kernels.gelu_tanh_forward(m.context(), t.out(0), t.in(0), n); });
    },
    [](const StepMemory& m, int64_t n) {
      m.typed(
          [&](const auto& t) { t.kernels.gelu_tanh_backward(m.context(), t.out(0), t.in(0), t.in(1), n); });
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
    [](const StepMemory& m, int64_t n) {
      m.typed([&](const auto& t) { t.kernels.gelu_erf_forward(m.context(), t.out(0), t.in(0), n); });
    },
    [](const StepMemory& m, int64_t n) {
      m.typed(
          [&](const auto& t) { t.kernels.gelu_erf_backward(m.context(), t.out(0), t.in(0), t.in(1), n); });
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
