// What attention reads out of the value cache.
#include "core/ops/cache_places.h"
#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

class CachedWeightedSum final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "cached_weighted_sum"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Z", attention}, {" = ", plain}, {"A", attention},
            {" ", plain},     {"V", value},   {",  V from the cache", muted}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape &p = *in[0], &v = *in[1];
    if (p.rank() != 4 || v.rank() != 4 || p.size(3) != v.size(2) || p.size(1) % v.size(1) != 0) {
      shape_error(kind(), in, "a pattern [B,H,T,S] and a cache [B,G,S,D]");
    }
    return {{p[0], {"T", p.size(2)}, p[1], v[3]}};
  }
  void run(const StepMemory& m) const override {
    const Shape &p = *m.input_shapes[0], &v = *m.input_shapes[1];
    inference_kernels(m).cached_weighted_sum(m.context(), m.out(0), m.in(0), m.in(1), m.tokens(2),
                                             m.tokens(3), p.size(0), p.size(2), p.size(1), v.size(1),
                                             v.size(2), v.last());
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& p = run.program().buffer(step.inputs[0]).shape;
    const Shape& v = run.program().buffer(step.inputs[1]).shape;
    const std::vector<int64_t> at = run.program().buffer(step.outputs[0]).shape.index(offset);  // b, i, h, d
    const Places places(run, step.inputs[2], step.inputs[3], at[0]);
    TermList terms(run, "Z[i,d] = Σ_j A[i,j]·V[j,d]");
    for (int64_t j = 0; j < places.seen(at[1]); ++j) {
      terms.product({{step.inputs[0], p.offset({at[0], at[2], at[1], j})},
                     {step.inputs[1], cache_offset(v, p.size(1), at[0], at[2], j, at[3])}});
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[0]->count()) * static_cast<double>(in[1]->last());
  }
};

}  // namespace

OpPtr cached_weighted_sum() { return std::make_shared<CachedWeightedSum>(); }

}  // namespace headlight::ops
