// The model once more, in double and in plain loops: the judge of forward passes, gradients (by finite
// differences) and edits. Shares no arithmetic with the kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numbers>
#include <string>
#include <vector>

#include "core/model/config.h"
#include "core/model/parameters.h"

namespace headlight::test {

class ReferenceModel {
 public:
  using Values = std::vector<double>;
  /// Called with each activation's hook name; may change the values in place, as an edit does.
  using Hook = std::function<void(const std::string& name, Values& values)>;

  ReferenceModel(const ModelConfig& config, int64_t B, int64_t T) : c_(config), B_(B), T_(T) {}

  /// Takes over the weights of the model under test.
  void load(const Parameters& parameters) {
    for (const Parameters::Entry& entry : parameters.entries()) {
      const std::vector<float> values = parameters.download(entry.value, entry);
      weights[entry.spec.name] = Values(values.begin(), values.end());
    }
  }

  /// The mean loss over targets ≥ 0; `activations` holds every hooked value afterwards.
  double forward(const std::vector<int32_t>& tokens, const std::vector<int32_t>& targets, Hook hook = {}) {
    hook_ = std::move(hook);
    activations.clear();
    const int64_t C = c_.n_embd, V = c_.vocab_size;
    const Values& wte = weights.at("wte.weight");
    Values x(static_cast<size_t>(rows() * C));
    for (int64_t r = 0; r < rows(); ++r) {
      for (int64_t c = 0; c < C; ++c) at(x, r * C + c) = at(wte, tokens[static_cast<size_t>(r)] * C + c);
    }
    note("hook_embed", x);
    if (c_.position == PositionKind::learned) {
      for (int64_t i = 0; i < rows() * C; ++i) at(x, i) += at(weights.at("wpe.weight"), i % (T_ * C));
    }
    note("blocks.0.hook_resid_pre", x);
    for (int64_t l = 0; l < c_.n_layer; ++l) {
      x = sublayer(x, l, 1, "hook_resid_mid");
      if (c_.mlp != MlpKind::none) x = sublayer(x, l, 2, "hook_resid_post");
    }
    if (c_.has_final_norm()) x = norm(x, "ln_f");
    const Values& head = c_.tie_word_embeddings ? wte : weights.at("lm_head.weight");
    Values logits(static_cast<size_t>(rows() * V));
    for (int64_t r = 0; r < rows(); ++r) {
      for (int64_t v = 0; v < V; ++v) {
        for (int64_t c = 0; c < C; ++c) at(logits, r * V + v) += at(x, r * C + c) * at(head, v * C + c);
      }
    }
    note("unembed.hook_out", logits);
    return cross_entropy(logits, targets);
  }

  std::map<std::string, Values> weights, activations;

 private:
  [[nodiscard]] int64_t rows() const { return B_ * T_; }
  static double& at(Values& values, int64_t i) { return values[static_cast<size_t>(i)]; }
  static double at(const Values& values, int64_t i) { return values[static_cast<size_t>(i)]; }
  void note(const std::string& name, Values& values) {
    if (hook_) hook_(name, values);
    activations[name] = values;
  }

  Values sublayer(const Values& x, int64_t l, int number, const std::string& result) {
    const std::string hook = "blocks." + std::to_string(l) + ".", weight = "h." + std::to_string(l) + ".";
    const std::string ln = weight + "ln_" + std::to_string(number);
    const bool has_norm = c_.norm != NormKind::none;
    const bool pre = has_norm && c_.norm_position == NormPosition::pre;
    const Values in = pre ? norm(x, ln) : x;
    Values out = number == 1 ? attention(in, hook, weight) : mlp(in, hook, weight);
    if (c_.residual) {
      for (size_t i = 0; i < out.size(); ++i) out[i] += x[i];
    }
    if (has_norm && !pre) out = norm(out, ln);
    note(hook + result, out);
    return out;
  }

