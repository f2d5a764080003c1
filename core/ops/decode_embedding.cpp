// Rows of an embedding table stored in 16 or 8 bits with the learned positions of their places added: the
// first three steps of a decode program in one.
#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {
namespace {

enum Input : size_t { kTokens, kTable, kPlaces, kPositions };

class DecodeEmbedding final : public Op {
 public:
  DecodeEmbedding(WeightFormat format, int64_t group) : format_(format), group_(group) {}
  [[nodiscard]] std::string_view kind() const override { return "decode_embedding"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"X", residual}, {" = E[token] + ", plain}, {"position[its place]", position}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape &tokens = *in[kTokens], &table = *in[kTable];
    if (tokens.rank() != 2 || table.rank() != 2 || in[kPlaces]->rank() != 2 ||
        in[kPlaces]->last() != table.last() || in[kPositions]->count() != tokens.size(0)) {
      shape_error(kind(), in, "tokens [B,T], tables [V,C] and [P,C], and positions [B]");
    }
    return {{tokens[0], tokens[1], table[1]}};
  }
  void run(const StepMemory& m) const override {
    const Shape &tokens = *m.input_shapes[kTokens], &table = *m.input_shapes[kTable];
    const int64_t P = m.input_shapes[kPlaces]->size(0);
    const kernels::DecodeKernels& kernels = decode_kernels(m);
    if (format_ == WeightFormat::int8) {
      kernels.embedding_int8(m.context(), m.out(0), m.tokens(kTokens), m.inputs[kTable], m.in(kPlaces),
                             m.tokens(kPositions), tokens.size(0), tokens.size(1), table.last(),
                             table.size(0), group_, P);
    } else {
      kernels.embedding_bf16(m.context(), m.out(0), m.tokens(kTokens), m.inputs[kTable], m.in(kPlaces),
                             m.tokens(kPositions), tokens.size(0), tokens.size(1), table.last(),
                             table.size(0), P);
    }
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t,
                                  int64_t offset) const override {
    const Shape& places = run.program().buffer(step.inputs[kPlaces]).shape;
    const std::vector<int64_t> at = run.program().buffer(step.outputs[0]).shape.index(offset);  // b, t, c
    const int64_t C = places.last();
    const auto token = static_cast<int64_t>(run.value(step.inputs[kTokens], offset / C));
    const int64_t place =
        std::min(static_cast<int64_t>(run.value(step.inputs[kPositions], at[0])) + at[1], places.size(0) - 1);
    TermList terms(run, "X[t,c] = E[token t, c] + position[first + t, c], E as it is stored");
    terms.product({{step.inputs[kTable], token * C + at[2]}});
    terms.product({{step.inputs[kPlaces], place * C + at[2]}});
    return terms.finish();
  }

 private:
  WeightFormat format_;
  int64_t group_;
};

}  // namespace

OpPtr decode_embedding(WeightFormat format, int64_t group) {
  return std::make_shared<DecodeEmbedding>(format, group);
}

}  // namespace headlight::ops
