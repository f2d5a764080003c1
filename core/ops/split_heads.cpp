// Cuts the fused qkv projection into queries, keys and values, and each of them into H heads.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// (dq, dk, dv [B,T,H,D]) → dqkv [B,T,3C]
class SplitHeadsGrad final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "split_heads_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dQKV", gradient}, {" = [dQ | dK | dV]", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& q = *in[0];
    return {{q[0], q[1], {"3C", 3 * q.size(2) * q.size(3)}}};
  }
  void run(const StepMemory& m) const override {
    const Shape& q = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.split_heads_backward(m.context(), t.out(0), t.in(0), t.in(1), t.in(2), q.size(0), q.size(1),
                                     q.size(2), q.size(3));
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t C = run.program().buffer(step.outputs[0]).shape.last() / 3;
    const int64_t row = offset / (3 * C), column = offset % (3 * C);
    TermList terms(run, "dQKV[t] = [dQ[t] | dK[t] | dV[t]]");
    terms.product({{step.inputs[static_cast<size_t>(column / C)], row * C + column % C}});
    return terms.finish();
  }
};

class SplitHeads final : public Op {
 public:
  explicit SplitHeads(int64_t H) : H_(H) {}
  [[nodiscard]] std::string_view kind() const override { return "split_heads"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"[", plain},
            {"Q", query},
            {" | ", muted},
            {"K", key},
            {" | ", muted},
            {"V", value},
            {"] = QKV,  each into H = " + std::to_string(H_) + " heads", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[0];
    if (x.rank() != 3 || x.last() % (3 * H_) != 0) shape_error(kind(), in, "qkv [B,T,3·H·D]");
    const Shape one{x[0], x[1], {"H", H_}, {"D", x.last() / 3 / H_}};
    return {one, one, one};
  }
  void run(const StepMemory& m) const override {
    const Shape& q = *m.output_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.split_heads_forward(m.context(), t.out(0), t.out(1), t.out(2), t.in(0), q.size(0), q.size(1),
                                    q.size(2), q.size(3));
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    std::vector<BufferId> gradients;
    for (const BufferId output : step.outputs) gradients.push_back(d.gradient(output));
    if (gradients[0] == no_buffer) return;
    d.contribute(step, std::make_shared<SplitHeadsGrad>(), gradients, {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const int64_t C = run.program().buffer(step.inputs[0]).shape.last() / 3;
    TermList terms(run, "Q, K, V = the three thirds of QKV, head by head");
    terms.product({{step.inputs[0], offset / C * 3 * C + static_cast<int64_t>(output) * C + offset % C}});
    return terms.finish();
  }

 private:
  int64_t H_;
};

}  // namespace

OpPtr split_heads(int64_t H) { return std::make_shared<SplitHeads>(H); }

}  // namespace headlight::ops
