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

/// Attributes of a fused attention.
struct Shared {
  int64_t H, H_kv;
  double scale;
  MaskKind kind;
  /// Head size from a row of qkv.
  [[nodiscard]] int64_t head_size(const Shape& qkv) const { return qkv.last() / (H + 2 * H_kv); }
};

/// Reads q, k, v and everything derived from them for one sequence and query head out of qkv
/// [B,T,(H+2·H_kv)·D].
class HeadReader {
 public:
  HeadReader(const CellReader& run, BufferId qkv, const Shared& shared, int64_t b, int64_t h)
      : run_(run), qkv_(qkv), shared_(shared), b_(b), h_(h) {
    const Shape& shape = run.program().buffer(qkv).shape;
    T_ = shape.size(1);
    row_ = shape.last();
    D_ = shared.head_size(shape);
  }
  /// part 0 q, 1 k, 2 v; the last two of the head that h reads
  [[nodiscard]] CellRef cell(int part, int64_t t, int64_t d) const {
    const int64_t key_head = shared_.H + (part - 1) * shared_.H_kv + h_ / (shared_.H / shared_.H_kv);
    return {qkv_, (b_ * T_ + t) * row_ + (part == 0 ? h_ : key_head) * D_ + d};
  }
  [[nodiscard]] double at(int part, int64_t t, int64_t d) const {
    return run_.value(qkv_, cell(part, t, d).offset);
  }
  /// Offset of [b,t,h,d] in a [B,T,C] buffer, and of [b,h,t] in lse.
  [[nodiscard]] int64_t z(int64_t t, int64_t d) const { return (b_ * T_ + t) * shared_.H * D_ + h_ * D_ + d; }
  [[nodiscard]] int64_t lse(int64_t t) const { return (b_ * shared_.H + h_) * T_ + t; }
  [[nodiscard]] bool open(int64_t i, int64_t j) const { return shared_.kind == MaskKind::none || j <= i; }
  /// e^(score − lse): the pattern's cell, recomputed as the backward pass does.
  [[nodiscard]] double pattern(int64_t i, int64_t j, double lse_i) const {
    double score = 0;
    for (int64_t d = 0; d < D_; ++d) score += at(0, i, d) * at(1, j, d);
    return std::exp(score * shared_.scale - lse_i);
  }
  [[nodiscard]] int64_t T() const { return T_; }
  [[nodiscard]] int64_t D() const { return D_; }

 private:
  const CellReader& run_;
  BufferId qkv_;
  Shared shared_;
  int64_t b_, h_, T_ = 0, row_ = 0, D_ = 0;
};

/// (dz [B,T,C], z, lse, qkv) → dqkv
class AttentionGrad final : public Op {
 public:
  explicit AttentionGrad(const Shared& shared) : shared_(shared) {}
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
                                   static_cast<float>(shared_.scale), shared_.kind, z.size(0), z.size(1),
                                   shared_.H, shared_.H_kv, z.size(2) / shared_.H);
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const BufferId dz = step.inputs[0], z = step.inputs[1], lse = step.inputs[2], qkv = step.inputs[3];
    const Shape& shape = run.program().buffer(qkv).shape;
    const int64_t T = shape.size(1), D = shared_.head_size(shape), group = shared_.H / shared_.H_kv;
    const int64_t row = offset / shape.last(), column = offset % shape.last(), d = column % D;
    const int64_t packed_head = column / D;
    const int part = packed_head < shared_.H ? 0 : packed_head < shared_.H + shared_.H_kv ? 1 : 2;
    // A key or value collects from every query head that reads it.
    const int64_t first = part == 0 ? packed_head : (packed_head - shared_.H) % shared_.H_kv * group;
    const int64_t t = row % T;
    static constexpr const char* formulas[] = {"dQ[i,d] = Σ_j dS[i,j]·K[j,d]·scale",
                                               "dK[j,d] = Σ_i dS[i,j]·Q[i,d]·scale",
                                               "dV[j,d] = Σ_i A[i,j]·dZ[i,d]"};
    TermList terms(run, formulas[part]);
    for (int64_t h = first; h < first + (part == 0 ? 1 : group); ++h) {
      const HeadReader head(run, qkv, shared_, row / T, h);
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
      for (int64_t s = 0; s < T; ++s) {
        const int64_t i = part == 0 ? t : s, j = part == 0 ? s : t;
        if (!head.open(i, j)) continue;
        if (part == 2) {
          terms.function({{dz, head.z(i, d)}}, head.pattern(i, j, run.value(lse, head.lse(i))) * dz_at(i, d));
        } else {
          const int other = part == 0 ? 1 : 0;
          terms.function({head.cell(other, s, d)}, d_score(i, j) * head.at(other, s, d) * shared_.scale);
        }
      }
    }
    return terms.finish();
  }

 private:
  Shared shared_;
};

class Attention final : public Op {
 public:
  explicit Attention(const Shared& shared) : shared_(shared) {}
  [[nodiscard]] std::string_view kind() const override { return "attention"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Z", attention},
            {" = softmax(", plain},
            {"Q", query},
            {"K", key},
            {fmt::format("ᵀ · {:.4g}", shared_.scale), plain},
            {shared_.kind == MaskKind::causal ? " + M) " : ") ", plain},
            {"V", value},
            {",  in tiles", muted}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[0];
    if (x.rank() != 3 || x.last() % (shared_.H + 2 * shared_.H_kv) != 0) {
      shape_error(kind(), in, "qkv [B,T,(H+2·H_kv)·D]");
    }
    return {{x[0], x[1], {"C", shared_.H * shared_.head_size(x)}},
            {x[0], {"H", shared_.H}, {"Tq", x.size(1)}}};
  }
  [[nodiscard]] ElementType output_type(size_t output, ElementType element) const override {
    return output == 1 ? ElementType::f32 : element;
  }
  void run(const StepMemory& m) const override {
    const Shape& z = *m.output_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.attention_forward(m.context(), t.out(0), m.out(1), t.in(0), static_cast<float>(shared_.scale),
                                  shared_.kind, z.size(0), z.size(1), shared_.H, shared_.H_kv,
                                  z.size(2) / shared_.H);
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dz = d.gradient(step.outputs[0]);
    if (dz == no_buffer) return;
    d.contribute(step, std::make_shared<AttentionGrad>(shared_),
                 {dz, step.outputs[0], step.outputs[1], step.inputs[0]}, {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const Shape& z = run.program().buffer(step.outputs[0]).shape;
    const int64_t T = z.size(1), C = z.size(2), D = C / shared_.H;
    if (output == 1) {
      const HeadReader head(run, step.inputs[0], shared_, offset / T / shared_.H, offset / T % shared_.H);
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
    const HeadReader head(run, step.inputs[0], shared_, row / T, offset % C / D);
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
                         (shared_.kind == MaskKind::causal ? 0.5 : 1.0);
    return 4.0 * static_cast<double>(x.size(0)) * pairs *
           static_cast<double>(shared_.H * shared_.head_size(x));
  }

 private:
  Shared shared_;
};

}  // namespace

OpPtr attention(int64_t H, int64_t H_kv, double scale, kernels::MaskKind kind) {
  return std::make_shared<Attention>(Shared{H, H_kv, scale, kind});
}

}  // namespace headlight::ops
