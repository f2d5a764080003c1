// Attention scores: every query against every key, S = QKᵀ, for each head.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// Sizes of queries [B,T,H,D] and keys [B,T,H_kv,D], and the way into both and into the scores.
struct Heads {
  int64_t B, T, H, H_kv, D;
  Heads(const Shape& q, const Shape& k)
      : B(q.size(0)), T(q.size(1)), H(q.size(2)), H_kv(k.size(2)), D(q.size(3)) {}
  /// Query heads that share a key head.
  [[nodiscard]] int64_t group() const { return H / H_kv; }
  [[nodiscard]] int64_t query(int64_t b, int64_t t, int64_t h, int64_t d) const {
    return ((b * T + t) * H + h) * D + d;
  }
  /// Of the key head that query head h reads.
  [[nodiscard]] int64_t key(int64_t b, int64_t t, int64_t h, int64_t d) const {
    return ((b * T + t) * H_kv + h / group()) * D + d;
  }
  [[nodiscard]] int64_t plane(int64_t b, int64_t h, int64_t i, int64_t j) const {
    return ((b * H + h) * T + i) * T + j;
  }
};

/// (ds [B,H,T,T], k, q for its shape) → dq
class ScoresGradQuery final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "scores_grad_query"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dQ", gradient}, {" = dS ", plain}, {"K", key}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[2]};
  }
  void run(const StepMemory& m) const override {
    const Heads s(*m.input_shapes[2], *m.input_shapes[1]);
    m.typed([&](const auto& t) {
      t.kernels.scores_backward_query(m.context(), t.out(0), t.in(0), t.in(1), s.B, s.T, s.H, s.H_kv, s.D);
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& q = run.program().buffer(step.outputs[0]).shape;
    const Heads s(q, run.program().buffer(step.inputs[1]).shape);
    const std::vector<int64_t> at = q.index(offset);  // b, i, h, d
    TermList terms(run, "dQ[i,d] = Σ_j dS[i,j]·K[j,d]");
    for (int64_t j = 0; j < s.T; ++j) {
      terms.product({{step.inputs[1], s.key(at[0], j, at[2], at[3])},
                     {step.inputs[0], s.plane(at[0], at[2], at[1], j)}});
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[0]->count()) * static_cast<double>(in[1]->last());
  }
};

/// (ds [B,H,T,T], q, k for its shape) → dk
class ScoresGradKey final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "scores_grad_key"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dK", gradient}, {" = dSᵀ ", plain}, {"Q", query}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[2]};
  }
  void run(const StepMemory& m) const override {
    const Heads s(*m.input_shapes[1], *m.input_shapes[2]);
    m.typed([&](const auto& t) {
      t.kernels.scores_backward_key(m.context(), t.out(0), t.in(0), t.in(1), s.B, s.T, s.H, s.H_kv, s.D);
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& k = run.program().buffer(step.outputs[0]).shape;
    const Heads s(run.program().buffer(step.inputs[1]).shape, k);
    const std::vector<int64_t> at = k.index(offset);  // b, j, key head, d
    TermList terms(run, s.group() == 1 ? "dK[j,d] = Σ_i dS[i,j]·Q[i,d]"
                                       : "dK[j,d] = Σ_h Σ_i dS[h,i,j]·Q[h,i,d], h the heads that share K");
    for (int64_t h = at[2] * s.group(); h < (at[2] + 1) * s.group(); ++h) {
      for (int64_t i = 0; i < s.T; ++i) {
        terms.product(
            {{step.inputs[1], s.query(at[0], i, h, at[3])}, {step.inputs[0], s.plane(at[0], h, i, at[1])}});
      }
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[0]->count()) * static_cast<double>(in[1]->last());
  }
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
    const Shape& k = *in[1];
    if (q.rank() != 4 || k.rank() != 4 || k.size(1) != q.size(1) || k.last() != q.last() ||
        q.size(2) % k.size(2) != 0) {
      shape_error(kind(), in, "q [B,T,H,D] and k [B,T,H_kv,D] with H_kv a divisor of H");
    }
    return {{q[0], q[2], {"Tq", q.size(1)}, {"Tk", q.size(1)}}};
  }
  void run(const StepMemory& m) const override {
    const Heads s(*m.input_shapes[0], *m.input_shapes[1]);
    m.typed([&](const auto& t) {
      t.kernels.scores_forward(m.context(), t.out(0), t.in(0), t.in(1), s.B, s.T, s.H, s.H_kv, s.D);
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId ds = d.gradient(step.outputs[0]);
    if (ds == no_buffer) return;
    const BufferId q = step.inputs[0], k = step.inputs[1];
    d.contribute(step, std::make_shared<ScoresGradQuery>(), {ds, k, q}, {q});
    d.contribute(step, std::make_shared<ScoresGradKey>(), {ds, q, k}, {k});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Program& p = run.program();
    const Heads s(p.buffer(step.inputs[0]).shape, p.buffer(step.inputs[1]).shape);
    const std::vector<int64_t> at = p.buffer(step.outputs[0]).shape.index(offset);  // b, h, i, j
    TermList terms(run, "S[i,j] = Σ_d Q[i,d]·K[j,d]");
    for (int64_t d = 0; d < s.D; ++d) {
      terms.product({{step.inputs[0], s.query(at[0], at[2], at[1], d)},
                     {step.inputs[1], s.key(at[0], at[3], at[1], d)}});
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[0]->count()) * static_cast<double>(in[0]->size(1));
  }
};

}  // namespace

OpPtr scores() { return std::make_shared<Scores>(); }

}  // namespace headlight::ops
