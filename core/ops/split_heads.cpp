// Cuts the fused qkv projection into queries, keys and values, and these into heads: H of queries, H_kv of
// keys and of values.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// Where the parts of a row of qkv begin.
struct Parts {
  int64_t C, K;  ///< elements of a token's queries, and of its keys or values
  Parts(int64_t H, int64_t H_kv, int64_t D) : C(H * D), K(H_kv * D) {}
  [[nodiscard]] int64_t row() const { return C + 2 * K; }
  [[nodiscard]] int64_t begin(size_t part) const { return part == 0 ? 0 : part == 1 ? C : C + K; }
  [[nodiscard]] int64_t width(size_t part) const { return part == 0 ? C : K; }
};

/// "3C", or "C+2K" where there are fewer heads of keys.
std::string_view packed_letter(int64_t H, int64_t H_kv) { return H == H_kv ? "3C" : "C+2K"; }

/// (dq [B,T,H,D], dk, dv [B,T,H_kv,D]) → dqkv [B,T,(H+2·H_kv)·D]
class SplitHeadsGrad final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "split_heads_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dQKV", gradient}, {" = [dQ | dK | dV]", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& q = *in[0];
    const int64_t H = q.size(2), H_kv = in[1]->size(2);
    return {{q[0], q[1], {packed_letter(H, H_kv), Parts(H, H_kv, q.size(3)).row()}}};
  }
  void run(const StepMemory& m) const override {
    const Shape& q = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.split_heads_backward(m.context(), t.out(0), t.in(0), t.in(1), t.in(2), q.size(0), q.size(1),
                                     q.size(2), m.input_shapes[1]->size(2), q.size(3));
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape &q = run.program().buffer(step.inputs[0]).shape,
                &k = run.program().buffer(step.inputs[1]).shape;
    const Parts parts(q.size(2), k.size(2), q.size(3));
    const int64_t row = offset / parts.row(), column = offset % parts.row();
    const size_t part = column < parts.C ? 0 : column < parts.C + parts.K ? 1 : 2;
    TermList terms(run, "dQKV[t] = [dQ[t] | dK[t] | dV[t]]");
    terms.product({{step.inputs[part], row * parts.width(part) + column - parts.begin(part)}});
    return terms.finish();
  }
};

class SplitHeads final : public Op {
 public:
  SplitHeads(int64_t H, int64_t H_kv) : H_(H), H_kv_(H_kv) {}
  [[nodiscard]] std::string_view kind() const override { return "split_heads"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"[", plain},   {"Q", query}, {" | ", muted},      {"K", key},
            {" | ", muted}, {"V", value}, {"] = QKV,", plain}, {heads_text(), plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[0];
    if (x.rank() != 3 || x.last() % (H_ + 2 * H_kv_) != 0) {
      shape_error(kind(), in, "qkv [B,T,(H+2·H_kv)·D]");
    }
    const Axis D{"D", x.last() / (H_ + 2 * H_kv_)};
    const Shape key{x[0], x[1], {H_ == H_kv_ ? "H" : "G", H_kv_}, D};
    return {{x[0], x[1], {"H", H_}, D}, key, key};
  }
  void run(const StepMemory& m) const override {
    const Shape& q = *m.output_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.split_heads_forward(m.context(), t.out(0), t.out(1), t.out(2), t.in(0), q.size(0), q.size(1),
                                    H_, H_kv_, q.size(3));
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
    const Parts parts(H_, H_kv_, run.program().buffer(step.outputs[0]).shape.last());
    const int64_t width = parts.width(output);
    TermList terms(run, H_ == H_kv_ ? "Q, K, V = the three thirds of QKV, head by head"
                                    : "Q, K, V lie side by side in QKV, head by head");
    terms.product({{step.inputs[0], offset / width * parts.row() + parts.begin(output) + offset % width}});
    return terms.finish();
  }

 private:
  [[nodiscard]] std::string heads_text() const {
    if (H_ == H_kv_) return fmt::format("  each into H = {} heads", H_);
    return fmt::format("  {} heads of queries, {} of keys and values", H_, H_kv_);
  }

  int64_t H_, H_kv_;
};

}  // namespace

OpPtr split_heads(int64_t H, int64_t H_kv) { return std::make_shared<SplitHeads>(H, H_kv); }

}  // namespace headlight::ops
