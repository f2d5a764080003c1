// Multiplication by a constant: the ÷√D of scaled dot-product attention.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

class Scale final : public Op {
 public:
  Scale(double factor, std::string text, bool is_gradient)
      : factor_(factor), text_(std::move(text)), is_gradient_(is_gradient) {}
  [[nodiscard]] std::string_view kind() const override { return is_gradient_ ? "scale_grad" : "scale"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    if (is_gradient_) return {{"dS", gradient}, {" = dS′ " + text_, plain}};
    return {{"S′", attention}, {" = S " + text_, plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[0]};
  }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.scale(m.context(), t.out(0), t.in(0), static_cast<float>(factor_),
                      m.input_shapes[0]->count());
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    d.contribute(step, std::make_shared<Scale>(factor_, text_, true), {dy}, {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    TermList terms(run, is_gradient_ ? "dS = dS′ " + text_ : "S′ = S " + text_);
    terms.product({{step.inputs[0], offset}}, static_cast<double>(static_cast<float>(factor_)));
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }

  [[nodiscard]] double factor() const { return factor_; }

 private:
  double factor_;
  std::string text_;
  bool is_gradient_;
};

}  // namespace

OpPtr scale(double factor, std::string factor_text) {
  return std::make_shared<Scale>(factor, std::move(factor_text), false);
}

std::optional<double> scale_factor(const Op& op) {
  const auto* scale_op = dynamic_cast<const Scale*>(&op);
  return scale_op != nullptr ? std::optional(scale_op->factor()) : std::nullopt;
}

}  // namespace headlight::ops
