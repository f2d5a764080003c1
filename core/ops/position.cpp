// Learned position embedding: row t of its table, the same for every sequence of the batch.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// (dy [B,T,C], table [P,C] for its shape) → dtable [P,C]
class PositionGrad final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "position_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dP[t]", gradient}, {" = Σ", plain}, {"b", muted}, {" dX[b,t]", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[1]};
  }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    const Shape& dy = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.position_backward(m.context(), m.out(0), t.in(0), dy.size(0), dy.size(1), dy.size(2),
                                  m.input_shapes[1]->size(0));
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& dy = run.program().buffer(step.inputs[0]).shape;
    const int64_t B = dy.size(0), T = dy.size(1), C = dy.size(2);
    TermList terms(run, "dP[t,c] = Σ_b dX[b,t,c]");
    if (offset / C < T) {
      for (int64_t b = 0; b < B; ++b) terms.product({{step.inputs[0], b * T * C + offset}});
    }
    return terms.finish();
  }
};

class Position final : public Op {
 public:
  Position(int64_t B, int64_t T) : B_(B), T_(T) {}
  [[nodiscard]] std::string_view kind() const override { return "position"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"P", position}, {" = position[0 … T)", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[0]->rank() != 2 || in[0]->size(0) < T_) shape_error(kind(), in, "a table [P,C] with P ≥ T");
    return {{{"B", B_}, {"T", T_}, (*in[0])[1]}};
  }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.position_forward(m.context(), t.out(0), t.in(0), B_, T_, m.input_shapes[0]->last());
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    d.contribute(step, std::make_shared<PositionGrad>(), {dy, step.inputs[0]}, {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t C = run.program().buffer(step.outputs[0]).shape.last();
    TermList terms(run, "P[t,c] = position[t,c]");
    terms.product({{step.inputs[0], offset % (T_ * C)}});
    return terms.finish();
  }

 private:
  int64_t B_, T_;
};

}  // namespace

OpPtr position(int64_t B, int64_t T) { return std::make_shared<Position>(B, T); }

}  // namespace headlight::ops
