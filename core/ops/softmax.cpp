// Softmax over the last axis with temperature τ: positive, sums to 1. Attention's pattern and the model's
// probabilities.
#include <algorithm>
#include <cmath>
#include <limits>

#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// (dy, y) → dx
class SoftmaxGrad final : public Op {
 public:
  explicit SoftmaxGrad(double temperature) : temperature_(temperature) {}
  [[nodiscard]] std::string_view kind() const override { return "softmax_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dS", gradient}, {" = A ⊙ (dA − Σ", plain}, {"j", muted}, {" dA·A) ∕ τ", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[0]};
  }
  void run(const StepMemory& m) const override {
    const Shape& s = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.softmax_backward(m.context(), t.out(0), t.in(0), t.in(1),
                                 static_cast<float>(1.0 / temperature_), s.rows(), s.last());
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t N = run.program().buffer(step.outputs[0]).shape.last();
    const int64_t row = offset / N * N;
    TermList terms(run, "dS[i,j] = A[i,j]·(dA[i,j] − Σ_k dA[i,k]·A[i,k]) / τ");
    terms.product({{step.inputs[0], offset}, {step.inputs[1], offset}}, 1.0 / temperature_);
    for (int64_t k = 0; k < N; ++k) {
      terms.product({{step.inputs[0], row + k}, {step.inputs[1], row + k}, {step.inputs[1], offset}},
                    -1.0 / temperature_);
    }
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }

 private:
  double temperature_;
};

class Softmax final : public Op {
 public:
  Softmax(double temperature, std::string symbol) : temperature_(temperature), symbol_(std::move(symbol)) {}
  [[nodiscard]] std::string_view kind() const override { return "softmax"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    const bool is_pattern = symbol_ == "A";
    Equation equation = {{symbol_, is_pattern ? attention : logits},
                         {is_pattern ? " = softmax(S″" : " = softmax(logits", plain}};
    if (is_pattern) equation.push_back({fmt::format(" ∕ τ = {:.2f}", temperature_), muted});
    equation.push_back({")", plain});
    return equation;
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[0]};
  }
  void run(const StepMemory& m) const override {
    const Shape& s = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.softmax_forward(m.context(), t.out(0), t.in(0), static_cast<float>(1.0 / temperature_),
                                s.rows(), s.last());
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    d.contribute(step, std::make_shared<SoftmaxGrad>(temperature_), {dy, step.outputs[0]}, {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t N = run.program().buffer(step.outputs[0]).shape.last();
    const int64_t row = offset / N * N;
    double maximum = -std::numeric_limits<double>::infinity();
    for (int64_t k = 0; k < N; ++k) maximum = std::max(maximum, run.value(step.inputs[0], row + k));
    const std::string tau = temperature_ == 1.0 ? "" : fmt::format("/{:.2f}", temperature_);
    TermList terms(run,
                   fmt::format("{0}[i,j] = e^((s[i,j] − m){1}) / Σ_k e^((s[i,k] − m){1})", symbol_, tau));
    terms.shift(maximum);
    const auto add = [&](int64_t k) {
      const CellRef source{step.inputs[0], row + k};
      terms.function({source}, std::exp((terms.read(source) - maximum) / temperature_));
    };
    add(offset - row);  // the cell's own exponential first: the numerator
    for (int64_t k = 0; k < N; ++k) {
      if (k != offset - row) add(k);
    }
    return terms.finish(CellTerms::Combine::quotient);
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }
  [[nodiscard]] OpPtr with_temperature(double temperature) const {
    return std::make_shared<Softmax>(temperature, symbol_);
  }

  [[nodiscard]] double temperature() const { return temperature_; }

 private:
  double temperature_;
  std::string symbol_;
};

}  // namespace

OpPtr softmax(double temperature, std::string symbol) {
  return std::make_shared<Softmax>(temperature, std::move(symbol));
}

OpPtr with_temperature(const Op& op, double temperature) {
  const auto* softmax_op = dynamic_cast<const Softmax*>(&op);
  return softmax_op != nullptr ? softmax_op->with_temperature(temperature) : nullptr;
}

std::optional<double> softmax_temperature(const Op& op) {
  const auto* softmax_op = dynamic_cast<const Softmax*>(&op);
  return softmax_op != nullptr ? std::optional(softmax_op->temperature()) : std::nullopt;
}

}  // namespace headlight::ops
