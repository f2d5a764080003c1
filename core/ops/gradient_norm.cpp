// The gradient's length and how much of it an update may use: Σ x² of each parameter's gradient, their root,
// and the clip factor min(1, max ∕ norm). A training gives a gate too: it closes at the first loss or
// gradient that is not finite, and nothing is updated through a closed gate, however late somebody looks.
#include <algorithm>
#include <cmath>

#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "kernels/training.h"

namespace headlight::ops {
namespace {

class SquaredNorms final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "squared_norms"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"‖dW‖²", gradient}, {" = Σ dW²,  for each parameter", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {{{"N", static_cast<int64_t>(in.size())}}};
  }
  [[nodiscard]] bool follows_element(size_t) const override { return false; }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    if (const kernels::TrainingKernels* joint = m.backend.training()) {
      std::vector<kernels::SquaredTensor> gradients;
      for (size_t i = 0; i < m.inputs.size(); ++i) gradients.push_back({m.in(i), m.input_shapes[i]->count()});
      joint->sums_of_squares(m.context(), m.out(0), gradients);
      return;
    }
    for (size_t i = 0; i < m.inputs.size(); ++i) {
      m.kernels().sum_of_squares(m.context(), m.out(0) + i, m.in(i), m.input_shapes[i]->count());
    }
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const BufferId source = step.inputs[static_cast<size_t>(offset)];
    TermList terms(run, "‖dW‖² = Σ dW²");
    const int64_t n = run.program().buffer(source).shape.count();
    for (int64_t i = 0; i < n; ++i) terms.product({{source, i}, {source, i}});
    return terms.finish();
  }
};

class Clip final : public Op {
 public:
  explicit Clip(double max_norm) : max_norm_(max_norm) {}
  [[nodiscard]] std::string_view kind() const override { return "clip"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    if (max_norm_ <= 0) return {{"‖dW‖", gradient}, {" = √Σ ‖dWᵢ‖²,  not clipped", plain}};
    return {{"‖dW‖", gradient},
            {fmt::format(" = √Σ ‖dWᵢ‖²,  clip = min(1, {:.3g} ∕ ‖dW‖)", max_norm_), plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return std::vector<Shape>(in.size() > 1 ? 3 : 2);
  }
  [[nodiscard]] int in_place_input(size_t output) const override { return output == 2 ? 2 : -1; }
  [[nodiscard]] bool follows_element(size_t) const override { return false; }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    const bool gated = m.inputs.size() > 1;
    m.kernels().clip_factor(m.context(), m.out(0), m.out(1), gated ? m.out(2) : nullptr, m.in(0),
                            gated ? m.in(1) : nullptr, gated ? m.in(2) : nullptr,
                            static_cast<float>(max_norm_), m.input_shapes[0]->count());
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t) const override {
    if (output == 2) {
      TermList terms(run, "gate: 1 while loss and ‖dW‖ are finite");
      terms.function({{step.outputs[0], 0}, {step.inputs[1], 0}}, run.value(step.outputs[2], 0));
      return terms.finish();
    }
    if (output == 1) {
      const CellRef norm{step.outputs[0], 0};
      TermList terms(run, "clip = min(1, max / ‖dW‖)");
      terms.function({norm}, max_norm_ > 0 ? std::min(1.0, max_norm_ / terms.read(norm)) : 1.0);
      return terms.finish();
    }
    TermList terms(run, "‖dW‖ = √(Σ_i ‖dW_i‖²)");
    const int64_t n = run.program().buffer(step.inputs[0]).shape.count();
    for (int64_t i = 0; i < n; ++i) terms.product({{step.inputs[0], i}});
    return terms.finish(CellTerms::Combine::root);
  }

 private:
  double max_norm_;
};

}  // namespace

OpPtr squared_norms() { return std::make_shared<SquaredNorms>(); }
OpPtr clip(double max_norm) { return std::make_shared<Clip>(max_norm); }

}  // namespace headlight::ops
