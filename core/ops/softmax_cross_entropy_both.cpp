// The loss of the logits together with its gradient, which needs no more of them than the loss does. The
// log-sum-exp of a row is never stored.
#include <algorithm>
#include <cmath>

#include "core/ops/terms.h"
#include "core/ops/training.h"

namespace headlight::ops {
namespace {

enum Input : size_t { kLogits, kTargets, kDloss };
enum Output : size_t { kLoss, kLossRow, kDlogits };

class SoftmaxCrossEntropyBoth final : public Op {
 public:
  explicit SoftmaxCrossEntropyBoth(int64_t pitch) : pitch_(pitch) {}
  [[nodiscard]] std::string_view kind() const override { return "softmax_cross_entropy_both"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"loss", logits},      {" = 1 ∕ N Σ", plain},
            {"t", muted},          {" −log p[target],  ", plain},
            {"dlogits", gradient}, {" = (p − onehot(target)) ∕ N,  p = softmax(logits)", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[kLogits];
    if (x.rank() != 3 || in[kTargets]->count() != x.rows())
      shape_error(kind(), in, "logits [B,T,V] and targets [B,T]");
    return {Shape{}, {x[0], x[1]}, x};
  }
  [[nodiscard]] bool follows_element(size_t input) const override { return input == kLogits; }
  [[nodiscard]] ElementType output_type(size_t output, ElementType element) const override {
    return output == kDlogits ? element : ElementType::f32;
  }
  [[nodiscard]] int64_t output_pitch(size_t output) const override { return output == kDlogits ? pitch_ : 0; }
  [[nodiscard]] int64_t input_pitch(size_t input) const override { return input == kLogits ? pitch_ : 0; }
  void run(const StepMemory& m) const override {
    const Shape& x = *m.input_shapes[kLogits];
    m.typed([&](const auto& t) {
      training_kernels(m, t).softmax_cross_entropy_both(
          m.context(), m.out(kLoss), m.out(kLossRow), t.out(kDlogits), m.in(kDloss), t.in(kLogits),
          m.tokens(kTargets), x.rows(), x.last(), pitch_ == 0 ? x.last() : pitch_);
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    if (output == kLoss) return mean_loss_terms(run, step.inputs[kTargets], step.outputs[kLossRow]);
    const int64_t V = run.program().buffer(step.inputs[kLogits]).shape.last();
    const int64_t r = output == kDlogits ? offset / V : offset;
    const auto target = static_cast<int64_t>(run.value(step.inputs[kTargets], r));
    TermList terms(run, output == kDlogits
                            ? "dlogits[t,v] = (e^logits[t,v] / Σ_k e^logits[t,k] − [v = target]) / N"
                            : "loss[t] = log Σ_v e^logits[t,v] − logits[t, target]");
    if (target < 0) return terms.finish();
    std::vector<CellRef> row;
    double top = -INFINITY, sum = 0;
    for (int64_t v = 0; v < V; ++v) {
      row.push_back({step.inputs[kLogits], r * V + v});
      top = std::max(top, terms.read(row.back()));
    }
    for (const CellRef& cell : row) sum += std::exp(terms.read(cell) - top);
    const double lse = top + std::log(sum);
    if (output == kLossRow) {
      const CellRef at_target = row[static_cast<size_t>(target)];
      terms.function(std::move(row), lse);
      terms.product({at_target}, -1.0);
      return terms.finish();
    }
    const auto N = static_cast<double>(counted_rows(run, step.inputs[kTargets]));
    const CellRef logit{step.inputs[kLogits], offset}, dloss{step.inputs[kDloss], 0};
    row.insert(row.begin(), logit);
    row.push_back(dloss);
    terms.function(std::move(row), std::exp(terms.read(logit) - lse) / N * terms.read(dloss));
    if (target == offset % V) terms.product({dloss}, -1.0 / N);
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t output) const override {
    return output == kDlogits ? static_cast<int>(kLogits) : -1;
  }

 private:
  int64_t pitch_;
};

}  // namespace

OpPtr softmax_cross_entropy_both(int64_t pitch) { return std::make_shared<SoftmaxCrossEntropyBoth>(pitch); }

}  // namespace headlight::ops