  Values norm(const Values& x, const std::string& weight) {
    const int64_t C = c_.n_embd;
    const Values& gain = weights.at(weight + ".weight");
    const bool centred = c_.norm == NormKind::layernorm;
    const Values* bias = c_.bias && centred ? &weights.at(weight + ".bias") : nullptr;
    Values y = x;
    for (int64_t r = 0; r < rows(); ++r) {
      double mean = 0, variance = 0;
      for (int64_t c = 0; centred && c < C; ++c) mean += at(x, r * C + c) / static_cast<double>(C);
      for (int64_t c = 0; c < C; ++c)
        variance += std::pow(at(x, r * C + c) - mean, 2) / static_cast<double>(C);
      for (int64_t c = 0; c < C; ++c) {
        at(y, r * C + c) =
            (at(x, r * C + c) - mean) / std::sqrt(variance + c_.layer_norm_epsilon) * at(gain, c) +
            (bias != nullptr ? at(*bias, c) : 0.0);
      }
    }
    return y;
  }

  /// Each pair of a head's elements as a complex number, times e^(i·t·frequency).
  void rotate(Values& x, int64_t heads, int64_t D) const {
    for (int64_t r = 0; r < rows(); ++r) {
      for (int64_t d = 0; d < D / 2; ++d) {
        const double angle = static_cast<double>(r % T_) *
                             std::pow(c_.rope_theta, -2.0 * static_cast<double>(d) / static_cast<double>(D));
        for (int64_t h = 0; h < heads; ++h) {
          double &real = at(x, (r * heads + h) * D + d), &imaginary = at(x, (r * heads + h) * D + d + D / 2);
          const double turned = real * std::cos(angle) - imaginary * std::sin(angle);
          imaginary = real * std::sin(angle) + imaginary * std::cos(angle);
          real = turned;
        }
      }
    }
  }

  Values linear(const Values& x, const std::string& weight, int64_t in, int64_t out) {
    const Values& matrix = weights.at(weight + ".weight");
    const Values* bias = c_.bias ? &weights.at(weight + ".bias") : nullptr;
    Values y(static_cast<size_t>(rows() * out));
    for (int64_t r = 0; r < rows(); ++r) {
      for (int64_t o = 0; o < out; ++o) {
        double sum = c_.bias ? at(*bias, o) : 0.0;
        for (int64_t i = 0; i < in; ++i) sum += at(x, r * in + i) * at(matrix, i * out + o);
        at(y, r * out + o) = sum;
      }
    }
    return y;
  }

  Values attention(const Values& x, const std::string& hook, const std::string& weight) {
    const int64_t C = c_.n_embd, H = c_.n_head, D = C / H, K = c_.kv_heads() * D, W = C + 2 * K;
    const Values qkv = linear(x, weight + "attn.c_attn", C, W);
    Values part[3];
    static constexpr const char* names[] = {"hook_q", "hook_k", "hook_v"};
    for (int p = 0; p < 3; ++p) {
      const int64_t begin = p == 0 ? 0 : C + (p - 1) * K;
      for (int64_t r = 0; r < rows(); ++r) {
        for (int64_t c = 0; c < (p == 0 ? C : K); ++c) part[p].push_back(at(qkv, r * W + begin + c));
      }
      note(hook + "attn." + names[p], part[p]);
    }
    if (c_.position == PositionKind::rope) {
      rotate(part[0], H, D);
      note(hook + "attn.hook_rot_q", part[0]);
      rotate(part[1], c_.kv_heads(), D);
      note(hook + "attn.hook_rot_k", part[1]);
    }
    // Where query head h finds its keys and values.
    const auto key = [&](int64_t h) { return h / (H / c_.kv_heads()) * D; };
    Values scores(static_cast<size_t>(B_ * H * T_ * T_));
    const auto plane = [&](int64_t b, int64_t h, int64_t i, int64_t j) {
      return ((b * H + h) * T_ + i) * T_ + j;
    };
    const auto each_cell = [&](auto use) {
      for (int64_t b = 0; b < B_; ++b) {
        for (int64_t h = 0; h < H; ++h) {
          for (int64_t i = 0; i < T_; ++i) {
            for (int64_t j = 0; j < T_; ++j) use(b, h, i, j);
          }
        }
      }
    };
    each_cell([&](int64_t b, int64_t h, int64_t i, int64_t j) {
      for (int64_t d = 0; d < D; ++d) {
        at(scores, plane(b, h, i, j)) +=
            at(part[0], (b * T_ + i) * C + h * D + d) * at(part[1], (b * T_ + j) * K + key(h) + d);
      }
    });
    note(hook + "attn.hook_scores_raw", scores);
    if (c_.scale_attn_weights) {
      for (double& s : scores) s /= std::sqrt(static_cast<double>(D));
    }
    note(hook + "attn.hook_scores_scaled", scores);
    each_cell([&](int64_t b, int64_t h, int64_t i, int64_t j) {
      double& s = at(scores, plane(b, h, i, j));
      if (j <= i || c_.mask == AttentionMask::none) return;
      s = c_.mask == AttentionMask::zero     ? 0.0
          : c_.mask == AttentionMask::finite ? -1e9
                                             : -std::numeric_limits<double>::infinity();
    });
    note(hook + "attn.hook_attn_scores", scores);
    for (double& s : scores) s /= c_.temperature;
    Values pattern = softmax(scores, T_);
    note(hook + "attn.hook_pattern", pattern);
    Values z(static_cast<size_t>(rows() * C));
    each_cell([&](int64_t b, int64_t h, int64_t i, int64_t j) {
      for (int64_t d = 0; d < D; ++d) {
        at(z, (b * T_ + i) * C + h * D + d) +=
            at(pattern, plane(b, h, i, j)) * at(part[2], (b * T_ + j) * K + key(h) + d);
      }
    });
    note(hook + "attn.hook_z", z);
    Values out = linear(z, weight + "attn.c_proj", C, C);
    note(hook + "hook_attn_out", out);
    return out;
  }

