// The reference of every kernel: the formulas of kernels.h, word for word.
#include "tests/support/oracle.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace headlight::test::oracle {

using kernels::MaskKind;
using kernels::WeightLayout;

namespace {

size_t index(int64_t i) { return static_cast<size_t>(i); }
int64_t length(const auto& values) { return static_cast<int64_t>(values.size()); }
Values zeros(int64_t n) { return Values(index(n), 0.0); }

// log Σ e^x over one row.
double log_sum_exp(const double* row, int64_t n) {
  const double top = *std::max_element(row, row + n);
  double total = 0;
  for (int64_t i = 0; i < n; ++i) total += std::exp(row[i] - top);
  return top + std::log(total);
}

double mean_of_counted(const Values& rows, const Tokens& targets) {
  double total = 0;
  double counted = 0;
  for (size_t r = 0; r < rows.size(); ++r) {
    if (targets[r] < 0) continue;
    total += rows[r];
    counted += 1;
  }
  return counted == 0 ? 0 : total / counted;
}

}  // namespace

Values embedding(const Values& table, const Tokens& tokens, int64_t C) {
  Values y = zeros(length(tokens) * C);
  for (int64_t r = 0; r < length(tokens); ++r) {
    for (int64_t c = 0; c < C; ++c) y[index(r * C + c)] = table[index(tokens[index(r)] * C + c)];
  }
  return y;
}

Values position(const Values& table, int64_t B, int64_t T, int64_t C) {
  Values y = zeros(B * T * C);
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t i = 0; i < T * C; ++i) y[index(b * T * C + i)] = table[index(i)];
  }
  return y;
}

LayerNorm layernorm(const Values& x, const Values& gain, const Values& bias, int64_t C, double eps) {
  const int64_t R = length(x) / C;
  LayerNorm out{zeros(R), zeros(R), zeros(R * C), zeros(R * C)};
  for (int64_t r = 0; r < R; ++r) {
    double mean = 0;
    for (int64_t c = 0; c < C; ++c) mean += x[index(r * C + c)];
    mean /= static_cast<double>(C);
    double variance = 0;
    for (int64_t c = 0; c < C; ++c) variance += std::pow(x[index(r * C + c)] - mean, 2);
    variance /= static_cast<double>(C);
    out.mean[index(r)] = mean;
    out.scale[index(r)] = std::sqrt(variance + eps);
    for (int64_t c = 0; c < C; ++c) {
      const double normalized = (x[index(r * C + c)] - mean) / out.scale[index(r)];
      out.normalized[index(r * C + c)] = normalized;
      out.y[index(r * C + c)] = normalized * gain[index(c)] + (bias.empty() ? 0 : bias[index(c)]);
    }
  }
  return out;
}

RmsNorm rmsnorm(const Values& x, const Values& gain, int64_t C, double eps) {
  const int64_t R = length(x) / C;
  RmsNorm out{zeros(R), zeros(R * C), zeros(R * C)};
  for (int64_t r = 0; r < R; ++r) {
    double squares = 0;
    for (int64_t c = 0; c < C; ++c) squares += std::pow(x[index(r * C + c)], 2);
    out.scale[index(r)] = std::sqrt(squares / static_cast<double>(C) + eps);
    for (int64_t c = 0; c < C; ++c) {
      const double normalized = x[index(r * C + c)] / out.scale[index(r)];
      out.normalized[index(r * C + c)] = normalized;
      out.y[index(r * C + c)] = normalized * gain[index(c)];
    }
  }
  return out;
}

Values linear(const Values& x, const Values& w, const Values& bias, int64_t R, int64_t in, int64_t out,
              WeightLayout layout) {
  Values y = zeros(R * out);
  for (int64_t r = 0; r < R; ++r) {
    for (int64_t o = 0; o < out; ++o) {
      double sum = bias.empty() ? 0 : bias[index(o)];
      for (int64_t i = 0; i < in; ++i) {
        sum += x[index(r * in + i)] * w[index(layout == WeightLayout::in_out ? i * out + o : o * in + i)];
      }
      y[index(r * out + o)] = sum;
    }
  }
  return y;
}

