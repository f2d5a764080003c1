// x·W + bias with W stored in 16 or 8 bits. A recording holds W as it is stored, in fp32; with 8 bits x is
// rounded as well, run by run, and the terms say with what.
#include <cmath>

#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

using kernels::WeightLayout;

class PackedLinear final : public Op {
 public:
  PackedLinear(WeightFormat format, int64_t group, WeightLayout layout)
      : format_(format), group_(group), layout_(layout) {}
  [[nodiscard]] std::string_view kind() const override { return "packed_linear"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    const std::string product = layout_ == WeightLayout::in_out ? "X W + b" : "X Eᵀ";
    return {{"Y", plain},
            {" = " + product, plain},
            {format_ == WeightFormat::int8 ? ",  in whole numbers of 8 bits" : ",  W in bf16", muted}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[0];
    const size_t in_axis = layout_ == WeightLayout::in_out ? 0 : 1;
    if (in[1]->rank() != 2 || in[1]->size(in_axis) != x.last())
      shape_error(kind(), in, "x [..,in] and W [in,out]");
    std::vector<Axis> axes = x.axes();
    axes.back() = (*in[1])[1 - in_axis];
    return {Shape(axes)};
  }
  void run(const StepMemory& m) const override {
    const int64_t in = m.input_shapes[0]->last(), out = m.output_shapes[0]->last();
    const int64_t R = m.input_shapes[0]->rows();
    if (format_ == WeightFormat::int8) {
      inference_kernels(m).linear_forward_int8(m.context(), m.out(0), m.in(0), m.inputs[1], m.in(2), R, in,
                                               out, group_);
    } else {
      inference_kernels(m).linear_forward_bf16(m.context(), m.out(0), m.in(0), m.inputs[1], m.in(2), R, in,
                                               out);
    }
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t in = run.program().buffer(step.inputs[0]).shape.last();
    const int64_t out = run.program().buffer(step.outputs[0]).shape.last(), o = offset % out;
    const bool whole = format_ == WeightFormat::int8;
    const std::string sum = whole ? "Y[t,o] = Σ_i X̂[t,i]·Ŵ[i,o]" : "Y[t,o] = Σ_i X[t,i]·W[i,o]";
    TermList terms(run, step.inputs[2] == no_buffer ? sum : sum + " + b[o]");
    const std::vector<double> x =
        whole ? rounded_row(run, step.inputs[0], offset / out * in, in) : std::vector<double>();
    for (int64_t i = 0; i < in; ++i) {
      const CellRef left{step.inputs[0], offset / out * in + i};
      const CellRef right{step.inputs[1], layout_ == WeightLayout::in_out ? i * out + o : o * in + i};
      if (whole) {
        terms.function({left, right}, x[static_cast<size_t>(i)] * terms.read(right));
      } else {
        terms.product({left, right});
      }
    }
    if (step.inputs[2] != no_buffer) terms.product({{step.inputs[2], o}});
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[1]->count()) * static_cast<double>(in[0]->rows());
  }
  [[nodiscard]] PackedWeight weight() const { return {format_, group_, layout_}; }

 private:
  // The row as the kernel rounds it.
  [[nodiscard]] std::vector<double> rounded_row(const CellReader& run, BufferId x, int64_t first,
                                                int64_t in) const {
    std::vector<double> row(static_cast<size_t>(in));
    for (int64_t i = 0; i < in; ++i) row[static_cast<size_t>(i)] = run.value(x, first + i);
    round_runs(row, kernels::int8_run(group_));
    return row;
  }

  WeightFormat format_;
  int64_t group_;
  WeightLayout layout_;
};

}  // namespace

void round_runs(std::span<double> row, int64_t length) {
  for (size_t begin = 0; begin < row.size(); begin += static_cast<size_t>(length)) {
    const auto run = row.subspan(begin, std::min(row.size() - begin, static_cast<size_t>(length)));
    float largest = 0;
    for (const double value : run) largest = std::max(largest, std::abs(static_cast<float>(value)));
    const float inverse = largest > 0 ? 127.0F / largest : 0.0F;
    for (double& value : run) {
      const float code = std::nearbyint(static_cast<float>(value) * inverse);
      value = static_cast<double>(code) * static_cast<double>(largest / 127.0F);
    }
  }
}

OpPtr packed_linear(WeightFormat format, int64_t group, WeightLayout layout) {
  return std::make_shared<PackedLinear>(format, group, layout);
}

std::optional<PackedWeight> packed_weight(const Op& op) {
  const auto* linear = dynamic_cast<const PackedLinear*>(&op);
  return linear != nullptr ? std::optional(linear->weight()) : std::nullopt;
}

}  // namespace headlight::ops
