// A value in another element type: a weight's 16-bit copy in a mixed program, or logits widened for the loss.
// Put in by the precision rewrite alone, behind differentiation, so that it has no backward rule.
#include "core/ops/terms.h"
#include "core/ops/training.h"

namespace headlight::ops {
namespace {

/// The nearest value of `type`.
double rounded(double value, ElementType type) {
  const auto single = static_cast<float>(value);
  switch (type) {
    case ElementType::bf16:
      return static_cast<double>(kernels::to_float(kernels::from_float<kernels::bfloat16>(single)));
    case ElementType::f16:
      return static_cast<double>(kernels::to_float(kernels::from_float<kernels::float16>(single)));
    default:
      return static_cast<double>(single);
  }
}

/// (x) → x in another type
class Cast final : public Op {
 public:
  explicit Cast(ElementType to) : to_(to) {}
  [[nodiscard]] std::string_view kind() const override { return "cast"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    const std::string name(element_name(to_));
    if (to_ == ElementType::f32) return {{"Y", plain}, {" = X in " + name, plain}};
    return {{"Y", plain}, {" = X rounded to " + name, plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[0]};
  }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return to_; }
  void run(const StepMemory& m) const override {
    const int64_t n = m.input_shapes[0]->count();
    if (to_ == ElementType::f32) {
      m.typed([&](const auto& t) { t.kernels.widen(m.context(), m.out(0), t.in(0), n); });
    } else {
      StepMemory target = m;
      target.element = to_;
      target.typed([&](const auto& t) { t.kernels.narrow(m.context(), t.out(0), m.in(0), n); });
    }
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const CellRef x{step.inputs[0], offset};
    TermList terms(run, fmt::format("Y = {}(X)", element_name(to_)));
    terms.function({x}, rounded(terms.read(x), to_));
    return terms.finish();
  }
  [[nodiscard]] ElementType to() const { return to_; }

 private:
  ElementType to_;
};

/// Casts of many weights to one 16-bit type as one step.
class CastAll final : public Op {
 public:
  CastAll(OpPtr cast, std::vector<int64_t> spares)
      : cast_(std::move(cast)), to_(*cast_target(*cast_)), spares_(std::move(spares)) {}
  [[nodiscard]] std::string_view kind() const override { return "cast_all"; }
  [[nodiscard]] Equation equation() const override { return cast_->equation(); }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    std::vector<Shape> shapes;
    for (const Shape* shape : in) shapes.push_back(*shape);
    return shapes;
  }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return to_; }
  [[nodiscard]] int64_t output_spare(size_t output) const override { return spares_[output]; }
  void run(const StepMemory& m) const override {
    StepMemory target = m;
    target.element = to_;
    target.typed([&](const auto& t) {
      using E = typename std::decay_t<decltype(t)>::Element;
      std::vector<kernels::NarrowedTensor<E>> tensors;
      for (size_t i = 0; i < m.inputs.size(); ++i)
        tensors.push_back({t.out(i), m.in(i), m.input_shapes[i]->count()});
      for (size_t i = 0; i < spares_.size(); ++i) {
        if (spares_[i] > 0)
          m.backend.clear(t.out(i) + tensors[i].n, static_cast<size_t>(spares_[i]) * sizeof(E));
      }
      training_kernels(m, t).narrow_all(m.context(), tensors);
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    Step one;
    one.inputs = {step.inputs[output]};
    return cast_->explain(run, one, 0, offset);
  }

 private:
  OpPtr cast_;
  ElementType to_;
  std::vector<int64_t> spares_;
};

}  // namespace

std::optional<ElementType> cast_target(const Op& op) {
  const auto* one = dynamic_cast<const Cast*>(&op);
  return one != nullptr ? std::optional(one->to()) : std::nullopt;
}

OpPtr cast_all(OpPtr cast, std::vector<int64_t> spares) {
  return std::make_shared<CastAll>(std::move(cast), std::move(spares));
}

OpPtr cast(ElementType to) { return std::make_shared<Cast>(to); }

}  // namespace headlight::ops
