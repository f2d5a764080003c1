// The causal mask over a cache: a query sees the places up to its own.
#include <limits>

#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

class CachedMask final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "cached_mask"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"S″", attention}, {" = S′ + M", plain}, {",   M = −∞ for j > position + i", muted}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[0]->rank() != 4 || in[1]->count() != in[0]->size(0)) shape_error(kind(), in, "scores [B,H,T,S]");
    return {*in[0]};
  }
  void run(const StepMemory& m) const override {
    const Shape& s = *m.input_shapes[0];
    inference_kernels(m).cached_mask(m.context(), m.out(0), m.in(0), m.tokens(1), s.size(0), s.size(1),
                                     s.size(2), s.size(3));
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const std::vector<int64_t> at = run.program().buffer(step.outputs[0]).shape.index(offset);  // b, h, i, j
    TermList terms(run, "S″[i,j] = S′[i,j] where j ≤ position + i, −∞ where masked");
    if (at[3] <= static_cast<int64_t>(run.value(step.inputs[1], at[0])) + at[2]) {
      terms.product({{step.inputs[0], offset}});
    } else {
      terms.constant(-std::numeric_limits<double>::infinity());
    }
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }
};

}  // namespace

OpPtr cached_mask() { return std::make_shared<CachedMask>(); }

}  // namespace headlight::ops
