// Rows of an embedding table that is stored in 16 or 8 bits.
#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

class PackedEmbedding final : public Op {
 public:
  PackedEmbedding(WeightFormat format, int64_t group) : format_(format), group_(group) {}
  [[nodiscard]] std::string_view kind() const override { return "packed_embedding"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"X", residual},
            {format_ == WeightFormat::int8 ? " = code[token] · scale" : " = E[token]", plain}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    if (in[0]->rank() != 2 || in[1]->rank() != 2) shape_error(kind(), in, "tokens [B,T] and a table [V,C]");
    return {{(*in[0])[0], (*in[0])[1], (*in[1])[1]}};
  }
  void run(const StepMemory& m) const override {
    const int64_t R = m.input_shapes[0]->count(), V = m.input_shapes[1]->size(0),
                  C = m.input_shapes[1]->last();
    if (format_ == WeightFormat::int8) {
      inference_kernels(m).embedding_forward_int8(m.context(), m.out(0), m.tokens(0), m.inputs[1], R, C, V,
                                                  group_);
    } else {
      inference_kernels(m).embedding_forward_bf16(m.context(), m.out(0), m.tokens(0), m.inputs[1], R, C, V);
    }
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const int64_t C = run.program().buffer(step.outputs[0]).shape.last();
    const auto token = static_cast<int64_t>(run.value(step.inputs[0], offset / C));
    TermList terms(run, "X[t,c] = E[token t, c], E as it is stored");
    terms.product({{step.inputs[1], token * C + offset % C}});
    return terms.finish();
  }

  [[nodiscard]] PackedWeight weight() const {
    return {.format = format_, .group = group_, .layout = kernels::WeightLayout::out_in};
  }

 private:
  WeightFormat format_;
  int64_t group_;
};

}  // namespace

OpPtr packed_embedding(WeightFormat format, int64_t group) {
  return std::make_shared<PackedEmbedding>(format, group);
}

std::optional<PackedWeight> packed_table(const Op& op) {
  const auto* embedding = dynamic_cast<const PackedEmbedding*>(&op);
  if (embedding == nullptr) return std::nullopt;
  return embedding->weight();
}

}  // namespace headlight::ops
