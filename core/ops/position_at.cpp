// Learned position embedding at the true places of new tokens.
#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

class PositionAt final : public Op {
 public:
  explicit PositionAt(int64_t T) : T_(T) {}
  [[nodiscard]] std::string_view kind() const override { return "position_at"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"P", position}, {" = position[places of the new tokens]", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[0]->rank() != 2 || in[1]->rank() != 1) shape_error(kind(), in, "a table [P,C] and positions [B]");
    return {{(*in[1])[0], {"T", T_}, (*in[0])[1]}};
  }
  void run(const StepMemory& m) const override {
    inference_kernels(m).position_at(m.context(), m.out(0), m.in(0), m.tokens(1), m.input_shapes[1]->count(),
                                     T_, m.input_shapes[0]->last(), m.input_shapes[0]->size(0));
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& table = run.program().buffer(step.inputs[0]).shape;
    const std::vector<int64_t> at = run.program().buffer(step.outputs[0]).shape.index(offset);  // b, t, c
    const auto first = static_cast<int64_t>(run.value(step.inputs[1], at[0]));
    TermList terms(run, "P[t,c] = position[first + t, c]");
    terms.product({{step.inputs[0], table.offset({std::min(first + at[1], table.size(0) - 1), at[2]})}});
    return terms.finish();
  }

 private:
  int64_t T_;
};

}  // namespace

OpPtr position_at(int64_t T) { return std::make_shared<PositionAt>(T); }

}  // namespace headlight::ops
