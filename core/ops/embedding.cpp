// Token embedding: row tokens[b,t] of the table. Used by the builder as the first step.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// (dy [B,T,C], tokens [B,T], table [V,C], what other consumers contributed [V,C] or none) → dtable [V,C].
/// The table is there for its shape.
class EmbeddingGrad final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "embedding_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dE[v]", gradient}, {" = Σ dX[t] over tokens t = v", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[2]};
  }
  [[nodiscard]] bool follows_element(size_t input) const override { return input != 3; }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.embedding_backward(m.context(), m.out(0), m.in(3), t.in(0), m.tokens(1),
                                   m.input_shapes[1]->count(), m.input_shapes[2]->size(1),
                                   m.input_shapes[2]->size(0));
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t C = run.program().buffer(step.outputs[0]).shape.last();
    TermList terms(run, "dE[v,c] = Σ dX[t,c] over tokens t = v");
    if (step.inputs[3] != no_buffer) terms.product({{step.inputs[3], offset}});
    const int64_t rows = run.program().buffer(step.inputs[1]).shape.count();
    for (int64_t r = 0; r < rows; ++r) {
      if (run.value(step.inputs[1], r) == static_cast<double>(offset / C)) {
        terms.product({{step.inputs[0], r * C + offset % C}});
      }
    }
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 3; }
};

class Embedding final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "embedding"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"X", residual}, {" = E[token]", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[0]->rank() != 2 || in[1]->rank() != 2) shape_error(kind(), in, "tokens [B,T] and a table [V,C]");
    return {{(*in[0])[0], (*in[0])[1], (*in[1])[1]}};
  }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.embedding_forward(m.context(), t.out(0), m.tokens(0), t.in(1), m.input_shapes[0]->count(),
                                  m.input_shapes[1]->last());
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer || !d.wants(step.inputs[1])) return;
    // A tied table already has the unembedding's part; adding onto it saves a pass over [V,C].
    const BufferId partial = d.take_partial(step.inputs[1]);
    d.contribute(step, std::make_shared<EmbeddingGrad>(), {dy, step.inputs[0], step.inputs[1], partial},
                 {step.inputs[1]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t C = run.program().buffer(step.outputs[0]).shape.last();
    const auto token = static_cast<int64_t>(run.value(step.inputs[0], offset / C));
    TermList terms(run, "X[t,c] = E[token t, c]");
    terms.product({{step.inputs[1], token * C + offset % C}});
    return terms.finish();
  }
};

}  // namespace

OpPtr embedding() { return std::make_shared<Embedding>(); }

}  // namespace headlight::ops
