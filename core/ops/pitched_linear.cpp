// linear and its gradients where y and dy have a pitch: the same op on memory that lies otherwise. Libraries
// choose their fast products by sizes, too: where the weight [out,in] and its gradient have room for as many
// rows as the pitch counts, all of them are multiplied, and the zeros behind add nothing.
#include "core/ops/training.h"

namespace headlight::ops {
namespace {

using kernels::WeightLayout;

class PitchedLinear final : public Op {
 public:
  PitchedLinear(OpPtr linear, int64_t pitch, int64_t spare)
      : linear_(std::move(linear)), pitch_(pitch), spare_(spare) {}
  [[nodiscard]] std::string_view kind() const override { return linear_->kind(); }
  [[nodiscard]] Equation equation() const override { return linear_->equation(); }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return linear_->output_shapes(in);
  }
  [[nodiscard]] ElementType output_type(size_t output, ElementType element) const override {
    return linear_->output_type(output, element);
  }
  [[nodiscard]] int64_t output_pitch(size_t) const override { return kind() == "linear" ? pitch_ : 0; }
  [[nodiscard]] int64_t input_pitch(size_t input) const override {
    return kind() != "linear" && input == 0 ? pitch_ : 0;
  }
  [[nodiscard]] int64_t output_spare(size_t) const override {
    return kind() == "linear_grad_weight" ? spare_ : 0;
  }
  [[nodiscard]] int64_t input_spare(size_t input) const override {
    const bool is_weight = input == 1 && (kind() == "linear" || kind() == "linear_grad_input");
    return is_weight ? spare_ : 0;
  }
  void run(const StepMemory& m) const override {
    const Shape &first = *m.input_shapes[0], &y = kind() == "linear" ? *m.output_shapes[0] : first;
    const int64_t R = first.rows(), out = spare_ > 0 ? pitch_ : y.last();
    m.typed([&](const auto& t) {
      const auto& kernels = training_kernels(m, t);
      if (kind() == "linear") {
        kernels.pitched_linear_forward(m.context(), t.out(0), pitch_, t.in(0), t.in(1), t.in(2), R,
                                       first.last(), out, *linear_layout(*linear_));
      } else if (kind() == "linear_grad_input") {
        kernels.pitched_linear_backward_input(m.context(), t.out(0), t.in(0), pitch_, t.in(1), R,
                                              m.input_shapes[2]->last(), out, *linear_layout(*linear_));
      } else if (kind() == "linear_grad_weight") {
        kernels.pitched_linear_backward_weight(m.context(), m.out(0), t.in(0), pitch_, t.in(1), R,
                                               m.input_shapes[1]->last(), out, *linear_layout(*linear_));
      } else {
        kernels.pitched_linear_backward_bias(m.context(), m.out(0), t.in(0), pitch_, R, out);
      }
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    return linear_->explain(run, step, output, offset);
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override { return linear_->flops(in); }

 private:
  OpPtr linear_;
  int64_t pitch_, spare_;
};

}  // namespace

OpPtr pitched_linear(OpPtr linear, int64_t pitch, int64_t spare) {
  return std::make_shared<PitchedLinear>(std::move(linear), pitch, spare);
}

}  // namespace headlight::ops
