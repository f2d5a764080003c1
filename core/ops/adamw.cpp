// AdamW (Loshchilov & Hutter 2019): one parameter's update as a step. Weights and moments are inputs, their
// new values outputs, so that a look at the update changes nothing; training lets the plan write them in
// place.
#include <cmath>

#include "core/ops/ops.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

enum Input : size_t { kWeight, kFirst, kSecond, kGradient, kClip, kSchedule };

class AdamW final : public Op {
 public:
  explicit AdamW(const kernels::AdamWConstants& constants) : c_(constants) {}
  [[nodiscard]] std::string_view kind() const override { return "adamw"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"W", plain},
            {" ← W − lr·(m̂ ∕ (√v̂ + ε) + ", plain},
            {fmt::format("{:.3g}", c_.weight_decay), plain},
            {"·W),   m = β₁m + (1−β₁)", plain},
            {"dW", gradient},
            {",  v = β₂v + (1−β₂)", plain},
            {"dW", gradient},
            {"²", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[kGradient]->count() != in[kWeight]->count())
      shape_error(kind(), in, "a gradient of the weight's size");
    return {*in[kWeight], *in[kWeight], *in[kWeight]};
  }
  [[nodiscard]] bool follows_element(size_t) const override { return false; }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    m.kernels().adamw(m.context(), m.out(0), m.out(1), m.out(2), m.in(kWeight), m.in(kFirst), m.in(kSecond),
                      m.in(kGradient), m.in(kClip), m.in(kSchedule), c_, m.input_shapes[kWeight]->count());
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const CellRef g{step.inputs[kGradient], offset}, clip{step.inputs[kClip], 0};
    const double beta1 = static_cast<double>(c_.beta1), beta2 = static_cast<double>(c_.beta2);
    if (output == 1) {
      TermList terms(run, "m = β₁·m + (1 − β₁)·clip·dW");
      terms.product({{step.inputs[kFirst], offset}}, beta1);
      terms.product({g, clip}, 1 - beta1);
      return terms.finish();
    }
    if (output == 2) {
      TermList terms(run, "v = β₂·v + (1 − β₂)·(clip·dW)²");
      terms.product({{step.inputs[kSecond], offset}}, beta2);
      terms.product({g, g, clip, clip}, 1 - beta2);
      return terms.finish();
    }
    const CellRef w{step.inputs[kWeight], offset}, m{step.outputs[1], offset}, v{step.outputs[2], offset};
    const BufferId schedule = step.inputs[kSchedule];
    const double lr = run.value(schedule, 0), m_correction = run.value(schedule, 1),
                 v_correction = run.value(schedule, 2);
    TermList terms(run, "W = W − lr·m̂ / (√v̂ + ε) − lr·decay·W,  m̂ = m/(1 − β₁^t), v̂ = v/(1 − β₂^t)");
    terms.product({w});
    terms.function({m, v, {schedule, 0}},
                   -lr * (terms.read(m) / m_correction) /
                       (std::sqrt(terms.read(v) / v_correction) + static_cast<double>(c_.epsilon)));
    terms.product({w, {schedule, 0}}, -static_cast<double>(c_.weight_decay));
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t output) const override { return static_cast<int>(output); }

 private:
  kernels::AdamWConstants c_;
};

}  // namespace

OpPtr adamw(const kernels::AdamWConstants& constants) { return std::make_shared<AdamW>(constants); }

}  // namespace headlight::ops
