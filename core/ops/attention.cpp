// Attention in one step with an online softmax (FlashAttention, Dao et al. 2022): what the fusing rewrite
// puts in place of split, scores, scale, mask, softmax, weighted sum and merge. The [T,T] scores are never
// stored.
#include <cmath>

#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

using kernels::MaskKind;

/// Reads q, k, v and everything derived from them for one sequence and head out of qkv [B,T,3C].
class HeadReader {
 public:
  HeadReader(const CellReader& run, BufferId qkv, int64_t H, double scale, MaskKind kind, int64_t b,
             int64_t h)
      : run_(run), qkv_(qkv), scale_(scale), kind_(kind), b_(b), h_(h) {
    const Shape& shape = run.program().buffer(qkv).shape;
    T_ = shape.size(1);
    C_ = shape.last() / 3;
    D_ = C_ / H;
    H_ = H;
  }
  /// part 0 q, 1 k, 2 v
  [[nodiscard]] CellRef cell(int part, int64_t t, int64_t d) const {
    return {qkv_, (b_ * T_ + t) * 3 * C_ + part * C_ + h_ * D_ + d};
  }
  [[nodiscard]] double at(int part, int64_t t, int64_t d) const {
    return run_.value(qkv_, cell(part, t, d).offset);
  }
  /// Offset of [b,t,h,d] in a [B,T,C] buffer, and of [b,h,t] in lse.
  [[nodiscard]] int64_t z(int64_t t, int64_t d) const { return (b_ * T_ + t) * C_ + h_ * D_ + d; }
  [[nodiscard]] int64_t lse(int64_t t) const { return (b_ * H_ + h_) * T_ + t; }
  [[nodiscard]] bool open(int64_t i, int64_t j) const { return kind_ == MaskKind::none || j <= i; }
  /// e^(score − lse): the pattern's cell, recomputed as the backward pass does.
  [[nodiscard]] double pattern(int64_t i, int64_t j, double lse_i) const {
    double score = 0;
    for (int64_t d = 0; d < D_; ++d) score += at(0, i, d) * at(1, j, d);
    return std::exp(score * scale_ - lse_i);
  }
  [[nodiscard]] int64_t T() const { return T_; }
  [[nodiscard]] int64_t D() const { return D_; }

 private:
  const CellReader& run_;
  BufferId qkv_;
  double scale_;
  MaskKind kind_;
  int64_t b_, h_, T_ = 0, C_ = 0, D_ = 0, H_ = 0;
};

