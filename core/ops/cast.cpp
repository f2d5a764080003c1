// A value in another element type: a weight's 16-bit copy in a mixed program, or logits widened for the loss.
// Put in by the precision rewrite alone, behind differentiation, so that it has no backward rule.
#include "core/ops/ops.h"
#include "core/ops/terms.h"

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

 private:
  ElementType to_;
};

}  // namespace

OpPtr cast(ElementType to) { return std::make_shared<Cast>(to); }

}  // namespace headlight::ops
