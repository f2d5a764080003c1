// Attention scores of new tokens against every place of the key cache.
#include "core/ops/cache_places.h"
#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

class CachedScores final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "cached_scores"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"S", attention}, {" = ", plain}, {"Q", query},
            {"K", key},       {"ᵀ", plain},   {",  K from the cache", muted}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape &q = *in[0], &k = *in[1];
    if (q.rank() != 4 || k.rank() != 4 || q.last() != k.last() || q.size(2) % k.size(1) != 0) {
      shape_error(kind(), in, "q [B,T,H,D] and a cache [B,G,S,D]");
    }
    return {{q[0], q[2], {"Tq", q.size(1)}, {"S", k.size(2)}}};
  }
  void run(const StepMemory& m) const override {
    const Shape &q = *m.input_shapes[0], &k = *m.input_shapes[1];
    inference_kernels(m).cached_scores(m.context(), m.out(0), m.in(0), m.in(1), m.tokens(2), m.tokens(3),
                                       q.size(0), q.size(1), q.size(2), k.size(1), k.size(2), q.last());
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& q = run.program().buffer(step.inputs[0]).shape;
    const Shape& k = run.program().buffer(step.inputs[1]).shape;
    const std::vector<int64_t> at = run.program().buffer(step.outputs[0]).shape.index(offset);  // b, h, i, j
    TermList terms(run, "S[i,j] = Σ_d Q[i,d]·K[j,d], 0 where no token lies");
    if (at[3] < Places(run, step.inputs[2], step.inputs[3], at[0]).used) {
      for (int64_t d = 0; d < q.last(); ++d) {
        terms.product({{step.inputs[0], q.offset({at[0], at[2], at[1], d})},
                       {step.inputs[1], cache_offset(k, q.size(2), at[0], at[1], at[3], d)}});
      }
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[0]->count()) * static_cast<double>(in[1]->size(2));
  }
};

}  // namespace

OpPtr cached_scores() { return std::make_shared<CachedScores>(); }

}  // namespace headlight::ops
