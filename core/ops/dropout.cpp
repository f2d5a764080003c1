// Inverted dropout (Srivastava et al. 2014), seeded: which elements stay depends on the run's seed, the
// layer's salt and the element's place alone. Its gradient is the same function of dy.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

class Dropout final : public Op {
 public:
  Dropout(double p, uint64_t salt, bool is_gradient) : p_(p), salt_(salt), is_gradient_(is_gradient) {}
  [[nodiscard]] std::string_view kind() const override { return is_gradient_ ? "dropout_grad" : "dropout"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    const std::string rule = fmt::format(" ∕ (1 − {0:.2g}) where kept, else 0 (p = {0:.2g})", p_);
    if (is_gradient_) return {{"dX", gradient}, {" = dY" + rule, plain}};
    return {{"Y", plain}, {" = X" + rule, plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[0]};
  }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.dropout(m.context(), t.out(0), t.in(0), static_cast<float>(p_),
                        static_cast<const uint64_t*>(m.inputs[1]), salt_, m.input_shapes[0]->count());
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    d.contribute(step, std::make_shared<Dropout>(p_, salt_, true), {dy, step.inputs[1]}, {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    TermList terms(
        run, is_gradient_ ? "dX = dY / (1 − p) where kept, else 0" : "Y = X / (1 − p) where kept, else 0");
    // Whether a cell was kept is read off the output: a kept non-zero input cannot give 0.
    if (run.value(step.outputs[0], offset) != 0.0)
      terms.product({{step.inputs[0], offset}}, 1.0 / (1.0 - p_));
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }

 private:
  double p_;
  uint64_t salt_;
  bool is_gradient_;
};

}  // namespace

OpPtr dropout(double p, uint64_t salt) { return std::make_shared<Dropout>(p, salt, false); }

}  // namespace headlight::ops
