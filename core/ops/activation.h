// What GELU and ReLU share as ops: an elementwise function of one input and its derivative. Their files give
// the kernels, the formula and the double-precision function.
#pragma once

#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {

/// One elementwise function.
struct ActivationFunction {
  std::string_view kind, grad_kind;
  std::string formula, grad_formula;
  void (*forward)(const StepMemory& m, int64_t n);   ///< (x) → y over n elements
  void (*backward)(const StepMemory& m, int64_t n);  ///< (dy, x) → dx
  double (*value)(double x);
  double (*slope)(double x);
};

/// (dy, x) → dx
class ActivationGrad final : public Op {
 public:
  explicit ActivationGrad(const ActivationFunction& f) : f_(f) {}
  [[nodiscard]] std::string_view kind() const override { return f_.grad_kind; }
  [[nodiscard]] Equation equation() const override {
    return {{"dX", EquationPart::Meaning::gradient}, {" = " + f_.grad_formula}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[0]};
  }
  void run(const StepMemory& m) const override { f_.backward(m, m.input_shapes[0]->count()); }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    TermList terms(run, "dX = " + f_.grad_formula);
    const CellRef dy{step.inputs[0], offset}, x{step.inputs[1], offset};
    terms.function({dy, x}, terms.read(dy) * f_.slope(terms.read(x)));
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }

 private:
  const ActivationFunction& f_;
};

/// (x) → f(x)
class ActivationOp final : public Op {
 public:
  explicit ActivationOp(const ActivationFunction& f) : f_(f) {}
  [[nodiscard]] std::string_view kind() const override { return f_.kind; }
  [[nodiscard]] Equation equation() const override {
    return {{"Y", EquationPart::Meaning::mlp}, {" = " + f_.formula}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[0]};
  }
  void run(const StepMemory& m) const override { f_.forward(m, m.input_shapes[0]->count()); }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    d.contribute(step, std::make_shared<ActivationGrad>(f_), {dy, step.inputs[0]}, {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    TermList terms(run, "Y = " + f_.formula);
    const CellRef x{step.inputs[0], offset};
    terms.function({x}, f_.value(terms.read(x)));
    return terms.finish();
  }

 private:
  const ActivationFunction& f_;
};

}  // namespace headlight::ops