Heads split_heads(const Values& qkv, int64_t B, int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  const int64_t C = H * D, K = H_kv * D;
  Heads heads{zeros(B * T * C), zeros(B * T * K), zeros(B * T * K)};
  for (int64_t r = 0; r < B * T; ++r) {
    const int64_t row = r * (C + 2 * K);
    for (int64_t c = 0; c < C; ++c) heads.q[index(r * C + c)] = qkv[index(row + c)];
    for (int64_t c = 0; c < K; ++c) {
      heads.k[index(r * K + c)] = qkv[index(row + C + c)];
      heads.v[index(r * K + c)] = qkv[index(row + C + K + c)];
    }
  }
  return heads;
}

Values scores(const Values& q, const Values& k, int64_t B, int64_t T, int64_t H, int64_t H_kv, int64_t D) {
  Values s = zeros(B * H * T * T);
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t h = 0; h < H; ++h) {
      for (int64_t i = 0; i < T; ++i) {
        for (int64_t j = 0; j < T; ++j) {
          double sum = 0;
          for (int64_t d = 0; d < D; ++d) {
            sum += q[index(((b * T + i) * H + h) * D + d)] *
                   k[index(((b * T + j) * H_kv + h / (H / H_kv)) * D + d)];
          }
          s[index(((b * H + h) * T + i) * T + j)] = sum;
        }
      }
    }
  }
  return s;
}

Values scale(const Values& x, double factor) {
  Values y = x;
  for (double& value : y) value *= factor;
  return y;
}

Values mask(const Values& x, MaskKind kind, int64_t G, int64_t T) {
  Values y = x;
  if (kind == MaskKind::none) return y;
  double future = 0;
  if (kind == MaskKind::causal) future = -std::numeric_limits<double>::infinity();
  if (kind == MaskKind::finite) future = static_cast<double>(kernels::finite_mask_value);
  for (int64_t g = 0; g < G; ++g) {
    for (int64_t i = 0; i < T; ++i) {
      for (int64_t j = i + 1; j < T; ++j) y[index((g * T + i) * T + j)] = future;
    }
  }
  return y;
}

Values softmax(const Values& x, double inverse_temperature, int64_t N) {
  Values y = scale(x, inverse_temperature);
  for (int64_t r = 0; r < length(x) / N; ++r) {
    double* row = y.data() + r * N;
    const double top = *std::max_element(row, row + N);
    double total = 0;
    for (int64_t i = 0; i < N; ++i) total += row[i] = std::exp(row[i] - top);
    for (int64_t i = 0; i < N; ++i) row[i] /= total;
  }
  return y;
}

Values weighted_sum(const Values& p, const Values& v, int64_t B, int64_t T, int64_t H, int64_t H_kv,
                    int64_t D) {
  Values z = zeros(B * T * H * D);
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t h = 0; h < H; ++h) {
      for (int64_t i = 0; i < T; ++i) {
        for (int64_t j = 0; j < T; ++j) {
          for (int64_t d = 0; d < D; ++d) {
            z[index(((b * T + i) * H + h) * D + d)] +=
                p[index(((b * H + h) * T + i) * T + j)] *
                v[index(((b * T + j) * H_kv + h / (H / H_kv)) * D + d)];
          }
        }
      }
    }
  }
  return z;
}

Attention attention(const Values& qkv, double factor, MaskKind kind, int64_t B, int64_t T, int64_t H,
                    int64_t H_kv, int64_t D) {
  const Heads heads = split_heads(qkv, B, T, H, H_kv, D);
  const Values masked = mask(scale(scores(heads.q, heads.k, B, T, H, H_kv, D), factor), kind, B * H, T);
  Attention out{weighted_sum(softmax(masked, 1.0, T), heads.v, B, T, H, H_kv, D), zeros(B * H * T)};
  for (int64_t r = 0; r < B * H * T; ++r) out.lse[index(r)] = log_sum_exp(masked.data() + r * T, T);
  return out;
}

