// SiLU (Elfwing et al. 2018; also called swish): x·σ(x).
#include <cmath>

#include "core/ops/activation.h"

namespace headlight::ops {
namespace {

double logistic(double x) { return 1 / (1 + std::exp(-x)); }

const ActivationFunction kSilu = {
    "silu",
    "silu_grad",
    "silu(x) = x · σ(x)",
    "dY · silu′(x)",
    [](const StepMemory& m, int64_t n) {
      m.typed([&](const auto& t) { t.kernels.silu_forward(m.context(), t.out(0), t.in(0), n); });
    },
    [](const StepMemory& m, int64_t n) {
      m.typed([&](const auto& t) { t.kernels.silu_backward(m.context(), t.out(0), t.in(0), t.in(1), n); });
    },
    [](double x) { return x * logistic(x); },
    [](double x) { return logistic(x) * (1 + x * (1 - logistic(x))); }};

}  // namespace

OpPtr silu() { return std::make_shared<ActivationOp>(kSilu); }

}  // namespace headlight::ops
