// Attention scores: every query against every key, S = QKᵀ, for each head.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// Sizes of a [B,T,H,D] buffer and the way into it.
struct Heads {
  int64_t B, T, H, D;
  explicit Heads(const Shape& s) : B(s.size(0)), T(s.size(1)), H(s.size(2)), D(s.size(3)) {}
  [[nodiscard]] int64_t at(int64_t b, int64_t t, int64_t h, int64_t d) const {
    return ((b * T + t) * H + h) * D + d;
  }
  [[nodiscard]] int64_t plane(int64_t b, int64_t h, int64_t i, int64_t j) const {
    return ((b * H + h) * T + i) * T + j;
  }
};

/// (ds [B,H,T,T], the other side [B,T,H,D]) → dq (from k) or dk (from q)
class ScoresGrad final : public Op {
 public:
  explicit ScoresGrad(bool of_query) : of_query_(of_query) {}
  [[nodiscard]] std::string_view kind() const override {
    return of_query_ ? "scores_grad_query" : "scores_grad_key";
  }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    if (of_query_) return {{"dQ", gradient}, {" = dS ", plain}, {"K", key}};
    return {{"dK", gradient}, {" = dSᵀ ", plain}, {"Q", query}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[1]};
  }
  void run(const StepMemory& m) const override {
    const Heads s(*m.input_shapes[1]);
    if (of_query_) {
      m.typed([&](const auto& t) {
        t.kernels.scores_backward_query(m.context(), t.out(0), t.in(0), t.in(1), s.B, s.T, s.H, s.D);
      });
    } else {
      m.typed([&](const auto& t) {
        t.kernels.scores_backward_key(m.context(), t.out(0), t.in(0), t.in(1), s.B, s.T, s.H, s.D);
      });
    }
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& shape = run.program().buffer(step.outputs[0]).shape;
    const Heads s(shape);
    const std::vector<int64_t> at = shape.index(offset);  // b, t, h, d
    TermList terms(run, of_query_ ? "dQ[i,d] = Σ_j dS[i,j]·K[j,d]" : "dK[j,d] = Σ_i dS[i,j]·Q[i,d]");
    for (int64_t t = 0; t < s.T; ++t) {
      const int64_t cell = of_query_ ? s.plane(at[0], at[2], at[1], t) : s.plane(at[0], at[2], t, at[1]);
      terms.product({{step.inputs[1], s.at(at[0], t, at[2], at[3])}, {step.inputs[0], cell}});
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[0]->count()) * static_cast<double>(in[1]->last());
  }

 private:
  bool of_query_;
};

class Scores final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "scores"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"S", attention}, {" = ", plain}, {"Q", query}, {"K", key}, {"ᵀ", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& q = *in[0];
    if (q.rank() != 4 || in[1]->count() != q.count()) shape_error(kind(), in, "q and k [B,T,H,D]");
    return {{q[0], q[2], {"Tq", q.size(1)}, {"Tk", q.size(1)}}};
  }
  void run(const StepMemory& m) const override {
    const Heads s(*m.input_shapes[0]);
    m.typed([&](const auto& t) {
      t.kernels.scores_forward(m.context(), t.out(0), t.in(0), t.in(1), s.B, s.T, s.H, s.D);
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId ds = d.gradient(step.outputs[0]);
    if (ds == no_buffer) return;
    d.contribute(step, std::make_shared<ScoresGrad>(true), {ds, step.inputs[1]}, {step.inputs[0]});
    d.contribute(step, std::make_shared<ScoresGrad>(false), {ds, step.inputs[0]}, {step.inputs[1]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Heads s(run.program().buffer(step.inputs[0]).shape);
    const std::vector<int64_t> at = run.program().buffer(step.outputs[0]).shape.index(offset);  // b, h, i, j
    TermList terms(run, "S[i,j] = Σ_d Q[i,d]·K[j,d]");
    for (int64_t d = 0; d < s.D; ++d) {
      terms.product(
          {{step.inputs[0], s.at(at[0], at[2], at[1], d)}, {step.inputs[1], s.at(at[0], at[3], at[1], d)}});
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    const Heads s(*in[0]);
    return 2.0 * static_cast<double>(in[0]->count()) * static_cast<double>(s.T);
  }
};

}  // namespace

OpPtr scores() { return std::make_shared<Scores>(); }

}  // namespace headlight::ops