/// (dz [B,T,C], z, lse, qkv) → dqkv
class AttentionGrad final : public Op {
 public:
  AttentionGrad(int64_t H, double scale, MaskKind kind) : H_(H), scale_(scale), kind_(kind) {}
  [[nodiscard]] std::string_view kind() const override { return "attention_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {
        {"dQKV", gradient}, {" = attention′(dZ)", plain}, {",  the scores recomputed tile by tile", muted}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[3]};
  }
  [[nodiscard]] bool follows_element(size_t input) const override { return input != 2; }
  void run(const StepMemory& m) const override {
    const Shape& z = *m.input_shapes[1];
    m.typed([&](const auto& t) {
      t.kernels.attention_backward(m.context(), t.out(0), t.in(0), t.in(1), m.in(2), t.in(3),
                                   static_cast<float>(scale_), kind_, z.size(0), z.size(1), H_,
                                   z.size(2) / H_);
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const BufferId dz = step.inputs[0], z = step.inputs[1], lse = step.inputs[2], qkv = step.inputs[3];
    const Shape& shape = run.program().buffer(qkv).shape;
    const int64_t C = shape.last() / 3, T = shape.size(1), D = C / H_;
    const int64_t row = offset / (3 * C), part = offset % (3 * C) / C, h = offset % C / D, d = offset % D;
    const HeadReader head(run, qkv, H_, scale_, kind_, row / T, h);
    const int64_t t = row % T;
    const auto dz_at = [&](int64_t i, int64_t e) { return run.value(dz, head.z(i, e)); };
    // dS[i,j] = A[i,j]·(Σ_e dZ[i,e]·V[j,e] − Σ_e dZ[i,e]·Z[i,e])
    const auto d_score = [&](int64_t i, int64_t j) {
      double d_pattern = 0, delta = 0;
      for (int64_t e = 0; e < D; ++e) {
        d_pattern += dz_at(i, e) * head.at(2, j, e);
        delta += dz_at(i, e) * run.value(z, head.z(i, e));
      }
      return head.pattern(i, j, run.value(lse, head.lse(i))) * (d_pattern - delta);
    };
    static constexpr const char* formulas[] = {"dQ[i,d] = Σ_j dS[i,j]·K[j,d]·scale",
                                               "dK[j,d] = Σ_i dS[i,j]·Q[i,d]·scale",
                                               "dV[j,d] = Σ_i A[i,j]·dZ[i,d]"};
    TermList terms(run, formulas[part]);
    for (int64_t s = 0; s < T; ++s) {
      const int64_t i = part == 0 ? t : s, j = part == 0 ? s : t;
      if (!head.open(i, j)) continue;
      if (part == 2) {
        terms.function({{dz, head.z(i, d)}}, head.pattern(i, j, run.value(lse, head.lse(i))) * dz_at(i, d));
      } else {
        const int other = part == 0 ? 1 : 0;
        terms.function({head.cell(other, s, d)}, d_score(i, j) * head.at(other, s, d) * scale_);
      }
    }
    return terms.finish();
  }

 private:
  int64_t H_;
  double scale_;
  MaskKind kind_;
};

class Attention final : public Op {
 public:
  Attention(int64_t H, double scale, MaskKind kind) : H_(H), scale_(scale), kind_(kind) {}
  [[nodiscard]] std::string_view kind() const override { return "attention"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Z", attention},
            {" = softmax(", plain},
            {"Q", query},
            {"K", key},
            {fmt::format("ᵀ · {:.4g}", scale_), plain},
            {kind_ == MaskKind::causal ? " + M) " : ") ", plain},
            {"V", value},
            {",  in tiles", muted}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[0];
    if (x.rank() != 3 || x.last() % (3 * H_) != 0) shape_error(kind(), in, "qkv [B,T,3·H·D]");
    return {{x[0], x[1], {"C", x.last() / 3}}, {x[0], {"H", H_}, {"Tq", x.size(1)}}};
  }
  [[nodiscard]] ElementType output_type(size_t output, ElementType element) const override {
    return output == 1 ? ElementType::f32 : element;
  }
  void run(const StepMemory& m) const override {
    const Shape& z = *m.output_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.attention_forward(m.context(), t.out(0), m.out(1), t.in(0), static_cast<float>(scale_), kind_,
                                  z.size(0), z.size(1), H_, z.size(2) / H_);
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dz = d.gradient(step.outputs[0]);
    if (dz == no_buffer) return;
    d.contribute(step, std::make_shared<AttentionGrad>(H_, scale_, kind_),
                 {dz, step.outputs[0], step.outputs[1], step.inputs[0]}, {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const Shape& z = run.program().buffer(step.outputs[0]).shape;
    const int64_t T = z.size(1), C = z.size(2), D = C / H_;
    if (output == 1) {
      const HeadReader head(run, step.inputs[0], H_, scale_, kind_, offset / T / H_, offset / T % H_);
      const int64_t i = offset % T;
      double sum = 0;
      std::vector<CellRef> sources;
      for (int64_t j = 0; j < T; ++j) {
        if (!head.open(i, j)) continue;
        sum += head.pattern(i, j, 0.0);
        sources.push_back(head.cell(1, j, 0));
      }
      TermList terms(run, "lse[i] = log Σ_j e^(Q[i]·K[j]·scale)");
      terms.function(sources, std::log(sum));
      return terms.finish();
    }
    const int64_t row = offset / C;
    const HeadReader head(run, step.inputs[0], H_, scale_, kind_, row / T, offset % C / D);
    const int64_t i = row % T;
    double log_sum = 0;
    for (int64_t j = 0; j < T; ++j) log_sum += head.open(i, j) ? head.pattern(i, j, 0.0) : 0.0;
    log_sum = std::log(log_sum);
    TermList terms(run, "Z[i,d] = Σ_j e^(Q[i]·K[j]·scale − lse[i])·V[j,d]");
    for (int64_t j = 0; j < T; ++j) {
      if (!head.open(i, j)) continue;
      terms.function({head.cell(2, j, offset % D)}, head.pattern(i, j, log_sum) * head.at(2, j, offset % D));
    }
    return terms.finish();
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    const Shape& x = *in[0];
    const double pairs = static_cast<double>(x.size(1)) * static_cast<double>(x.size(1)) *
                         (kind_ == MaskKind::causal ? 0.5 : 1.0);
    return 4.0 * static_cast<double>(x.size(0)) * pairs * static_cast<double>(x.last() / 3);
  }

 private:
  int64_t H_;
  double scale_;
  MaskKind kind_;
};

}  // namespace

OpPtr attention(int64_t H, double scale, kernels::MaskKind kind) {
  return std::make_shared<Attention>(H, scale, kind);
}

}  // namespace headlight::ops
