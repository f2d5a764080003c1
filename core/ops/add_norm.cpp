// A residual sum and the norm of it in one step; and the norm's gradient in one step with the sum of what
// comes along the residual, where a bias's gradient, the sum over rows of that, may ride along.
#include "core/ops/terms.h"
#include "core/ops/training.h"

namespace headlight::ops {
namespace {

double epsilon_of(const Op& norm) {
  const auto layernorm = layernorm_epsilon(norm);
  return layernorm ? *layernorm : *rmsnorm_epsilon(norm);
}

class AddNorm final : public Op {
 public:
  explicit AddNorm(OpPtr norm) : norm_(std::move(norm)) {}
  [[nodiscard]] std::string_view kind() const override { return "add_norm"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    Equation parts = {{"x", residual}, {" = a + b,  ", plain}};
    const Equation of_sum = norm_->equation();
    parts.insert(parts.end(), of_sum.begin(), of_sum.end());
    return parts;
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[0]->count() != in[1]->count()) shape_error(kind(), in, "two inputs of one size");
    std::vector<const Shape*> of_sum = {in[0], in[2]};
    if (centred()) of_sum.push_back(in[3]);
    const std::vector<Shape> out = norm_->output_shapes(of_sum);
    return {*in[0], out[0], out[1], out[1]};  // mean and scale have one shape
  }
  [[nodiscard]] ElementType output_type(size_t output, ElementType element) const override {
    return output == kScale || output == kMean ? ElementType::f32 : element;
  }
  void run(const StepMemory& m) const override {
    const Shape& x = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      training_kernels(m, t).add_norm_forward(m.context(), t.out(kSum), m.out(kMean), m.out(kScale),
                                              t.out(kOut), t.in(0), t.in(1), t.in(2), t.in(3), x.rows(),
                                              x.last(), static_cast<float>(epsilon_of(*norm_)));
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    if (output == kSum) {
      TermList terms(run, "Y = a + b");
      terms.product({{step.inputs[0], offset}});
      terms.product({{step.inputs[1], offset}});
      return terms.finish();
    }
    Step of_sum;
    of_sum.inputs = {step.outputs[kSum], step.inputs[2]};
    of_sum.outputs = {step.outputs[kOut], step.outputs[kScale], no_buffer};
    if (centred()) {
      of_sum.inputs.push_back(step.inputs[3]);
      of_sum.outputs.insert(of_sum.outputs.begin() + 1, step.outputs[kMean]);
    }
    const size_t as_norm = output == kOut ? 0 : output == kMean || !centred() ? 1 : 2;
    return norm_->explain(run, of_sum, as_norm, offset);
  }
  [[nodiscard]] int in_place_input(size_t output) const override { return output == kSum ? 0 : -1; }

 private:
  enum Output : size_t { kSum, kOut, kScale, kMean };
  [[nodiscard]] bool centred() const { return layernorm_epsilon(*norm_).has_value(); }

  OpPtr norm_;
};

class AddNormGrad final : public Op {
 public:
  explicit AddNormGrad(OpPtr grad) : grad_(std::move(grad)) {}
  [[nodiscard]] std::string_view kind() const override { return "add_norm_grad"; }
  [[nodiscard]] Equation equation() const override {
    Equation parts = grad_->equation();
    parts.insert(parts.begin() + 1, {" = dresidual +", EquationPart::Meaning::residual});
    parts[2].text.erase(0, std::string_view(" =").size());
    return parts;
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[kBase] != nullptr && in[kBase]->count() != in[kX]->count())
      shape_error(kind(), in, "a residual's gradient of the size of x");
    return {*in[kX], *in[kGain], *in[kGain], *in[kGain]};
  }
  [[nodiscard]] bool follows_element(size_t input) const override {
    return input != kScale && input != kMean;
  }
  [[nodiscard]] ElementType output_type(size_t output, ElementType element) const override {
    return output == 0 ? element : ElementType::f32;
  }
  void run(const StepMemory& m) const override {
    const Shape& x = *m.input_shapes[kX];
    m.typed([&](const auto& t) {
      training_kernels(m, t).add_norm_backward(m.context(), t.out(0), m.out(1), m.out(2), m.out(3),
                                               t.in(kBase), t.in(kDy), t.in(kX), m.in(kMean), m.in(kScale),
                                               t.in(kGain), x.rows(), x.last());
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    if (output == 3) {
      const Shape& dx = run.program().buffer(step.outputs[0]).shape;
      TermList terms(run, "db[o] = Σ_t dX[t,o]");
      for (int64_t r = 0; r < dx.rows(); ++r) terms.product({{step.outputs[0], r * dx.last() + offset}});
      return terms.finish();
    }
    Step alone;
    alone.inputs = {step.inputs[kDy], step.inputs[kX], step.inputs[kScale], step.inputs[kGain]};
    if (step.inputs[kMean] != no_buffer) alone.inputs.insert(alone.inputs.begin() + 2, step.inputs[kMean]);
    alone.outputs = step.outputs;
    CellTerms cell = grad_->explain(run, alone, output, offset);
    if (output == 0 && step.inputs[kBase] != no_buffer) {
      const CellRef base{step.inputs[kBase], offset};
      cell.terms.insert(cell.terms.begin(),
                        {{base}, 1.0, run.value(base.buffer, offset), CellTerm::Form::product});
      cell.formula.replace(0, std::string_view("dX =").size(), "dX = dresidual +");
      cell.result = combine_terms(cell);
    }
    return cell;
  }

 private:
  enum Input : size_t { kDy, kX, kScale, kGain, kMean, kBase };

  OpPtr grad_;
};

}  // namespace

OpPtr add_norm(OpPtr norm) { return std::make_shared<AddNorm>(std::move(norm)); }
OpPtr add_norm_grad(OpPtr norm_grad) { return std::make_shared<AddNormGrad>(std::move(norm_grad)); }

}  // namespace headlight::ops
