// The attention mask: what a score becomes where the key lies in the future. −∞ is right; 0 is the classic
// mistake. Single cells can be opened or closed by hand.
#include <limits>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

using kernels::MaskKind;

std::string fill_text(MaskKind kind) {
  switch (kind) {
    case MaskKind::none:
      return "S′";
    case MaskKind::causal:
      return "−∞";
    case MaskKind::zero:
      return "0";
    case MaskKind::finite:
      return "−10⁹";
  }
  return "";
}

/// What a kind writes for j > i; NaN for none, which writes nothing.
double fill_value(MaskKind kind) {
  switch (kind) {
    case MaskKind::causal:
      return -std::numeric_limits<double>::infinity();
    case MaskKind::zero:
      return 0.0;
    case MaskKind::finite:
      return static_cast<double>(kernels::finite_mask_value);
    case MaskKind::none:
      break;
  }
  return std::numeric_limits<double>::quiet_NaN();
}

/// What both directions share: which cells are closed.
class MaskRule {
 public:
  MaskRule(MaskKind kind, std::vector<MaskCell> cells) : kind_(kind), cells_(std::move(cells)) {}

  [[nodiscard]] bool closed(int64_t h, int64_t i, int64_t j) const {
    bool result = kind_ != MaskKind::none && j > i;
    for (const MaskCell& cell : cells_) {
      if (cell.query == i && cell.key == j && (cell.head < 0 || cell.head == h)) result = !cell.open;
    }
    return result;
  }
  /// A closed cell that the kind does not close itself is closed with −∞.
  [[nodiscard]] double fill(int64_t i, int64_t j) const {
    return kind_ != MaskKind::none && j > i ? fill_value(kind_) : -std::numeric_limits<double>::infinity();
  }
  /// Rewrites the cells set by hand in `y` (device memory): open ones from `x`, closed ones with
  /// `closed_value`.
  template <class E, class ClosedValue>
  void patch(kernels::Backend& backend, const Shape& shape, E* y, const E* x,
             ClosedValue closed_value) const {
    const int64_t B = shape.size(0), H = shape.size(1), T = shape.size(2);
    for (const MaskCell& cell : cells_) {
      if (cell.query < 0 || cell.query >= T || cell.key < 0 || cell.key >= T) continue;
      for (int64_t b = 0; b < B; ++b) {
        for (int64_t h = 0; h < H; ++h) {
          if (cell.head >= 0 && cell.head != h) continue;
          const int64_t offset = ((b * H + h) * T + cell.query) * T + cell.key;
          if (closed(h, cell.query, cell.key)) {
            const E value = kernels::from_float<E>(static_cast<float>(closed_value(cell.query, cell.key)));
            backend.upload(y + offset, &value, sizeof(E));
          } else {
            backend.copy(y + offset, x + offset, sizeof(E));
          }
        }
      }
    }
  }
  [[nodiscard]] MaskKind kind() const { return kind_; }
  [[nodiscard]] const std::vector<MaskCell>& cells() const { return cells_; }

 private:
  MaskKind kind_;
  std::vector<MaskCell> cells_;
};

/// (dy) → dx: the gradient passes where the cell is open.
class MaskGrad final : public Op {
 public:
  explicit MaskGrad(MaskRule rule) : rule_(std::move(rule)) {}
  [[nodiscard]] std::string_view kind() const override { return "mask_grad"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"dS", gradient}, {" = dY where open, 0 where masked", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    return {*in[0]};
  }
  void run(const StepMemory& m) const override {
    const Shape& s = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.mask_backward(m.context(), t.out(0), t.in(0), rule_.kind(), s.size(0) * s.size(1), s.size(2));
      rule_.patch(m.backend, s, t.out(0), t.in(0), [](int64_t, int64_t) { return 0.0; });
    });
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const std::vector<int64_t> at = run.program().buffer(step.outputs[0]).shape.index(offset);
    TermList terms(run, "dS[i,j] = dY[i,j] where open, 0 where masked");
    if (!rule_.closed(at[1], at[2], at[3])) terms.product({{step.inputs[0], offset}});
    return terms.finish();
  }
  // In place only without hand-set cells: those read the input after the kernel wrote the output.
  [[nodiscard]] int in_place_input(size_t) const override { return rule_.cells().empty() ? 0 : -1; }

 private:
  MaskRule rule_;
};

class Mask final : public Op {
 public:
  explicit Mask(MaskRule rule) : rule_(std::move(rule)) {}
  [[nodiscard]] std::string_view kind() const override { return "mask"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    Equation equation = {{"S″", attention},
                         {" = S′ + M", plain},
                         {",   M = " + fill_text(rule_.kind()) + " for j > i", muted}};
    if (rule_.kind() == MaskKind::zero) equation[1].text = " = S′ for j ≤ i";
    if (rule_.kind() == MaskKind::zero) equation[2].text = ",   0 for j > i";
    if (!rule_.cells().empty()) {
      equation.push_back({fmt::format(",   {} cells by hand", rule_.cells().size()), muted});
    }
    return equation;
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[0]->rank() != 4) shape_error(kind(), in, "scores [B,H,T,T]");
    return {*in[0]};
  }
  void run(const StepMemory& m) const override {
    const Shape& s = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.mask_forward(m.context(), t.out(0), t.in(0), rule_.kind(), s.size(0) * s.size(1), s.size(2));
      rule_.patch(m.backend, s, t.out(0), t.in(0), [this](int64_t i, int64_t j) { return rule_.fill(i, j); });
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    d.contribute(step, std::make_shared<MaskGrad>(rule_), {dy}, {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const std::vector<int64_t> at = run.program().buffer(step.outputs[0]).shape.index(offset);  // b, h, i, j
    TermList terms(run, "S″[i,j] = S′[i,j] where open, " + fill_text(rule_.kind()) + " where masked");
    if (rule_.closed(at[1], at[2], at[3])) {
      terms.constant(rule_.fill(at[2], at[3]));
    } else {
      terms.product({{step.inputs[0], offset}});
    }
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return rule_.cells().empty() ? 0 : -1; }
  [[nodiscard]] OpPtr with_cell(const MaskCell& cell) const {
    std::vector<MaskCell> cells = rule_.cells();
    cells.push_back(cell);
    return std::make_shared<Mask>(MaskRule(rule_.kind(), std::move(cells)));
  }
  [[nodiscard]] const MaskRule& rule() const { return rule_; }

 private:
  MaskRule rule_;
};

}  // namespace

OpPtr mask(kernels::MaskKind kind, std::vector<MaskCell> cells) {
  return std::make_shared<Mask>(MaskRule(kind, std::move(cells)));
}

OpPtr with_mask_cell(const Op& op, const MaskCell& cell) {
  const auto* masked = dynamic_cast<const Mask*>(&op);
  return masked != nullptr ? masked->with_cell(cell) : nullptr;
}

std::optional<kernels::MaskKind> plain_mask_kind(const Op& op) {
  const auto* masked = dynamic_cast<const Mask*>(&op);
  if (masked == nullptr || !masked->rule().cells().empty()) return std::nullopt;
  return masked->rule().kind();
}

}  // namespace headlight::ops
