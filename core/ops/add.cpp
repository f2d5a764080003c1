// Residual add. Its backward pass hands the gradient on unchanged to both sides.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

class Add final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "add"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Y", residual}, {" = a + b", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[0]->count() != in[1]->count()) shape_error(kind(), in, "two inputs of one size");
    return {*in[0]};
  }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.add_forward(m.context(), t.out(0), t.in(0), t.in(1), m.input_shapes[0]->count());
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    d.pass(step.inputs[0], dy);
    d.pass(step.inputs[1], dy);
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    TermList terms(run, "Y = a + b");
    terms.product({{step.inputs[0], offset}});
    terms.product({{step.inputs[1], offset}});
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }
};

}  // namespace

OpPtr add() { return std::make_shared<Add>(); }

}  // namespace headlight::ops
