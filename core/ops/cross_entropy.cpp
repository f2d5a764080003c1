// Cross-entropy of the model's probabilities against the next token: the mean of −log p over the positions
// that have a target (target −1: not counted).
#include <cmath>

#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// (dloss, p, targets) → dp
class CrossEntropyGrad final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "cross_entropy_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dp", gradient}, {" = −1 ∕ (N·p) at the target, else 0", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[1]};
  }
  [[nodiscard]] bool follows_element(size_t input) const override { return input != 0; }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.cross_entropy_backward(m.context(), t.out(0), m.in(0), t.in(1), m.tokens(2),
                                       m.input_shapes[1]->rows(), m.input_shapes[1]->last());
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t V = run.program().buffer(step.outputs[0]).shape.last();
    TermList terms(run, "dp[t,v] = −dloss / (N·p[t,v]) where v is the target, else 0");
    if (run.value(step.inputs[2], offset / V) == static_cast<double>(offset % V)) {
      const CellRef p{step.inputs[1], offset}, dloss{step.inputs[0], 0};
      const auto N = static_cast<double>(counted_rows(run, step.inputs[2]));
      terms.function({p, dloss}, -terms.read(dloss) / (N * terms.read(p)));
    }
    return terms.finish();
  }
};

class CrossEntropy final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "cross_entropy"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"loss", logits}, {" = −1 ∕ N Σ", plain}, {"t", muted}, {" log p[t, target]", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& p = *in[0];
    if (p.rank() != 3 || in[1]->count() != p.rows()) shape_error(kind(), in, "p [B,T,V] and targets [B,T]");
    return {Shape{}, {p[0], p[1]}};
  }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.cross_entropy_forward(m.context(), m.out(0), m.out(1), t.in(0), m.tokens(1),
                                      m.input_shapes[0]->rows(), m.input_shapes[0]->last());
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dloss = d.gradient(step.outputs[0]);
    if (dloss == no_buffer) return;
    d.contribute(step, std::make_shared<CrossEntropyGrad>(), {dloss, step.inputs[0], step.inputs[1]},
                 {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const int64_t V = run.program().buffer(step.inputs[0]).shape.last();
    const auto target = [&](int64_t r) { return static_cast<int64_t>(run.value(step.inputs[1], r)); };
    if (output == 1) {
      TermList terms(run, "loss[t] = −log p[t, target]");
      if (const int64_t v = target(offset); v >= 0) {
        const CellRef p{step.inputs[0], offset * V + v};
        terms.function({p}, -std::log(terms.read(p)));
      }
      return terms.finish();
    }
    return mean_loss_terms(run, step.inputs[1], step.outputs[1]);
  }
};

}  // namespace

OpPtr cross_entropy() { return std::make_shared<CrossEntropy>(); }

}  // namespace headlight::ops
