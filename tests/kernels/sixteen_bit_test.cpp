// Every kernel on bfloat16 and float16 elements against the CPU's fp32 kernel on the same (rounded) numbers:
// a result may differ by its own rounding alone.
#include <cmath>
#include <deque>

#include "tests/kernels/harness.h"

namespace headlight::test {

using kernels::bfloat16;
using kernels::float16;
using kernels::MaskKind;
using kernels::TypedKernels;
using kernels::WeightLayout;

/// Operands of one call, stored as E but rounded to `Rounded` first, so that both sides see the same numbers.
template <class E, class Rounded>
class Call {
 public:
  explicit Call(kernels::Backend& on) : backend(on), kernels(on.typed<E>()) {}

  const E* in(int64_t n, uint32_t seed, float spread = 1.0F) {
    std::vector<E> values;
    for (const float value : normal_values(n, seed, spread)) values.push_back(rounded(value));
    return elements_.emplace_back(backend, values);
  }
  /// Rows of `N` probabilities.
  const E* probabilities(int64_t R, int64_t N, uint32_t seed) {
    std::vector<float> values = normal_values(R * N, seed);
    std::vector<E> p;
    for (int64_t r = 0; r < R; ++r) {
      float sum = 0;
      const auto at = [&](int64_t i) -> float& { return values[static_cast<size_t>(r * N + i)]; };
      for (int64_t i = 0; i < N; ++i) sum += at(i) = std::exp(at(i));
      for (int64_t i = 0; i < N; ++i) p.push_back(rounded(at(i) / sum));
    }
    return elements_.emplace_back(backend, p);
  }
  E* out(int64_t n) { return outputs_.emplace_back(backend, n); }
  const float* floats(int64_t n, uint32_t seed) {
    return floats_.emplace_back(backend, normal_values(n, seed));
  }
  float* float_out(int64_t n) { return float_outputs_.emplace_back(backend, n); }
  const int32_t* ids(int64_t n, int32_t limit, uint32_t seed) {
    return ids_.emplace_back(backend, random_tokens(n, limit, seed));
  }
  const uint64_t* seed(uint64_t value) { return seeds_.emplace_back(backend, std::vector<uint64_t>{value}); }
  [[nodiscard]] kernels::Context& context() const { return backend.context(); }

  [[nodiscard]] std::vector<std::vector<float>> typed_results() const {
    std::vector<std::vector<float>> all;
    for (const Buffer<E>& output : outputs_) {
      std::vector<float>& wide = all.emplace_back();
      for (const E value : output.get()) wide.push_back(kernels::to_float(value));
    }
    return all;
  }
  [[nodiscard]] std::vector<std::vector<float>> float_results() const {
    std::vector<std::vector<float>> all;
    for (const Buffer<float>& output : float_outputs_) all.push_back(output.get());
    return all;
  }

  kernels::Backend& backend;
  const TypedKernels<E>& kernels;

 private:
  static E rounded(float value) {
    return kernels::from_float<E>(kernels::to_float(kernels::from_float<Rounded>(value)));
  }
  std::deque<Buffer<E>> elements_, outputs_;
  std::deque<Buffer<float>> floats_, float_outputs_;
  std::deque<Buffer<int32_t>> ids_;
  std::deque<Buffer<uint64_t>> seeds_;
};

class SixteenBitTest : public KernelTest {
 protected:
  /// Runs body(Call) with both 16-bit types and with fp32 on the CPU, and compares what they wrote.
  template <class Body>
  void compare(const std::string& what, const Body& body, double slack = 1.0) {
    compare_as<bfloat16>(what + " in bfloat16", body, 1.0 / 256, slack);
    compare_as<float16>(what + " in float16", body, 1.0 / 2048, slack);
  }

