// The new tokens' keys or values join the cache at their true places; what lay there before stays.
#include "core/ops/cache_places.h"
#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {

const kernels::InferenceKernels& inference_kernels(const StepMemory& memory) {
  const kernels::InferenceKernels* kernels = memory.backend.inference();
  if (kernels == nullptr) {
    fail("{} cannot run a program with a cache of keys and values; use --device cpu or --no-cache",
         memory.backend.description());
  }
  return *kernels;
}

namespace {

class CacheAppend final : public Op {
 public:
  explicit CacheAppend(bool keys) : keys_(keys) {}
  [[nodiscard]] std::string_view kind() const override { return "cache_append"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    const auto meaning = keys_ ? key : value;
    const std::string letter = keys_ ? "K" : "V";
    return {{letter, meaning}, {" cache = past places, then ", plain}, {letter, meaning}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape &cache = *in[0], &x = *in[1];
    if (cache.rank() != 4 || x.rank() != 4 || cache.size(0) != x.size(0) || cache.size(1) != x.size(2) ||
        cache.last() != x.last() || cache.size(2) < x.size(1)) {
      shape_error(kind(), in, "a cache [B,G,S,D] and x [B,T,G,D] with T ≤ S");
    }
    return {cache};
  }
  void run(const StepMemory& m) const override {
    const Shape &cache = *m.input_shapes[0], &x = *m.input_shapes[1];
    inference_kernels(m).cache_append(m.context(), m.out(0), m.in(1), m.tokens(2), m.tokens(3), x.size(0),
                                      x.size(1), x.size(2), cache.size(2), x.last());
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& x = run.program().buffer(step.inputs[1]).shape;
    const std::vector<int64_t> at = run.program().buffer(step.inputs[0]).shape.index(offset);  // b, g, j, d
    const Places places(run, step.inputs[2], step.inputs[3], at[0]);
    TermList terms(run, keys_ ? "K cache[j,d] = K[j − position, d] where new, else as it was"
                              : "V cache[j,d] = V[j − position, d] where new, else as it was");
    if (at[2] >= places.first && at[2] < places.used) {
      terms.product({{step.inputs[1], x.offset({at[0], at[2] - places.first, at[1], at[3]})}});
    } else {
      terms.product({{step.inputs[0], offset}});
    }
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }

 private:
  bool keys_;
};

}  // namespace

OpPtr cache_append(bool keys) { return std::make_shared<CacheAppend>(keys); }

}  // namespace headlight::ops
