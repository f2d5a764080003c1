// Rotary positions (RoPE, Su et al. 2021): a query or key at position t is turned, pair by pair of its
// elements, by an angle that grows with t. Elements d and d + D/2 are a pair, as in Llama. Backward turns the
// other way.
#include <cmath>

#include "core/ops/ops.h"
#include "core/ops/terms.h"
#include "core/tape/differentiate.h"

namespace headlight::ops {
namespace {

/// () or (first positions [B]) → cosine, sine [T,D/2], or [B,T,D/2] with positions of their own
class RopeTable final : public Op {
 public:
  RopeTable(const kernels::RopeConstants& constants, int64_t T, int64_t D)
      : constants_(constants), T_(T), D_(D) {}
  [[nodiscard]] std::string_view kind() const override { return "rope_table"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"cos", position},
            {" tω, ", plain},
            {"sin", position},
            {fmt::format(" tω,   ω[d] = {:g}", constants_.theta), plain},
            {"^{−2d∕D}", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Axis T{"T", T_}, pairs{"D/2", D_ / 2};
    const Shape table = in.empty() ? Shape{T, pairs} : Shape{{"B", in[0]->count()}, T, pairs};
    return {table, table};
  }
  [[nodiscard]] ElementType output_type(size_t, ElementType) const override { return ElementType::f32; }
  void run(const StepMemory& m) const override {
    const bool own_positions = !m.inputs.empty();
    m.kernels().rope_table(m.context(), m.out(0), m.out(1), own_positions ? m.tokens(0) : nullptr, constants_,
                           own_positions ? m.input_shapes[0]->count() : 1, T_, D_);
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const int64_t half = D_ / 2, row = offset / half;
    TermList terms(run, output == 0 ? "cos[t,d] = cos(t·ω[d])" : "sin[t,d] = sin(t·ω[d])");
    auto at = static_cast<double>(row % T_);
    std::vector<CellRef> sources;
    if (!step.inputs.empty()) {
      sources.push_back({step.inputs[0], row / T_});
      at += terms.read(sources[0]);
    }
    const double angle = at * kernels::rope_frequency(constants_, offset % half, D_);
    const double value = output == 0 ? std::cos(angle) : std::sin(angle);
    if (sources.empty()) {
      terms.constant(value);  // it comes from the position alone
    } else {
      terms.function(sources, value);
    }
    return terms.finish();
  }

 private:
  kernels::RopeConstants constants_;
  int64_t T_, D_;
};

/// (x [B,T,…], cosine, sine) → x with the first `rotated` heads of each token turned; also its own gradient,
/// turned back.
class Rope final : public Op {
 public:
  Rope(int64_t D, int64_t rotated, bool inverse) : D_(D), rotated_(rotated), inverse_(inverse) {}
  [[nodiscard]] std::string_view kind() const override { return inverse_ ? "rope_grad" : "rope"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    if (inverse_) return {{"dX", gradient}, {" = rot′(dY),  turned back by tω", plain}};
    return {{"rot(x)", position}, {" = x · cos tω + x′ · sin tω,   x′ = (−x[d+D∕2], x[d])", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape& x = *in[0];
    const bool fits =
        x.rank() >= 3 && heads(x) * D_ == x.count() / x.size(0) / x.size(1) && heads(x) >= rotated_ &&
        in[1]->last() == D_ / 2 &&
        (in[1]->count() == x.size(1) * (D_ / 2) || in[1]->count() == x.size(0) * x.size(1) * (D_ / 2));
    if (!fits) shape_error(kind(), in, "x [B,T,H,D] and a table [T,D/2]");
    return {x};
  }
  [[nodiscard]] bool follows_element(size_t input) const override { return input == 0; }
  void run(const StepMemory& m) const override {
    const Shape& x = *m.input_shapes[0];
    m.typed([&](const auto& t) {
      t.kernels.rope(m.context(), t.out(0), t.in(0), m.in(1), m.in(2), inverse_, x.size(0),
                     tables(x, *m.input_shapes[1]), x.size(1), heads(x), rotated_, D_);
    });
  }
  void backward(Differentiator& d, const Step& step) const override {
    const BufferId dy = d.gradient(step.outputs[0]);
    if (dy == no_buffer) return;
    d.contribute(step, std::make_shared<Rope>(D_, rotated_, true), {dy, step.inputs[1], step.inputs[2]},
                 {step.inputs[0]});
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Program& p = run.program();
    const Shape& x = p.buffer(step.inputs[0]).shape;
    const int64_t half = D_ / 2, d = offset % D_, pair = d % half;
    const int64_t head = offset / D_ % heads(x), token = offset / D_ / heads(x);
    TermList terms(run, inverse_ ? "dX[d] = dY[d]·cos + dY[d+D/2]·sin,  dX[d+D/2] = dY[d+D/2]·cos − dY[d]·sin"
                                 : "Y[d] = X[d]·cos − X[d+D/2]·sin,  Y[d+D/2] = X[d+D/2]·cos + X[d]·sin");
    if (head >= rotated_) {
      terms.product({{step.inputs[0], offset}});
      return terms.finish();
    }
    const bool shared = tables(x, p.buffer(step.inputs[1]).shape) == 1;
    const int64_t angle = (shared ? token % x.size(1) : token) * half + pair;
    const bool first = d < half;
    terms.product({{step.inputs[0], offset}, {step.inputs[1], angle}});
    terms.product({{step.inputs[0], first ? offset + half : offset - half}, {step.inputs[2], angle}},
                  first == inverse_ ? 1.0 : -1.0);
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t) const override { return 0; }

 private:
  [[nodiscard]] int64_t heads(const Shape& x) const { return x.count() / x.size(0) / x.size(1) / D_; }
  /// 1, or one for each sequence.
  static int64_t tables(const Shape& x, const Shape& table) { return table.rank() == 3 ? x.size(0) : 1; }

  int64_t D_, rotated_;
  bool inverse_;
};

}  // namespace

OpPtr rope_table(const kernels::RopeConstants& constants, int64_t T, int64_t D) {
  return std::make_shared<RopeTable>(constants, T, D);
}

OpPtr rope(int64_t D, int64_t rotated) { return std::make_shared<Rope>(D, rotated, false); }

}  // namespace headlight::ops
