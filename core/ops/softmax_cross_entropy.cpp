// Softmax and cross-entropy in one step over the logits: what the fusing rewrite puts in place of the two.
// The probabilities are never stored; the gradient is softmax(logits) − onehot(target).
#include <algorithm>
#include <cmath>

#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// (dloss, logits, lse, targets) → dlogits
class SoftmaxCrossEntropyGrad final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "softmax_cross_entropy_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dlogits", gradient}, {" = (softmax(logits) − onehot(target)) ∕ N", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[1]};
  }
  [[nodiscard]] bool follows_element(size_t input) const override { return input == 1; }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.softmax_cross_entropy_backward(m.context(), t.out(0), m.in(0), t.in(1), m.in(2), m.tokens(3),
                                               m.input_shapes[1]->rows(), m.input_shapes[1]->last());
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t V = run.program().buffer(step.outputs[0]).shape.last();
    const auto target = static_cast<int64_t>(run.value(step.inputs[3], offset / V));
    TermList terms(run, "dlogits[t,v] = (e^(logits[t,v] − lse[t]) − [v = target]) / N");
    if (target < 0) return terms.finish();
    const auto N = static_cast<double>(counted_rows(run, step.inputs[3]));
    const CellRef logit{step.inputs[1], offset}, lse{step.inputs[2], offset / V}, dloss{step.inputs[0], 0};
    terms.function({logit, lse, dloss},
                   std::exp(terms.read(logit) - terms.read(lse)) / N * terms.read(dloss));
    if (target == offset % V) terms.product({dloss}, -1.0 / N);
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 1; }
};

class SoftmaxCrossEntropy final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "softmax_cross_entropy"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"loss", logits},   {" = 1 ∕ N Σ", plain}, {"t", muted},
            {" (log Σ", plain}, {"v", muted},          {" e^logits − logits[target])", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[0];
    if (x.rank() != 3 || in[1]->count() != x.rows())
      shape_error(kind(), in, "logits [B,T,V] and targets [B,T]");
    return {Shape{}, {x[0], x[1]}, {x[0], x[1]}};
  }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.softmax_cross_entropy_forward(m.context(), m.out(0), m.out(1), m.out(2), t.in(0), m.tokens(1),
                                              m.input_shapes[0]->rows(), m.input_shapes[0]->last());
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dloss = d.gradient(step.outputs[0]);
    if (dloss == no_buffer) return;
    d.contribute(step, std::make_shared<SoftmaxCrossEntropyGrad>(),
                 {dloss, step.inputs[0], step.outputs[2], step.inputs[1]}, {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const int64_t V = run.program().buffer(step.inputs[0]).shape.last();
    const auto target = [&](int64_t r) { return static_cast<int64_t>(run.value(step.inputs[1], r)); };
    if (output == 0) {
      return mean_loss_terms(run, step.inputs[1], step.outputs[1]);
    }
    if (output == 1) {
      TermList terms(run, "loss[t] = lse[t] − logits[t, target]");
      if (const int64_t v = target(offset); v >= 0) {
        terms.product({{step.outputs[2], offset}});
        terms.product({{step.inputs[0], offset * V + v}}, -1.0);
      }
      return terms.finish();
    }
    double maximum = run.value(step.inputs[0], offset * V);
    for (int64_t v = 1; v < V; ++v) maximum = std::max(maximum, run.value(step.inputs[0], offset * V + v));
    double sum = 0;
    std::vector<CellRef> row;
    for (int64_t v = 0; v < V; ++v) {
      row.push_back({step.inputs[0], offset * V + v});
      sum += std::exp(run.value(step.inputs[0], offset * V + v) - maximum);
    }
    TermList terms(run, "lse[t] = log Σ_v e^logits[t,v]");
    terms.function(row, maximum + std::log(sum));
    return terms.finish();
  }
};

}  // namespace

OpPtr softmax_cross_entropy() { return std::make_shared<SoftmaxCrossEntropy>(); }

}  // namespace headlight::ops
