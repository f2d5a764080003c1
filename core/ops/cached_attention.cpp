// Scores, scale, mask, softmax, weighted sum and merge of new tokens over the cache in one step; the scores
// are never stored.
#include <cmath>

#include "core/ops/cache_places.h"
#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

class CachedAttention final : public Op {
 public:
  explicit CachedAttention(double scale) : scale_(scale) {}
  [[nodiscard]] std::string_view kind() const override { return "cached_attention"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Z", attention},
            {" = softmax(", plain},
            {"Q", query},
            {"K", key},
            {fmt::format("ᵀ · {:.4g} + M) ", scale_), plain},
            {"V", value},
            {",  K and V from the cache", muted}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape &q = *in[0], &k = *in[1];
    if (q.rank() != 4 || k.rank() != 4 || !(*in[2] == k) || q.last() != k.last() ||
        q.size(2) % k.size(1) != 0) {
      shape_error(kind(), in, "q [B,T,H,D] and two caches [B,G,S,D]");
    }
    return {{q[0], q[1], {"C", q.size(2) * q.last()}}};
  }
  void run(const StepMemory& m) const override {
    const Shape &q = *m.input_shapes[0], &k = *m.input_shapes[1];
    inference_kernels(m).cached_attention(m.context(), m.out(0), m.in(0), m.in(1), m.in(2), m.tokens(3),
                                          m.tokens(4), static_cast<float>(scale_), q.size(0), q.size(1),
                                          q.size(2), k.size(1), k.size(2), q.last());
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& q = run.program().buffer(step.inputs[0]).shape;
    const Shape& k = run.program().buffer(step.inputs[1]).shape;
    const std::vector<int64_t> at = q.index(offset);  // b, i, h, d: z is q's shape with its heads merged
    const Places places(run, step.inputs[3], step.inputs[4], at[0]);
    TermList terms(run, "Z[i,d] = Σ_j e^(Q[i]·K[j]·scale − lse[i])·V[j,d]");
    if (places.first + at[1] >= places.used) return terms.finish();  // not a real token
    std::vector<double> scores;
    double top = -INFINITY, total = 0;
    for (int64_t j = 0; j < places.seen(at[1]); ++j) {
      double score = 0;
      for (int64_t d = 0; d < q.last(); ++d) {
        score += run.value(step.inputs[0], q.offset({at[0], at[1], at[2], d})) *
                 run.value(step.inputs[1], cache_offset(k, q.size(2), at[0], at[2], j, d));
      }
      scores.push_back(score * scale_);
      top = std::max(top, scores.back());
    }
    for (double& score : scores) total += score = std::exp(score - top);
    for (size_t j = 0; j < scores.size(); ++j) {
      const CellRef value{step.inputs[2],
                          cache_offset(k, q.size(2), at[0], at[2], static_cast<int64_t>(j), at[3])};
      terms.function({value}, scores[j] / total * terms.read(value));
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 4.0 * static_cast<double>(in[0]->count()) * static_cast<double>(in[1]->size(2));
  }
  [[nodiscard]] double scale() const { return scale_; }

 private:
  double scale_;
};

}  // namespace

OpPtr cached_attention(double scale) { return std::make_shared<CachedAttention>(scale); }

std::optional<double> cached_attention_scale(const Op& op) {
  const auto* attention = dynamic_cast<const CachedAttention*>(&op);
  return attention != nullptr ? std::optional(attention->scale()) : std::nullopt;
}

}  // namespace headlight::ops