 private:
  template <class E, class Body>
  void compare_as(const std::string& what, const Body& body, double half_step, double slack) {
    const auto cpu = kernels::make_cpu_backend(backend().threads());
    Call<E, E> found(backend());
    Call<float, E> expected(*cpu);
    body(found);
    body(expected);
    const bool same_kernel = backend().kind() == "cpu";
    const auto typed = found.typed_results(), exact = expected.typed_results();
    ASSERT_EQ(typed.size(), exact.size());
    for (size_t o = 0; o < typed.size(); ++o) {
      double squares = 0;
      for (const float value : exact[o]) squares += std::isfinite(value) ? double{value} * double{value} : 0;
      const double typical = std::sqrt(squares / static_cast<double>(exact[o].size()));
      for (size_t i = 0; i < typed[o].size(); ++i) {
        const float rounded = kernels::to_float(kernels::from_float<E>(exact[o][i]));
        const auto difference = std::abs(static_cast<double>(typed[o][i]) - static_cast<double>(rounded));
        const double allowed =
            same_kernel ? 0
                        : slack * half_step * 2 * (std::abs(static_cast<double>(rounded)) + 0.1 * typical);
        ASSERT_TRUE(typed[o][i] == rounded || difference <= allowed)
            << what << ": element " << i << " of typed output " << o << " is " << typed[o][i] << ", not "
            << rounded;
      }
    }
    const auto floats = found.float_results(), exact_floats = expected.float_results();
    ASSERT_EQ(floats.size(), exact_floats.size());
    for (size_t o = 0; o < floats.size(); ++o)
      expect_close(floats[o], widen(exact_floats[o]), what, 10 * slack);
  }
};

TEST_P(SixteenBitTest, Embeddings) {
  compare("embedding", [](auto& c) {
    c.kernels.embedding_forward(c.context(), c.out(13 * 37), c.ids(13, 11, 1), c.in(11 * 37, 2), 13, 37);
  });
  compare("embedding backward", [](auto& c) {
    c.kernels.embedding_backward(c.context(), c.float_out(11 * 37), c.floats(11 * 37, 3), c.in(13 * 37, 2),
                                 c.ids(13, 11, 1), 13, 37, 11);
  });
  compare("position", [](auto& c) {
    c.kernels.position_forward(c.context(), c.out(2 * 5 * 19), c.in(7 * 19, 2), 2, 5, 19);
  });
  compare("position backward", [](auto& c) {
    c.kernels.position_backward(c.context(), c.float_out(7 * 19), c.in(2 * 5 * 19, 2), 2, 5, 19, 7);
  });
}

TEST_P(SixteenBitTest, LayerNorm) {
  constexpr int64_t R = 9, C = 67;
  compare("layernorm", [](auto& c) {
    c.kernels.layernorm_forward(c.context(), c.float_out(R), c.float_out(R), c.out(R * C), c.out(R * C),
                                c.in(R * C, 1), c.in(C, 2), c.in(C, 3), R, C, 1e-5F);
  });
  compare("layernorm without normalized and bias", [](auto& c) {
    c.kernels.layernorm_forward(c.context(), c.float_out(R), c.float_out(R), nullptr, c.out(R * C),
                                c.in(R * C, 1), c.in(C, 2), nullptr, R, C, 1e-5F);
  });
  compare("layernorm backward", [](auto& c) {
    const auto* x = c.in(R * C, 1);
    const auto* gain = c.in(C, 2);
    float* mean = c.float_out(R);
    float* scale = c.float_out(R);
    c.kernels.layernorm_forward(c.context(), mean, scale, nullptr, c.out(R * C), x, gain, nullptr, R, C,
                                1e-5F);
    c.kernels.layernorm_backward(c.context(), c.out(R * C), c.float_out(C), c.float_out(C), c.in(R * C, 4), x,
                                 mean, scale, gain, R, C);
  });
}

TEST_P(SixteenBitTest, RmsNorm) {
  constexpr int64_t R = 9, C = 67;
  compare("rmsnorm", [](auto& c) {
    c.kernels.rmsnorm_forward(c.context(), c.float_out(R), c.out(R * C), c.out(R * C), c.in(R * C, 1),
                              c.in(C, 2), R, C, 1e-5F);
  });
  compare("rmsnorm backward", [](auto& c) {
    const auto* x = c.in(R * C, 1);
    const auto* gain = c.in(C, 2);
    float* scale = c.float_out(R);
    c.kernels.rmsnorm_forward(c.context(), scale, nullptr, c.out(R * C), x, gain, R, C, 1e-5F);
    c.kernels.rmsnorm_backward(c.context(), c.out(R * C), c.float_out(C), c.in(R * C, 4), x, scale, gain, R,
                               C);
  });
}

TEST_P(SixteenBitTest, Linear) {
  constexpr int64_t R = 33, in = 40, out = 24;
  for (const WeightLayout layout : {WeightLayout::in_out, WeightLayout::out_in}) {
    compare("linear", [&](auto& c) {
      c.kernels.linear_forward(c.context(), c.out(R * out), c.in(R * in, 1), c.in(in * out, 2, 0.2F),
                               c.in(out, 3), R, in, out, layout);
      c.kernels.linear_forward(c.context(), c.out(R * out), c.in(R * in, 1), c.in(in * out, 2, 0.2F), nullptr,
                               R, in, out, layout);
    });
    compare("linear backward", [&](auto& c) {
      c.kernels.linear_backward_input(c.context(), c.out(R * in), c.in(R * out, 1), c.in(in * out, 2), R, in,
                                      out, layout);
      c.kernels.linear_backward_weight(c.context(), c.float_out(in * out), c.in(R * out, 1), c.in(R * in, 2),
                                       R, in, out, layout);
    });
  }
  compare("linear backward bias", [](auto& c) {
    c.kernels.linear_backward_bias(c.context(), c.float_out(out), c.in(R * out, 1), R, out);
  });
}

TEST_P(SixteenBitTest, AttentionStepByStep) {
  constexpr int64_t B = 2, T = 19, H = 4, H_kv = 2, D = 8, q = B * T * H * D, k = B * T * H_kv * D,
                    s = B * H * T * T;
  compare("split and merge", [](auto& c) {
    c.kernels.split_heads_forward(c.context(), c.out(q), c.out(k), c.out(k), c.in(q + 2 * k, 1), B, T, H,
                                  H_kv, D);
    c.kernels.split_heads_backward(c.context(), c.out(q + 2 * k), c.in(q, 2), c.in(k, 3), c.in(k, 4), B, T, H,
                                   H_kv, D);
    c.kernels.merge_heads(c.context(), c.out(q), c.in(q, 5), B, T, H, D);
  });
  compare("scores", [](auto& c) {
    c.kernels.scores_forward(c.context(), c.out(s), c.in(q, 1), c.in(k, 2), B, T, H, H_kv, D);
    c.kernels.scores_backward_query(c.context(), c.out(q), c.in(s, 3), c.in(k, 2), B, T, H, H_kv, D);
    c.kernels.scores_backward_key(c.context(), c.out(k), c.in(s, 3), c.in(q, 1), B, T, H, H_kv, D);
  });
  compare("rope", [](auto& c) {
    for (const bool inverse : {false, true}) {
      c.kernels.rope(c.context(), c.out(q), c.in(q, 1), c.floats(T * D / 2, 2), c.floats(T * D / 2, 3),
                     inverse, B, 1, T, H, H - 1, D);
    }
  });
  compare("scale", [](auto& c) { c.kernels.scale(c.context(), c.out(s), c.in(s, 1), 0.3F, s); });
  for (const MaskKind kind : {MaskKind::none, MaskKind::causal, MaskKind::zero, MaskKind::finite}) {
    compare("mask", [&](auto& c) {
      c.kernels.mask_forward(c.context(), c.out(s), c.in(s, 1), kind, B * H, T);
      c.kernels.mask_backward(c.context(), c.out(s), c.in(s, 1), kind, B * H, T);
    });
  }
  compare("softmax", [](auto& c) {
    c.kernels.softmax_forward(c.context(), c.out(s), c.in(s, 1), 1.25F, B * H * T, T);
    c.kernels.softmax_backward(c.context(), c.out(s), c.in(s, 2), c.probabilities(B * H * T, T, 3), 1.25F,
                               B * H * T, T);
  });
  compare("softmax in place", [](auto& c) {
    auto* y = c.out(s);
    c.kernels.mask_forward(c.context(), y, c.in(s, 1), MaskKind::causal, B * H, T);
    c.kernels.softmax_forward(c.context(), y, y, 1.0F, B * H * T, T);
  });
  compare("weighted sum", [](auto& c) {
    const auto* p = c.probabilities(B * H * T, T, 1);
    c.kernels.weighted_sum_forward(c.context(), c.out(q), p, c.in(k, 2), B, T, H, H_kv, D);
    c.kernels.weighted_sum_backward_pattern(c.context(), c.out(s), c.in(q, 3), c.in(k, 2), B, T, H, H_kv, D);
    c.kernels.weighted_sum_backward_value(c.context(), c.out(k), c.in(q, 3), p, B, T, H, H_kv, D);
  });
}

TEST_P(SixteenBitTest, AttentionFused) {
  // A device may keep the pattern and its gradient in 16 bits between two products, and what is summed is
  // often larger than the sum: several steps of the type.
  struct Shape {
    int64_t B, T, H, H_kv, D;
  };
  // Rows of whole 16 bytes, of whole words, of neither; less than a tile, its border, more than one; each
  // width of tile, and wider than any; shared keys.
  for (const auto& [B, T, H, H_kv, D] :
       {Shape{2, 35, 4, 2, 16}, Shape{1, 7, 2, 2, 20}, Shape{1, 64, 1, 1, 64}, Shape{2, 65, 1, 1, 64},
        Shape{1, 200, 2, 1, 64}, Shape{1, 130, 1, 1, 80}, Shape{1, 33, 2, 1, 128}, Shape{1, 140, 1, 1, 128},
        Shape{1, 9, 2, 1, 5}, Shape{1, 12, 1, 1, 136}}) {
    const int64_t q = B * T * H * D, packed = B * T * (H + 2 * H_kv) * D;
    const float scale = 1.0F / std::sqrt(static_cast<float>(D));
    for (const MaskKind kind : {MaskKind::none, MaskKind::causal}) {
      compare(
          "attention",
          [&](auto& c) {
            c.kernels.attention_forward(c.context(), c.out(q), c.float_out(B * H * T), c.in(packed, 1), scale,
                                        kind, B, T, H, H_kv, D);
          },
          8);
      compare(
          "attention backward",
          [&](auto& c) {
            const auto* qkv = c.in(packed, 1);
            auto* z = c.out(q);
            float* lse = c.float_out(B * H * T);
            c.kernels.attention_forward(c.context(), z, lse, qkv, scale, kind, B, T, H, H_kv, D);
            // Both sides start from the same z: one that was rounded.
            c.kernels.attention_backward(c.context(), c.out(packed), c.in(q, 2), c.in(q, 9, 0.3F), lse, qkv,
                                         scale, kind, B, T, H, H_kv, D);
          },
          24);
    }
  }
}

TEST_P(SixteenBitTest, Elementwise) {
  const int64_t n = 1003;
  compare("add", [&](auto& c) { c.kernels.add_forward(c.context(), c.out(n), c.in(n, 1), c.in(n, 2), n); });
  compare("gelu", [&](auto& c) {
    c.kernels.gelu_tanh_forward(c.context(), c.out(n), c.in(n, 1), n);
    c.kernels.gelu_tanh_backward(c.context(), c.out(n), c.in(n, 1), c.in(n, 2), n);
    c.kernels.gelu_erf_forward(c.context(), c.out(n), c.in(n, 1), n);
    c.kernels.gelu_erf_backward(c.context(), c.out(n), c.in(n, 1), c.in(n, 2), n);
  });
  compare("multiply",
          [&](auto& c) { c.kernels.multiply_forward(c.context(), c.out(n), c.in(n, 1), c.in(n, 2), n); });
  compare("silu", [&](auto& c) {
    c.kernels.silu_forward(c.context(), c.out(n), c.in(n, 1), n);
    c.kernels.silu_backward(c.context(), c.out(n), c.in(n, 1), c.in(n, 2), n);
  });
  compare("relu", [&](auto& c) {
    c.kernels.relu_forward(c.context(), c.out(n), c.in(n, 1), n);
    c.kernels.relu_backward(c.context(), c.out(n), c.in(n, 1), c.in(n, 2), n);
  });
  compare("dropout",
          [&](auto& c) { c.kernels.dropout(c.context(), c.out(n), c.in(n, 1), 0.3F, c.seed(77), 5, n); });
  compare("widen and narrow", [&](auto& c) {
    c.kernels.widen(c.context(), c.float_out(n), c.in(n, 1), n);
    c.kernels.narrow(c.context(), c.out(n), c.floats(n, 2), n);
  });
}

TEST_P(SixteenBitTest, Loss) {
  constexpr int64_t R = 7, V = 131;
  compare("cross-entropy", [](auto& c) {
    const auto* p = c.probabilities(R, V, 1);
    const int32_t* targets = c.ids(R, V, 2);
    c.kernels.cross_entropy_forward(c.context(), c.float_out(1), c.float_out(R), p, targets, R, V);
    c.kernels.cross_entropy_backward(c.context(), c.out(R * V), c.floats(1, 3), p, targets, R, V);
  });
  compare("softmax and cross-entropy", [](auto& c) {
    const auto* logits = c.in(R * V, 1, 3.0F);
    const int32_t* targets = c.ids(R, V, 2);
    float* lse = c.float_out(R);
    c.kernels.softmax_cross_entropy_forward(c.context(), c.float_out(1), c.float_out(R), lse, logits, targets,
                                            R, V);
    c.kernels.softmax_cross_entropy_backward(c.context(), c.out(R * V), c.floats(1, 3), logits, lse, targets,
                                             R, V);
  });
}

HEADLIGHT_ON_EVERY_BACKEND(SixteenBitTest);

}  // namespace headlight::test
