// Matrix product with an optional bias, y = x·W + b, and its three gradients as steps of their own. The
// weight lies as [in,out] (GPT-2's Conv1D) or, for a tied unembedding, as [out,in].
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/ops/training.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

using kernels::WeightLayout;

struct Sizes {
  int64_t R, in, out;
};

Sizes sizes_of(const Shape& x, const Shape& w, WeightLayout layout) {
  const int64_t in = layout == WeightLayout::in_out ? w.size(0) : w.size(1);
  const int64_t out = layout == WeightLayout::in_out ? w.size(1) : w.size(0);
  return {x.count() / in, in, out};
}

int64_t weight_offset(WeightLayout layout, const Sizes& s, int64_t in, int64_t out) {
  return layout == WeightLayout::in_out ? in * s.out + out : out * s.in + in;
}

/// (dy [..,out], W, x for its shape) → dx
class LinearGradInput final : public Op {
 public:
  explicit LinearGradInput(WeightLayout layout) : layout_(layout) {}
  [[nodiscard]] std::string_view kind() const override { return "linear_grad_input"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dX", gradient}, {" = dY Wᵀ", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[2]};
  }
  void run(const StepMemory& m) const override {
    const Sizes s = sizes_of(*m.input_shapes[2], *m.input_shapes[1], layout_);
    m.typed([&](const auto& t) {
      t.kernels.linear_backward_input(m.context(), t.out(0), t.in(0), t.in(1), s.R, s.in, s.out, layout_);
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Program& p = run.program();
    const Sizes s = sizes_of(p.buffer(step.inputs[2]).shape, p.buffer(step.inputs[1]).shape, layout_);
    TermList terms(run, "dX[t,i] = Σ_o dY[t,o]·W[i,o]");
    for (int64_t o = 0; o < s.out; ++o) {
      terms.product({{step.inputs[0], offset / s.in * s.out + o},
                     {step.inputs[1], weight_offset(layout_, s, offset % s.in, o)}});
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[1]->count()) * static_cast<double>(in[0]->rows());
  }
  [[nodiscard]] WeightLayout layout() const { return layout_; }

 private:
  WeightLayout layout_;
};

/// (dy, x, W for its shape) → dW
class LinearGradWeight final : public Op {
 public:
  explicit LinearGradWeight(WeightLayout layout) : layout_(layout) {}
  [[nodiscard]] std::string_view kind() const override { return "linear_grad_weight"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dW", gradient}, {" = Xᵀ dY", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[2]};
  }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    const Sizes s = sizes_of(*m.input_shapes[1], *m.input_shapes[2], layout_);
    m.typed([&](const auto& t) {
      t.kernels.linear_backward_weight(m.context(), m.out(0), t.in(0), t.in(1), s.R, s.in, s.out, layout_);
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Program& p = run.program();
    const Sizes s = sizes_of(p.buffer(step.inputs[1]).shape, p.buffer(step.inputs[2]).shape, layout_);
    const bool in_out = layout_ == WeightLayout::in_out;
    const int64_t i = in_out ? offset / s.out : offset % s.in;
    const int64_t o = in_out ? offset % s.out : offset / s.in;
    TermList terms(run, "dW[i,o] = Σ_t X[t,i]·dY[t,o]");
    for (int64_t r = 0; r < s.R; ++r) {
      terms.product({{step.inputs[1], r * s.in + i}, {step.inputs[0], r * s.out + o}});
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[2]->count()) * static_cast<double>(in[0]->rows());
  }
  [[nodiscard]] WeightLayout layout() const { return layout_; }

 private:
  WeightLayout layout_;
};

/// (dy, bias for its shape) → dbias
class LinearGradBias final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "linear_grad_bias"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"db", gradient}, {" = Σ", plain}, {"t", muted}, {" dY[t]", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[1]};
  }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    const int64_t out = m.input_shapes[1]->count();
    m.typed([&](const auto& t) {
      t.kernels.linear_backward_bias(m.context(), m.out(0), t.in(0), m.input_shapes[0]->count() / out, out);
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t out = run.program().buffer(step.outputs[0]).shape.count();
    const int64_t R = run.program().buffer(step.inputs[0]).shape.count() / out;
    TermList terms(run, "db[o] = Σ_t dY[t,o]");
    for (int64_t r = 0; r < R; ++r) terms.product({{step.inputs[0], r * out + offset}});
    return terms.finish();
  }
};

class Linear final : public Op {
 public:
  explicit Linear(WeightLayout layout) : layout_(layout) {}
  [[nodiscard]] std::string_view kind() const override { return "linear"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Y", plain}, {layout_ == WeightLayout::in_out ? " = X W + b" : " = X Eᵀ", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[0];
    const size_t in_axis = layout_ == WeightLayout::in_out ? 0 : 1;
    if (in[1]->rank() != 2 || in[1]->size(in_axis) != x.last())
      shape_error(kind(), in, "x [..,in] and W [in,out]");
    std::vector<Axis> axes = x.axes();
    axes.back() = (*in[1])[1 - in_axis];
    return {Shape(axes)};
  }
  void run(const StepMemory& m) const override {
    const Sizes s = sizes_of(*m.input_shapes[0], *m.input_shapes[1], layout_);
    m.typed([&](const auto& t) {
      t.kernels.linear_forward(m.context(), t.out(0), t.in(0), t.in(1), t.in(2), s.R, s.in, s.out, layout_);
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    const BufferId x = step.inputs[0], w = step.inputs[1], bias = step.inputs[2];
    if (d.wants(x)) d.contribute(step, std::make_shared<LinearGradInput>(layout_), {dy, w, x}, {x});
    if (d.wants(w)) d.contribute(step, std::make_shared<LinearGradWeight>(layout_), {dy, x, w}, {w});
    if (d.wants(bias)) d.contribute(step, std::make_shared<LinearGradBias>(), {dy, bias}, {bias});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Program& p = run.program();
    const Sizes s = sizes_of(p.buffer(step.inputs[0]).shape, p.buffer(step.inputs[1]).shape, layout_);
    TermList terms(run, step.inputs[2] == no_buffer ? "Y[t,o] = Σ_i X[t,i]·W[i,o]"
                                                    : "Y[t,o] = Σ_i X[t,i]·W[i,o] + b[o]");
    for (int64_t i = 0; i < s.in; ++i) {
      terms.product({{step.inputs[0], offset / s.out * s.in + i},
                     {step.inputs[1], weight_offset(layout_, s, i, offset % s.out)}});
    }
    if (step.inputs[2] != no_buffer) terms.product({{step.inputs[2], offset % s.out}});
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[1]->count()) * static_cast<double>(in[0]->rows());
  }
  [[nodiscard]] WeightLayout layout() const { return layout_; }

 private:
  WeightLayout layout_;
};

}  // namespace

OpPtr linear(WeightLayout layout) { return std::make_shared<Linear>(layout); }

std::optional<WeightLayout> linear_layout(const Op& op) {
  if (const auto* product = dynamic_cast<const Linear*>(&op)) return product->layout();
  if (const auto* by_input = dynamic_cast<const LinearGradInput*>(&op)) return by_input->layout();
  if (const auto* by_weight = dynamic_cast<const LinearGradWeight*>(&op)) return by_weight->layout();
  return std::nullopt;
}

}  // namespace headlight::ops