Values rope(const Values& x, const Tokens& first, double theta, int64_t B, int64_t T, int64_t heads,
            int64_t rotated, int64_t D) {
  Values y = x;
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t t = 0; t < T; ++t) {
      for (int64_t h = 0; h < rotated; ++h) {
        for (int64_t d = 0; d < D / 2; ++d) {
          const double position = static_cast<double>(t + (first.empty() ? 0 : first[index(b)]));
          const double angle =
              position / std::pow(theta, static_cast<double>(2 * d) / static_cast<double>(D));
          const int64_t at = ((b * T + t) * heads + h) * D + d;
          const double real = x[index(at)], imaginary = x[index(at + D / 2)];
          y[index(at)] = real * std::cos(angle) - imaginary * std::sin(angle);
          y[index(at + D / 2)] = real * std::sin(angle) + imaginary * std::cos(angle);
        }
      }
    }
  }
  return y;
}

Values multiply(const Values& a, const Values& b) {
  Values y = a;
  for (size_t i = 0; i < y.size(); ++i) y[i] *= b[i];
  return y;
}

Values silu(const Values& x) {
  Values y = x;
  for (double& value : y) value /= 1 + std::exp(-value);
  return y;
}

Values add(const Values& a, const Values& b) {
  Values y = a;
  for (size_t i = 0; i < y.size(); ++i) y[i] += b[i];
  return y;
}

Values gelu_tanh(const Values& x) {
  Values y = x;
  for (double& value : y) {
    value =
        value / 2 * (1 + std::tanh(std::sqrt(2 / std::acos(-1.0)) * (value + 0.044715 * std::pow(value, 3))));
  }
  return y;
}

Values gelu_erf(const Values& x) {
  Values y = x;
  for (double& value : y) value = value / 2 * (1 + std::erf(value / std::sqrt(2.0)));
  return y;
}

Values relu(const Values& x) {
  Values y = x;
  for (double& value : y) value = std::max(value, 0.0);
  return y;
}

Loss cross_entropy(const Values& p, const Tokens& targets, int64_t V) {
  Loss out;
  out.rows = zeros(length(targets));
  for (int64_t r = 0; r < length(targets); ++r) {
    const int32_t target = targets[index(r)];
    if (target >= 0) out.rows[index(r)] = -std::log(p[index(r * V + target)]);
  }
  out.loss = mean_of_counted(out.rows, targets);
  return out;
}

Loss softmax_cross_entropy(const Values& logits, const Tokens& targets, int64_t V) {
  Loss out;
  out.rows = zeros(length(targets));
  out.lse = zeros(length(targets));
  for (int64_t r = 0; r < length(targets); ++r) {
    const int32_t target = targets[index(r)];
    out.lse[index(r)] = log_sum_exp(logits.data() + r * V, V);
    if (target >= 0) out.rows[index(r)] = out.lse[index(r)] - logits[index(r * V + target)];
  }
  out.loss = mean_of_counted(out.rows, targets);
  return out;
}

double sum_of_squares(const Values& x) {
  double total = 0;
  for (const double value : x) total += value * value;
  return total;
}

AdamWState adamw(const AdamWState& before, const Values& g, double clip, double rate, double correction1,
                 double correction2, const kernels::AdamWConstants& constants) {
  AdamWState after = before;
  const double beta1 = static_cast<double>(constants.beta1);
  const double beta2 = static_cast<double>(constants.beta2);
  for (size_t i = 0; i < g.size(); ++i) {
    const double gradient = g[i] * clip;
    after.m[i] = beta1 * before.m[i] + (1 - beta1) * gradient;
    after.v[i] = beta2 * before.v[i] + (1 - beta2) * gradient * gradient;
    const double step = after.m[i] / correction1 /
                        (std::sqrt(after.v[i] / correction2) + static_cast<double>(constants.epsilon));
    after.w[i] = before.w[i] - rate * (step + static_cast<double>(constants.weight_decay) * before.w[i]);
  }
  return after;
}

}  // namespace headlight::test::oracle
