// A product with packed weights and what stands around it in one step: the norm of its rows, the activation
// and the residual sum. What lies between is never stored.
#include <cmath>
#include <numbers>

#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

using kernels::WeightLayout;
using Norm = kernels::LinearFusion::Norm;
using Activation = kernels::LinearFusion::Activation;

enum Input : size_t { kX, kWeight, kBias, kGain, kShift, kResidual };

double activated(Activation which, double x) {
  switch (which) {
    case Activation::gelu_tanh:
      return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
    case Activation::gelu_erf:
      return 0.5 * x * std::erfc(-x / std::numbers::sqrt2);
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::none:
      break;
  }
  return x;
}

std::string activation_name(Activation which) {
  switch (which) {
    case Activation::gelu_tanh:
    case Activation::gelu_erf:
      return "gelu";
    case Activation::silu:
      return "silu";
    case Activation::relu:
      return "relu";
    case Activation::none:
      break;
  }
  return "";
}

class FusedLinearOp final : public Op {
 public:
  explicit FusedLinearOp(const FusedLinear& fusion) : fusion_(fusion) {}
  [[nodiscard]] std::string_view kind() const override { return "fused_linear"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Y", plain}, {" = " + formula(true), plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[kX];
    const size_t in_axis = fusion_.weight.layout == WeightLayout::in_out ? 0 : 1;
    if (in[kWeight]->rank() != 2 || in[kWeight]->size(in_axis) != x.last())
      shape_error(kind(), in, "x [..,in] and W [in,out]");
    std::vector<Axis> axes = x.axes();
    axes.back() = (*in[kWeight])[1 - in_axis];
    Shape y(axes);
    if (in[kResidual] != nullptr && in[kResidual]->count() != y.count())
      shape_error(kind(), in, "a residual of the size of its result");
    return {in[kResidual] != nullptr ? *in[kResidual] : y};
  }
  void run(const StepMemory& m) const override {
    const int64_t in = m.input_shapes[kX]->last(), out = m.output_shapes[0]->last();
    const int64_t R = m.input_shapes[kX]->rows();
    const kernels::LinearFusion fusion{.norm = fusion_.norm,
                                       .eps = static_cast<float>(fusion_.epsilon),
                                       .gain = m.in(kGain),
                                       .shift = m.in(kShift),
                                       .activation = fusion_.activation,
                                       .residual = m.in(kResidual)};
    const kernels::DecodeKernels& kernels = decode_kernels(m);
    if (fusion_.weight.format == WeightFormat::int8) {
      kernels.linear_int8(m.context(), m.out(0), m.in(kX), m.inputs[kWeight], m.in(kBias), fusion, R, in, out,
                          fusion_.weight.group);
    } else {
      kernels.linear_bf16(m.context(), m.out(0), m.in(kX), m.inputs[kWeight], m.in(kBias), fusion, R, in,
                          out);
    }
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t in = run.program().buffer(step.inputs[kX]).shape.last();
    const int64_t out = run.program().buffer(step.outputs[0]).shape.last(), o = offset % out;
    const std::vector<double> row = input_row(run, step, offset / out * in, in);
    TermList terms(run, "Y[t,o] = " + formula(step.inputs[kResidual] != no_buffer));
    double sum = 0;
    std::vector<CellRef> cells;
    for (int64_t i = 0; i < in; ++i) {
      const bool by_input = fusion_.weight.layout == WeightLayout::in_out;
      const CellRef left{step.inputs[kX], offset / out * in + i};
      const CellRef right{step.inputs[kWeight], by_input ? i * out + o : o * in + i};
      const double product = row[static_cast<size_t>(i)] * terms.read(right);
      sum += product;
      if (fusion_.activation == Activation::none) terms.function({left, right}, product);
      cells.push_back(left);
      cells.push_back(right);
    }
    if (step.inputs[kBias] != no_buffer) {
      const CellRef bias{step.inputs[kBias], o};
      sum += terms.read(bias);
      if (fusion_.activation == Activation::none) terms.product({bias});
      cells.push_back(bias);
    }
    if (fusion_.activation != Activation::none) terms.function(cells, activated(fusion_.activation, sum));
    if (step.inputs[kResidual] != no_buffer) terms.product({{step.inputs[kResidual], offset}});
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[kWeight]->count()) * static_cast<double>(in[kX]->rows());
  }

 private:
  [[nodiscard]] std::string formula(bool residual) const {
    std::string product = fusion_.norm == Norm::layernorm ? "LN(X) W + b"
                          : fusion_.norm == Norm::rmsnorm ? "RMS(X) W + b"
                                                          : "X W + b";
    if (fusion_.activation != Activation::none)
      product = activation_name(fusion_.activation) + "(" + product + ")";
    return residual ? product + " + residual" : product;
  }
  // norm(x), rounded as the kernel rounds it where codes are multiplied.
  [[nodiscard]] std::vector<double> input_row(const CellReader& run, const Step& step, int64_t first,
                                              int64_t in) const {
    std::vector<double> row(static_cast<size_t>(in));
    for (int64_t i = 0; i < in; ++i) row[static_cast<size_t>(i)] = run.value(step.inputs[kX], first + i);
    if (fusion_.norm != Norm::none) {
      double mean = 0, squares = 0;
      for (const double value : row) mean += value / static_cast<double>(in);
      if (fusion_.norm == Norm::rmsnorm) mean = 0;
      for (const double value : row) squares += (value - mean) * (value - mean) / static_cast<double>(in);
      const double scale = std::sqrt(squares + fusion_.epsilon);
      for (int64_t i = 0; i < in; ++i) {
        double& value = row[static_cast<size_t>(i)];
        value = (value - mean) / scale * run.value(step.inputs[kGain], i);
        if (step.inputs[kShift] != no_buffer) value += run.value(step.inputs[kShift], i);
      }
    }
    if (fusion_.weight.format == WeightFormat::int8) round_runs(row, kernels::int8_run(fusion_.weight.group));
    return row;
  }

  FusedLinear fusion_;
};

}  // namespace

OpPtr fused_linear(const FusedLinear& fusion) { return std::make_shared<FusedLinearOp>(fusion); }

}  // namespace headlight::ops
