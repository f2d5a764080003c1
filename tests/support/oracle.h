// What every kernel must compute, in double precision and naive loops: the reference of the kernels' tests. A
// backward pass is checked against finite differences of these forward functions.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace headlight::test::oracle {

using Values = std::vector<double>;
using Tokens = std::vector<int32_t>;

/// y [R,C] from a table [V,C].
Values embedding(const Values& table, const Tokens& tokens, int64_t C);
/// y [B,T,C] from a table [P,C].
Values position(const Values& table, int64_t B, int64_t T, int64_t C);

struct LayerNorm {
  Values mean, scale, normalized, y;
};
/// `bias` may be empty.
LayerNorm layernorm(const Values& x, const Values& gain, const Values& bias, int64_t C, double eps);

struct RmsNorm {
  Values scale, normalized, y;
};
RmsNorm rmsnorm(const Values& x, const Values& gain, int64_t C, double eps);

/// y [R,out]; `bias` may be empty.
Values linear(const Values& x, const Values& w, const Values& bias, int64_t R, int64_t in, int64_t out,
              kernels::WeightLayout layout);

struct Heads {
  Values q, k, v;
};
/// q [B,T,H,D], k, v [B,T,H_kv,D] from qkv [B,T,(H+2·H_kv)·D].
Heads split_heads(const Values& qkv, int64_t B, int64_t T, int64_t H, int64_t H_kv, int64_t D);
/// The first `rotated` of `heads` heads of x [B,T,heads,D] turned; positions from first[b], or from 0 where
/// it is empty.
Values rope(const Values& x, const Tokens& first, double theta, int64_t B, int64_t T, int64_t heads,
            int64_t rotated, int64_t D);
/// s [B,H,T,T].
Values scores(const Values& q, const Values& k, int64_t B, int64_t T, int64_t H, int64_t H_kv, int64_t D);
Values scale(const Values& x, double factor);
/// G planes of [T,T].
Values mask(const Values& x, kernels::MaskKind kind, int64_t G, int64_t T);
/// Rows of N.
Values softmax(const Values& x, double inverse_temperature, int64_t N);
/// z [B,T,H,D] from p [B,H,T,T] and v [B,T,H_kv,D].
Values weighted_sum(const Values& p, const Values& v, int64_t B, int64_t T, int64_t H, int64_t H_kv,
                    int64_t D);

struct Attention {
  Values z, lse;
};
/// All the steps from qkv [B,T,(H+2·H_kv)·D], and the log-sum-exp [B,H,T] of the scaled scores.
Attention attention(const Values& qkv, double factor, kernels::MaskKind kind, int64_t B, int64_t T, int64_t H,
                    int64_t H_kv, int64_t D);

Values add(const Values& a, const Values& b);
Values gelu_tanh(const Values& x);
Values gelu_erf(const Values& x);
Values relu(const Values& x);
Values silu(const Values& x);
Values multiply(const Values& a, const Values& b);

struct Loss {
  double loss = 0;
  Values rows;
  Values lse;  ///< of the logits; empty where the input was probabilities
};
/// Of probabilities [R,V].
Loss cross_entropy(const Values& p, const Tokens& targets, int64_t V);
/// Of logits [R,V].
Loss softmax_cross_entropy(const Values& logits, const Tokens& targets, int64_t V);

double sum_of_squares(const Values& x);

struct AdamWState {
  Values w, m, v;
};
/// One step with gradient g·clip at learning rate `rate`; correction1 = 1 − β1^t, correction2 = 1 − β2^t.
AdamWState adamw(const AdamWState& before, const Values& g, double clip, double rate, double correction1,
                 double correction2, const kernels::AdamWConstants& constants);

}  // namespace headlight::test::oracle
