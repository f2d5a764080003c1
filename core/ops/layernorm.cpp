// Layer normalisation over the last axis (Ba, Kiros & Hinton 2016): (x − mean)/√(var + ε), times gain, plus
// bias.
#include <cmath>

#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

enum Input : size_t { kX, kGain, kBias };
enum Output : size_t { kOut, kMean, kScale, kNormalized };

/// (dy, x, mean, scale, gain) → dx, dgain, dbias (optional)
class LayerNormGrad final : public Op {
 public:
  [[nodiscard]] std::string_view kind() const override { return "layernorm_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dX", gradient},
            {" = (g − mean(g) − n·mean(g·n)) ∕ σ,   g = dY·gain,  n = (x − mean) ∕ σ", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[1], *in[4], *in[4]};
  }
  [[nodiscard]] bool follows_element(size_t input) const override { return input != 2 && input != 3; }
  [[nodiscard]] ElementType output_type(size_t output, ElementType element) const override {
    return output > 0 ? ElementType::f32 : element;
  }
  void run(const StepMemory& m) const override {
    m.typed([&](const auto& t) {
      t.kernels.layernorm_backward(m.context(), t.out(0), m.out(1), m.out(2), t.in(0), t.in(1), m.in(2),
                                   m.in(3), t.in(4), m.input_shapes[1]->rows(), m.input_shapes[1]->last());
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const BufferId dy = step.inputs[0], x = step.inputs[1], mean = step.inputs[2], scale = step.inputs[3],
                   gain = step.inputs[4];
    const Shape& shape = run.program().buffer(x).shape;
    const int64_t R = shape.rows(), C = shape.last();
    const auto normalized = [&](int64_t r, int64_t c) {
      return (run.value(x, r * C + c) - run.value(mean, r)) / run.value(scale, r);
    };
    if (output == 0) {
      const int64_t r = offset / C, c = offset % C;
      double mean_g = 0, mean_gn = 0;
      std::vector<CellRef> row;
      for (int64_t j = 0; j < C; ++j) {
        const double g = run.value(dy, r * C + j) * run.value(gain, j);
        mean_g += g / static_cast<double>(C);
        mean_gn += g * normalized(r, j) / static_cast<double>(C);
        row.push_back({dy, r * C + j});
      }
      const double sigma = run.value(scale, r);
      TermList terms(run, "dX = (g − mean(g) − n·mean(g·n)) / σ");
      terms.function({{dy, offset}, {gain, c}, {scale, r}},
                     run.value(dy, offset) * run.value(gain, c) / sigma);
      terms.function(row, -mean_g / sigma);
      row.insert(row.begin(), {x, offset});
      terms.function(row, -normalized(r, c) * mean_gn / sigma);
      return terms.finish();
    }
    TermList terms(run, output == 1 ? "dgain[c] = Σ_t dY[t,c]·n[t,c]" : "dbias[c] = Σ_t dY[t,c]");
    for (int64_t r = 0; r < R; ++r) {
      const CellRef source{dy, r * C + offset};
      if (output == 1) {
        terms.function({source, {x, r * C + offset}, {mean, r}, {scale, r}},
                       terms.read(source) * normalized(r, offset));
      } else {
        terms.product({source});
      }
    }
    return terms.finish();
  }
};

class LayerNorm final : public Op {
 public:
  explicit LayerNorm(double epsilon) : epsilon_(epsilon) {}
  [[nodiscard]] std::string_view kind() const override { return "layernorm"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"LN(x)", norm}, {" = (x − mean) ∕ √(var + ε) · gain + bias", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[kX];
    if (x.rank() == 0 || in[kGain]->count() != x.last()) shape_error(kind(), in, "x [..,C] and gain [C]");
    std::vector<Axis> row = x.axes();
    row.back() = {"1", 1};
    return {x, Shape(row), Shape(row), x};
  }
  [[nodiscard]] ElementType output_type(size_t output, ElementType element) const override {
    return output == kMean || output == kScale ? ElementType::f32 : element;
  }
  void run(const StepMemory& m) const override {
    const Shape& x = *m.input_shapes[kX];
    m.typed([&](const auto& t) {
      t.kernels.layernorm_forward(m.context(), m.out(kMean), m.out(kScale), t.out(kNormalized), t.out(kOut),
                                  t.in(kX), t.in(kGain), t.in(kBias), x.rows(), x.last(),
                                  static_cast<float>(epsilon_));
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[kOut]);
    if (dy == no_buffer) return;
    d.contribute(step, std::make_shared<LayerNormGrad>(),
                 {dy, step.inputs[kX], step.outputs[kMean], step.outputs[kScale], step.inputs[kGain]},
                 {step.inputs[kX], step.inputs[kGain], step.inputs[kBias]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const BufferId x = step.inputs[kX], mean = step.outputs[kMean], scale = step.outputs[kScale];
    const int64_t C = run.program().buffer(x).shape.last();
    if (output == kMean) {
      TermList terms(run, "mean[t] = Σ_c x[t,c] / C");
      for (int64_t c = 0; c < C; ++c) terms.product({{x, offset * C + c}}, 1.0 / static_cast<double>(C));
      return terms.finish();
    }
    if (output == kScale) {
      TermList terms(run, "σ[t] = √(Σ_c (x[t,c] − mean[t])² / C + ε)");
      for (int64_t c = 0; c < C; ++c) {
        const double centred = run.value(x, offset * C + c) - run.value(mean, offset);
        terms.function({{x, offset * C + c}, {mean, offset}}, centred * centred / static_cast<double>(C));
      }
      terms.constant(epsilon_);
      return terms.finish(CellTerms::Combine::root);
    }
    const int64_t r = offset / C, c = offset % C;
    const double normalized = (run.value(x, offset) - run.value(mean, r)) / run.value(scale, r);
    if (output == kNormalized) {
      TermList terms(run, "n[t,c] = (x[t,c] − mean[t]) / σ[t]");
      terms.function({{x, offset}, {mean, r}, {scale, r}}, normalized);
      return terms.finish();
    }
    TermList terms(run, "LN(x)[t,c] = (x[t,c] − mean[t]) / σ[t] · gain[c] + bias[c]");
    const CellRef gain{step.inputs[kGain], c};
    terms.function({{x, offset}, {mean, r}, {scale, r}, gain}, normalized * terms.read(gain));
    if (step.inputs[kBias] != no_buffer) terms.product({{step.inputs[kBias], c}});
    return terms.finish();
  }
  [[nodiscard]] bool output_is_optional(size_t output) const override { return output == kNormalized; }
  [[nodiscard]] double epsilon() const { return epsilon_; }

 private:
  double epsilon_;
};

}  // namespace

OpPtr layernorm(double epsilon) { return std::make_shared<LayerNorm>(epsilon); }

std::optional<double> layernorm_epsilon(const Op& op) {
  const auto* norm = dynamic_cast<const LayerNorm*>(&op);
  return norm != nullptr ? std::optional(norm->epsilon()) : std::nullopt;
}

}  // namespace headlight::ops