  Values mlp(const Values& x, const std::string& hook, const std::string& weight) {
    const bool gated = c_.mlp == MlpKind::gated;
    Values a = linear(x, weight + (gated ? "mlp.c_gate" : "mlp.c_fc"), c_.n_embd, c_.mlp_width());
    note(hook + "mlp.hook_pre", a);
    for (double& v : a) {
      switch (c_.activation) {
        case Activation::gelu_tanh:
          v = 0.5 * v * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (v + 0.044715 * v * v * v)));
          break;
        case Activation::gelu_erf:
          v = 0.5 * v * (1 + std::erf(v / std::numbers::sqrt2));
          break;
        case Activation::relu:
          v = v > 0 ? v : 0.0;
          break;
        case Activation::silu:
          v = v / (1 + std::exp(-v));
          break;
      }
    }
    if (gated) {
      note(hook + "mlp.hook_gate", a);
      Values up = linear(x, weight + "mlp.c_fc", c_.n_embd, c_.mlp_width());
      note(hook + "mlp.hook_pre_linear", up);
      for (size_t i = 0; i < a.size(); ++i) a[i] *= up[i];
    }
    note(hook + "mlp.hook_post", a);
    Values out = linear(a, weight + "mlp.c_proj", c_.mlp_width(), c_.n_embd);
    note(hook + "hook_mlp_out", out);
    return out;
  }

  static Values softmax(const Values& x, int64_t n) {
    Values y = x;
    for (size_t start = 0; start < x.size(); start += static_cast<size_t>(n)) {
      const auto first = x.begin() + static_cast<std::ptrdiff_t>(start);
      const double maximum = *std::max_element(first, first + n);
      double sum = 0;
      for (size_t i = start; i < start + static_cast<size_t>(n); ++i) sum += y[i] = std::exp(x[i] - maximum);
      for (size_t i = start; i < start + static_cast<size_t>(n); ++i) y[i] /= sum;
    }
    return y;
  }

  double cross_entropy(const Values& logits, const std::vector<int32_t>& targets) {
    Values p = softmax(logits, c_.vocab_size);
    note("probs", p);
    double sum = 0, counted = 0;
    for (int64_t r = 0; r < rows(); ++r) {
      const int32_t target = targets[static_cast<size_t>(r)];
      if (target < 0) continue;
      sum -= std::log(at(p, r * c_.vocab_size + target));
      counted += 1;
    }
    return sum / counted;
  }

  ModelConfig c_;
  int64_t B_, T_;
  Hook hook_;
};

}  // namespace headlight::test
