// ReLU: max(x, 0).
#include "core/ops/activation.h"

namespace headlight::ops {
namespace {

const ActivationFunction kRelu = {
    "relu",
    "relu_grad",
    "max(x, 0)",
    "dY where x > 0, else 0",
    [](const StepMemory& m, int64_t n) {
      m.typed([&](const auto& t) { t.kernels.relu_forward(m.context(), t.out(0), t.in(0), n); });
    },
    [](const StepMemory& m, int64_t n) {
      m.typed([&](const auto& t) { t.kernels.relu_backward(m.context(), t.out(0), t.in(0), t.in(1), n); });
    },
    [](double x) { return x > 0 ? x : 0.0; },
    [](double x) { return x > 0 ? 1.0 : 0.0; }};

}  // namespace

OpPtr relu() { return std::make_shared<ActivationOp>(kRelu); }

}  // namespace headlight::ops
