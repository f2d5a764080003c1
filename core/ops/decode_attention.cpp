// Attention of a few new tokens over a cache of keys and values that they join in the same step: split, both
// appends and the fused attention of a block in one.
#include <cmath>

#include "core/ops/cache_places.h"
#include "core/ops/inference.h"
#include "core/ops/terms.h"

namespace headlight::ops {

const kernels::DecodeKernels& decode_kernels(const StepMemory& memory) {
  const kernels::DecodeKernels* kernels = inference_kernels(memory).decoding;
  if (kernels == nullptr) {
    fail("{} has no fused steps for decoding; run the program without them", memory.backend.description());
  }
  return *kernels;
}

namespace {

enum Input : size_t { kQkv, kPastKeys, kPastValues, kPositions, kCounts };

class DecodeAttention final : public Op {
 public:
  DecodeAttention(int64_t H, double scale) : H_(H), scale_(scale) {}
  [[nodiscard]] std::string_view kind() const override { return "decode_attention"; }
  [[nodiscard]] Equation equation() const override {
    using enum EquationPart::Meaning;
    return {{"Z", attention},
            {" = softmax(", plain},
            {"Q", query},
            {"K", key},
            {fmt::format("ᵀ · {:.4g} + M) ", scale_), plain},
            {"V", value},
            {",  K and V join the cache", muted}};
  }
  [[nodiscard]] std::vector<Shape> output_shapes(std::span<const Shape* const> in) const override {
    const Shape &qkv = *in[kQkv], &k = *in[kPastKeys];
    if (qkv.rank() != 3 || k.rank() != 4 || !(*in[kPastValues] == k) || H_ % k.size(1) != 0 ||
        qkv.last() != (H_ + 2 * k.size(1)) * k.last()) {
      shape_error(kind(), in, "qkv [B,T,(H+2G)·D] and two caches [B,G,S,D]");
    }
    return {{qkv[0], qkv[1], {"C", H_ * k.last()}}, k, k};
  }
  void run(const StepMemory& m) const override {
    const Shape &qkv = *m.input_shapes[kQkv], &k = *m.input_shapes[kPastKeys];
    decode_kernels(m).attention(m.context(), m.out(0), m.out(1), m.out(2), m.in(kQkv), m.tokens(kPositions),
                                m.tokens(kCounts), static_cast<float>(scale_), qkv.size(0), qkv.size(1), H_,
                                k.size(1), k.size(2), k.last());
  }
  [[nodiscard]] CellTerms explain(const CellReader& run, const Step& step, size_t output,
                                  int64_t offset) const override {
    const Shape& qkv = run.program().buffer(step.inputs[kQkv]).shape;
    const Shape& k = run.program().buffer(step.inputs[kPastKeys]).shape;
    const int64_t G = k.size(1), D = k.last();
    // Key (0) or value (1) of head g at place j.
    const auto cell = [&](const Places& places, int64_t which, int64_t b, int64_t g, int64_t j, int64_t d) {
      if (j < places.first) {
        return CellRef{step.inputs[which == 0 ? kPastKeys : kPastValues], k.offset({b, g, j, d})};
      }
      return CellRef{step.inputs[kQkv], qkv.offset({b, j - places.first, (H_ + which * G + g) * D + d})};
    };
    if (output > 0) {
      const std::vector<int64_t> at = k.index(offset);  // b, g, j, d
      const Places places(run, step.inputs[kPositions], step.inputs[kCounts], at[0]);
      const bool is_new = at[2] >= places.first && at[2] < places.used;
      TermList terms(run, "cache[j,d] = the new token's where new, else as it was");
      const auto which = static_cast<int64_t>(output) - 1;
      const CellRef past{step.inputs[which == 0 ? kPastKeys : kPastValues], offset};
      terms.product({is_new ? cell(places, which, at[0], at[1], at[2], at[3]) : past});
      return terms.finish();
    }
    const int64_t C = H_ * D, token = offset / C, b = token / qkv.size(1), i = token % qkv.size(1);
    const int64_t h = offset % C / D, g = h / (H_ / G);
    const Places places(run, step.inputs[kPositions], step.inputs[kCounts], b);
    TermList terms(run, "Z[i,d] = Σ_j e^(Q[i]·K[j]·scale − lse[i])·V[j,d]");
    if (places.first + i >= places.used) return terms.finish();  // not a real token
    std::vector<double> weights;
    double top = -INFINITY, total = 0;
    for (int64_t j = 0; j < places.seen(i); ++j) {
      double score = 0;
      for (int64_t d = 0; d < D; ++d) {
        score += run.value(step.inputs[kQkv], qkv.offset({b, i, h * D + d})) *
                 terms.read(cell(places, 0, b, g, j, d));
      }
      weights.push_back(score * scale_);
      top = std::max(top, weights.back());
    }
    for (double& weight : weights) total += weight = std::exp(weight - top);
    for (size_t j = 0; j < weights.size(); ++j) {
      const CellRef value = cell(places, 1, b, g, static_cast<int64_t>(j), offset % D);
      terms.function({value}, weights[j] / total * terms.read(value));
    }
    return terms.finish();
  }
  [[nodiscard]] int in_place_input(size_t output) const override {
    return output == 0 ? -1 : static_cast<int>(output);
  }
  [[nodiscard]] double flops(std::span<const Shape* const> in) const override {
    const auto T = static_cast<double>(in[kQkv]->size(0) * in[kQkv]->size(1));
    return 4.0 * T * static_cast<double>(H_ * in[kPastKeys]->last() * in[kPastKeys]->size(2));
  }

 private:
  int64_t H_;
  double scale_;
};

}  // namespace

OpPtr decode_attention(int64_t H, double scale) { return std::make_shared<DecodeAttention>(H, scale); }

}  // namespace headlight::ops
