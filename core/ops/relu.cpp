// ReLU: max(x, 0).
#include "core/ops/activation.h"

namespace headlight::ops {
namespace {

using kernels::Context;
using kernels::Kernels;

const ActivationFunction kRelu = {
    "relu",
    "relu_grad",
    "max(x, 0)",
    "dY where x > 0, else 0",
    [](const Kernels& k, Context& c, float* y, const float* x, int64_t n) { k.relu_forward(c, y, x, n); },
    [](const Kernels& k, Context& c, float* dx, const float* dy, const float* x, int64_t n) {
      k.relu_backward(c, dx, dy, x, n);
    },
    [](double x) { return x > 0 ? x : 0.0; },
    [](double x) { return x > 0 ? 1.0 : 0.0; }};

}  // namespace

OpPtr relu() { return std::make_shared<ActivationOp>(kRelu); }

}  // namespace headlight::ops
