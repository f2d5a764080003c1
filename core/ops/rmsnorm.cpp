// RMSNorm over the last axis (Zhang & Sennrich 2019): x/√(mean(x²) + ε), times gain. LayerNorm without the
// mean and without a bias.
#include <cmath>

#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

enum Input : size_t { kX, kGain };
enum Output : size_t { kOut, kScale, kNormalized };

/// (dy, x, scale, gain) → dx, dgain
class RmsNormGrad final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "rmsnorm_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dX", gradient}, {" = (g − n·mean(g·n)) ∕ σ,   g = dY·gain,  n = x ∕ σ", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[1], *in[3]};
  }
  [[nodiscard]] bool follows_element(size_t input) const override { return input != 2; }
  [[nodiscard]] ElementType output_type(size_t output, ElementType element) const override {
    return output == 1 ? ElementType::f32 : element;
  }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.rmsnorm_backward(m.context(), t.out(0), m.out(1), t.in(0), t.in(1), m.in(2), t.in(3),
                                 m.input_shapes[1]->rows(), m.input_shapes[1]->last());
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const BufferId dy = step.inputs[0], x = step.inputs[1], scale = step.inputs[2], gain = step.inputs[3];
    const Shape& shape = run.program().buffer(x).shape;
    const int64_t R = shape.rows(), C = shape.last();
    const auto normalized = [&](int64_t r, int64_t c) {
      return run.value(x, r * C + c) / run.value(scale, r);
    };
    if (output == 1) {
      TermList terms(run, "dgain[c] = Σ_t dY[t,c]·n[t,c]");
      for (int64_t r = 0; r < R; ++r) {
        const CellRef source{dy, r * C + offset};
        terms.function({source, {x, r * C + offset}, {scale, r}}, terms.read(source) * normalized(r, offset));
      }
      return terms.finish();
    }
    const int64_t r = offset / C, c = offset % C;
    double mean_gn = 0;
    std::vector<CellRef> row{{x, offset}};
    for (int64_t j = 0; j < C; ++j) {
      mean_gn += run.value(dy, r * C + j) * run.value(gain, j) * normalized(r, j) / static_cast<double>(C);
      row.push_back({dy, r * C + j});
    }
    const double sigma = run.value(scale, r);
    TermList terms(run, "dX = (g − n·mean(g·n)) / σ");
    terms.function({{dy, offset}, {gain, c}, {scale, r}}, run.value(dy, offset) * run.value(gain, c) / sigma);
    terms.function(row, -normalized(r, c) * mean_gn / sigma);
    return terms.finish();
  }
};

class RmsNorm final : public Op {
 public:
  explicit RmsNorm(double epsilon) : epsilon_(epsilon) {}
  [[nodiscard]] std::string_view kind() const override { return "rmsnorm"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"RMS(x)", norm}, {" = x ∕ √(mean(x²) + ε) · gain", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[kX];
    if (x.rank() == 0 || in[kGain]->count() != x.last()) shape_error(kind(), in, "x [..,C] and gain [C]");
    std::vector<Axis> row = x.axes();
    row.back() = {"1", 1};
    return {x, Shape(row), x};
  }
  [[nodiscard]] ElementType output_type(size_t output, ElementType element) const override {
    return output == kScale ? ElementType::f32 : element;
  }
  void run(const StepMemory& m) const override {
    const Shape& x = *m.input_shapes[kX];
    m.typed([&](const auto& t) {
      t.kernels.rmsnorm_forward(m.context(), m.out(kScale), t.out(kNormalized), t.out(kOut), t.in(kX),
                                t.in(kGain), x.rows(), x.last(), static_cast<float>(epsilon_));
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[kOut]);
    if (dy == no_buffer) return;
    d.contribute(step, std::make_shared<RmsNormGrad>(),
                 {dy, step.inputs[kX], step.outputs[kScale], step.inputs[kGain]},
                 {step.inputs[kX], step.inputs[kGain]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const BufferId x = step.inputs[kX], scale = step.outputs[kScale];
    const int64_t C = run.program().buffer(x).shape.last();
    if (output == kScale) {
      TermList terms(run, "σ[t] = √(Σ_c x[t,c]² / C + ε)");
      for (int64_t c = 0; c < C; ++c) {
        const CellRef cell{x, offset * C + c};
        terms.product({cell, cell}, 1.0 / static_cast<double>(C));
      }
      terms.constant(epsilon_);
      return terms.finish(CellTerms::Combine::root);
    }
    const int64_t r = offset / C, c = offset % C;
    const double normalized = run.value(x, offset) / run.value(scale, r);
    if (output == kNormalized) {
      TermList terms(run, "n[t,c] = x[t,c] / σ[t]");
      terms.function({{x, offset}, {scale, r}}, normalized);
      return terms.finish();
    }
    TermList terms(run, "RMS(x)[t,c] = x[t,c] / σ[t] · gain[c]");
    const CellRef gain{step.inputs[kGain], c};
    terms.function({{x, offset}, {scale, r}, gain}, normalized * terms.read(gain));
    return terms.finish();
  }
  [[nodiscard]] bool output_is_optional(size_t output) const override { return output == kNormalized; }
  [[nodiscard]] double epsilon() const { return epsilon_; }

 private:
  double epsilon_;
};

}  // namespace

OpPtr rmsnorm(double epsilon) { return std::make_shared<RmsNorm>(epsilon); }

std::optional<double> rmsnorm_epsilon(const Op& op) {
  const auto* norm = dynamic_cast<const RmsNorm*>(&op);
  return norm != nullptr ? std::optional(norm->epsilon()) : std::nullopt;
}

}  // namespace headlight::ops
