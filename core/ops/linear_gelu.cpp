// A product with GELU (tanh form) behind it, and the gradient by its input of the product behind a GELU with
// that GELU's slope: one step each, so that no wide activation is read again.
#include <cmath>
#include <numbers>

#include "core/ops/terms.h"
#include "core/ops/training.h"

namespace headlight::ops {
namespace {

const double kRootTwoOverPi = std::sqrt(2.0 / std::numbers::pi);
constexpr double kCubic = 0.044715;

double gelu(double x) { return 0.5 * x * (1 + std::tanh(kRootTwoOverPi * (x + kCubic * x * x * x))); }
double slope(double x) {
  const double t = std::tanh(kRootTwoOverPi * (x + kCubic * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * kRootTwoOverPi * (1 + 3 * kCubic * x * x);
}

class LinearGelu final : public Op {
 public:
  explicit LinearGelu(OpPtr linear) : linear_(std::move(linear)) {}
  [[nodiscard]] std::string_view kind() const override { return "linear_gelu"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Y", mlp}, {" = gelu(X W + b)", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape y = linear_->output_shapes(in)[0];
    return {y, y};
  }
  void run(const StepMemory& m) const override {
    const Shape &x = *m.input_shapes[0], &y = *m.output_shapes[0];
    m.typed([&](const auto& t) {
      training_kernels(m, t).linear_gelu_forward(m.context(), t.out(0), t.out(1), t.in(0), t.in(1), t.in(2),
                                                 x.rows(), x.last(), y.last(), *linear_layout(*linear_));
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const CellTerms product = linear_->explain(run, step, 0, offset);
    if (output == 1) return product;
    TermList terms(run, "Y[t,o] = gelu(Σ_i X[t,i]·W[i,o] + b[o])");
    std::vector<CellRef> cells;
    for (const CellTerm& term : product.terms)
      cells.insert(cells.end(), term.factors.begin(), term.factors.end());
    terms.function(std::move(cells), gelu(product.result));
    return terms.finish();
  }
  [[nodiscard]] bool output_is_optional(size_t output) const override { return output == 1; }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override { return linear_->flops(in); }

 private:
  OpPtr linear_;
};

class LinearGeluGrad final : public Op {
 public:
  explicit LinearGeluGrad(OpPtr grad) : grad_(std::move(grad)) {}
  [[nodiscard]] std::string_view kind() const override { return "linear_gelu_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dX", gradient}, {" = dY Wᵀ · gelu′(X)", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return grad_->output_shapes(in);
  }
  void run(const StepMemory& m) const override {
    const Shape &dy = *m.input_shapes[0], &x = *m.input_shapes[2];
    m.typed([&](const auto& t) {
      training_kernels(m, t).linear_gelu_backward(m.context(), t.out(0), t.in(0), t.in(1), t.in(2), x.rows(),
                                                  x.last(), dy.last(), *linear_layout(*grad_));
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const CellRef pre{step.inputs[2], offset};
    TermList terms(run, "dX[t,i] = Σ_o dY[t,o]·W[i,o]·gelu′(X[t,i])");
    const double factor = slope(terms.read(pre));
    for (const CellTerm& term : grad_->explain(run, step, 0, offset).terms) {
      std::vector<CellRef> cells = term.factors;
      cells.push_back(pre);
      terms.function(std::move(cells), term.value * factor);
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override { return grad_->flops(in); }

 private:
  OpPtr grad_;
};

}  // namespace

OpPtr linear_gelu(OpPtr linear) { return std::make_shared<LinearGelu>(std::move(linear)); }
OpPtr linear_gelu_grad(OpPtr linear_grad_input) {
  return std::make_shared<LinearGeluGrad>(std::move(linear_grad_input));
}

}  // namespace headlight::ops
