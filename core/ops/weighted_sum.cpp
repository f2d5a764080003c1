// Attention's answer: each query's mixture of the values, Z = A V, for each head.
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// Offset into a [B,T,H,D] buffer.
int64_t at4(const Shape& s, int64_t b, int64_t t, int64_t h, int64_t d) {
  return ((b * s.size(1) + t) * s.size(2) + h) * s.size(3) + d;
}

/// Offset into v [B,T,H_kv,D] of what query head h of H reads.
int64_t value_at(const Shape& v, int64_t H, int64_t b, int64_t t, int64_t h, int64_t d) {
  return at4(v, b, t, h / (H / v.size(2)), d);
}

/// (dz [B,T,H,D], v [B,T,H_kv,D], pattern for its shape) → dpattern
class WeightedSumGradPattern final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "weighted_sum_grad_pattern"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dA", gradient}, {" = dZ ", plain}, {"V", value}, {"ᵀ", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[2]};
  }
  void run(const StepMemory& m) const override {
    const Shape& z = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.weighted_sum_backward_pattern(m.context(), t.out(0), t.in(0), t.in(1), z.size(0), z.size(1),
                                              z.size(2), m.input_shapes[1]->size(2), z.size(3));
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape &z = run.program().buffer(step.inputs[0]).shape,
                &v = run.program().buffer(step.inputs[1]).shape;
    const std::vector<int64_t> at = run.program().buffer(step.outputs[0]).shape.index(offset);  // b, h, i, j
    TermList terms(run, "dA[i,j] = Σ_d dZ[i,d]·V[j,d]");
    for (int64_t d = 0; d < z.size(3); ++d) {
      terms.product({{step.inputs[0], at4(z, at[0], at[2], at[1], d)},
                     {step.inputs[1], value_at(v, z.size(2), at[0], at[3], at[1], d)}});
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[2]->count()) * static_cast<double>(in[0]->last());
  }
};

/// (dz, pattern, v for its shape) → dv [B,T,H_kv,D]
class WeightedSumGradValue final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "weighted_sum_grad_value"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dV", gradient}, {" = ", plain}, {"A", attention}, {"ᵀ dZ", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[2]};
  }
  void run(const StepMemory& m) const override {
    const Shape& z = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.weighted_sum_backward_value(m.context(), t.out(0), t.in(0), t.in(1), z.size(0), z.size(1),
                                            z.size(2), m.input_shapes[2]->size(2), z.size(3));
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape &z = run.program().buffer(step.inputs[0]).shape,
                &v = run.program().buffer(step.outputs[0]).shape;
    const int64_t T = z.size(1), H = z.size(2), group = H / v.size(2);
    const std::vector<int64_t> at = v.index(offset);  // b, j, value head, d
    TermList terms(run, group == 1 ? "dV[j,d] = Σ_i A[i,j]·dZ[i,d]"
                                   : "dV[j,d] = Σ_h Σ_i A[h,i,j]·dZ[h,i,d], h the heads that share V");
    for (int64_t h = at[2] * group; h < (at[2] + 1) * group; ++h) {
      for (int64_t i = 0; i < T; ++i) {
        terms.product({{step.inputs[0], at4(z, at[0], i, h, at[3])},
                       {step.inputs[1], ((at[0] * H + h) * T + i) * T + at[1]}});
      }
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[1]->count()) * static_cast<double>(in[0]->last());
  }
};

class WeightedSum final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "weighted_sum"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Z", attention}, {" = ", plain}, {"A", attention}, {" ", plain}, {"V", value}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& v = *in[1];
    const Shape& p = *in[0];
    if (v.rank() != 4 || p.rank() != 4 || p.size(3) != v.size(1) || p.size(1) % v.size(2) != 0) {
      shape_error(kind(), in, "a pattern [B,H,T,T] and v [B,T,H_kv,D] with H_kv a divisor of H");
    }
    return {{v[0], v[1], {"H", p.size(1)}, v[3]}};
  }
  void run(const StepMemory& m) const override {
    const Shape& v = *m.input_shapes[1];
    const int64_t H = m.output_shapes[0]->size(2);
    m.typed([&](const auto& t) {
      t.kernels.weighted_sum_forward(m.context(), t.out(0), t.in(0), t.in(1), v.size(0), v.size(1), H,
                                     v.size(2), v.size(3));
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dz = d.gradient(step.outputs[0]);
    if (dz == no_buffer) return;
    const BufferId pattern = step.inputs[0], v = step.inputs[1];
    d.contribute(step, std::make_shared<WeightedSumGradPattern>(), {dz, v, pattern}, {pattern});
    d.contribute(step, std::make_shared<WeightedSumGradValue>(), {dz, pattern, v}, {v});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape &z = run.program().buffer(step.outputs[0]).shape,
                &v = run.program().buffer(step.inputs[1]).shape;
    const int64_t T = z.size(1), H = z.size(2);
    const std::vector<int64_t> at = z.index(offset);  // b, i, h, d
    TermList terms(run, "Z[i,d] = Σ_j A[i,j]·V[j,d]");
    for (int64_t j = 0; j < T; ++j) {
      terms.product({{step.inputs[0], ((at[0] * H + at[2]) * T + at[1]) * T + j},
                     {step.inputs[1], value_at(v, H, at[0], j, at[2], at[3])}});
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    return 2.0 * static_cast<double>(in[0]->count()) * static_cast<double>(in[1]->last());
  }
};

}  // namespace

OpPtr weighted_sum() { return std::make_shared<WeightedSum>(); }

}  // namespace headlight::ops
