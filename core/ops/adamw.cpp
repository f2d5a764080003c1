// AdamW (Loshchilov & Hutter 2019): one parameter's update as a step. Weights and moments are inputs, their
// new values outputs, so that a look at the update changes nothing; training lets the plan write them in
// place.
#include <cmath>

#include "core/ops/terms.h"
#include "core/ops/training.h"

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
  [[nodiscard]] const kernels::AdamWConstants& constants() const { return c_; }

 private:
  kernels::AdamWConstants c_;
};

/// The updates of many parameters as one step; each explains its own cells.
class AdamWAll final : public Op {
 public:
  explicit AdamWAll(std::vector<OpPtr> updates) : updates_(std::move(updates)) {}
  [[nodiscard]] std::string_view kind() const override { return "adamw_all"; }
  [[nodiscard]] Equation equation() const override { return updates_[0]->equation(); }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    std::vector<Shape> shapes;
    for (size_t i = 0; i < updates_.size(); ++i) {
      const std::vector<Shape> of_one = updates_[i]->output_shapes(in.subspan(i * kOwn, kOwn));
      shapes.insert(shapes.end(), of_one.begin(), of_one.end());
    }
    return shapes;
  }
  [[nodiscard]] bool follows_element(size_t) const override { return false; }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    std::vector<kernels::UpdatedTensor> tensors;
    for (size_t i = 0; i < updates_.size(); ++i) {
      const size_t in = i * kOwn, out = i * kResults;
      tensors.push_back({m.out(out), m.out(out + 1), m.out(out + 2), m.in(in + kWeight), m.in(in + kFirst),
                         m.in(in + kSecond), m.in(in + kGradient),
                         adamw_constants(*updates_[i])->weight_decay, m.input_shapes[in]->count()});
    }
    const size_t shared = updates_.size() * kOwn;
    joint_kernels(m).adamw_all(m.context(), tensors, m.in(shared), m.in(shared + 1),
                               *adamw_constants(*updates_[0]));
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const size_t i = output / kResults;
    const auto own = step.inputs.begin() + static_cast<std::ptrdiff_t>(i * kOwn);
    const auto results = step.outputs.begin() + static_cast<std::ptrdiff_t>(i * kResults);
    Step one;
    one.inputs.assign(own, own + kOwn);
    one.inputs.insert(one.inputs.end(), step.inputs.end() - 2, step.inputs.end());
    one.outputs.assign(results, results + kResults);
    return updates_[i]->explain(run, one, output % kResults, offset);
  }
  [[nodiscard]] int in_place_input(size_t output) const override {
    return static_cast<int>(output / kResults * kOwn + output % kResults);
  }

 private:
  static constexpr std::ptrdiff_t kOwn = kGradient + 1, kResults = 3;  // of each parameter

  std::vector<OpPtr> updates_;
};

}  // namespace

std::optional<kernels::AdamWConstants> adamw_constants(const Op& op) {
  const auto* update = dynamic_cast<const AdamW*>(&op);
  return update != nullptr ? std::optional(update->constants()) : std::nullopt;
}

OpPtr adamw_all(std::vector<OpPtr> updates) { return std::make_shared<AdamWAll>(std::move(updates)); }

OpPtr adamw(const kernels::AdamWConstants& constants) { return std::make_shared<AdamW>(constants); }

}  // namespace headlight::ops
