// The last real token of each sequence: the only one whose logits a decode program computes.
#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

class LastToken final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "last_token"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Y", plain}, {" = X[last token]", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[0]->rank() != 3 || in[1]->count() != in[0]->size(0))
      shape_error(kind(), in, "x [B,T,C] and counts [B]");
    return {{(*in[0])[0], {"T", 1}, (*in[0])[2]}};
  }
  void run(const StepMemory& m) const override {
    const Shape& x = *m.input_shapes[0];
    inference_kernels(m).last_rows(m.context(), m.out(0), m.in(0), m.tokens(1), x.size(0), x.size(1),
                                   x.size(2));
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& x = run.program().buffer(step.inputs[0]).shape;
    const int64_t b = offset / x.last();
    const auto count = static_cast<int64_t>(run.value(step.inputs[1], b));
    TermList terms(run, "Y[c] = X[last token, c]");
    terms.product({{step.inputs[0], x.offset({b, std::max<int64_t>(count, 1) - 1, offset % x.last()})}});
    return terms.finish();
  }
};

}  // namespace

OpPtr last_token() { return std::make_shared<LastToken>(); }

}  // namespace headlight::ops
