// Elementwise product: the gate of a gated MLP. Each side's gradient is the other side times dY.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// (dy, the other side) → gradient of one side
class MultiplyGrad final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "multiply_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dA", gradient}, {" = dY ⊙ B", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[0]};
  }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.multiply_forward(m.context(), t.out(0), t.in(0), t.in(1), m.input_shapes[0]->count());
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    TermList terms(run, "dA = dY·B");
    terms.product({{step.inputs[0], offset}, {step.inputs[1], offset}});
    return terms.finish();
  }
};

class Multiply final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "multiply"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Y", mlp}, {" = A ⊙ B", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[0]->count() != in[1]->count()) shape_error(kind(), in, "two inputs of one size");
    return {*in[0]};
  }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.multiply_forward(m.context(), t.out(0), t.in(0), t.in(1), m.input_shapes[0]->count());
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    const BufferId a = step.inputs[0], b = step.inputs[1];
    d.contribute(step, std::make_shared<MultiplyGrad>(), {dy, b}, {a});
    d.contribute(step, std::make_shared<MultiplyGrad>(), {dy, a}, {b});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    TermList terms(run, "Y = A·B");
    terms.product({{step.inputs[0], offset}, {step.inputs[1], offset}});
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }
};

}  // namespace

OpPtr multiply() { return std::make_shared<Multiply>(); }

}  // namespace headlight::ops
