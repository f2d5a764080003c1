// Lays the heads side by side again: z [B,T,H,D] → [B,T,C]. Its gradient is the cut back into heads.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// Both directions move the same numbers; only shape and equation differ.
class HeadsMove : public Op {
 public:
  void run(const StepMemory& m) const override {
    const Shape& heads = m.input_shapes[0]->rank() == 4 ? *m.input_shapes[0] : *m.output_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.merge_heads(m.context(), t.out(0), t.in(0), heads.size(0), heads.size(1), heads.size(2),
                            heads.size(3));
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    TermList terms(run, "the same number, heads side by side");
    terms.product({{step.inputs[0], offset}});
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }
};

/// (d of merged [B,T,C], z [B,T,H,D] for its shape) → dz
class MergeHeadsGrad final : public HeadsMove {
 public:
  [[nodiscard]] std::string_view kind() const override { return "merge_heads_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"[dz₁ | … | dz_H]", gradient}, {" = dZ", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[1]};
  }
};

class MergeHeads final : public HeadsMove {
 public:
  [[nodiscard]] std::string_view kind() const override { return "merge_heads"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Z", attention}, {" = Concat(z₁ … z_H)", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& z = *in[0];
    if (z.rank() != 4) shape_error(kind(), in, "z [B,T,H,D]");
    return {{z[0], z[1], {"C", z.size(2) * z.size(3)}}};
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    d.contribute(step, std::make_shared<MergeHeadsGrad>(), {dy, step.inputs[0]}, {step.inputs[0]});
  }
};

}  // namespace

OpPtr merge_heads() { return std::make_shared<MergeHeads>(); }

}  // namespace headlight::ops
