// See oracle_inference.h.
#include "tests/support/oracle_inference.h"

#include <algorithm>
#include <cmath>

namespace headlight::test::oracle {

Values cached_attention(const Values& q, const Values& k, const Values& v, const Tokens& at,
                        const Tokens& count, double factor, const CacheSizes& s) {
  Values z(static_cast<size_t>(s.B * s.T * s.H * s.D), 0.0);
  for (int64_t b = 0; b < s.B; ++b) {
    for (int64_t i = 0; i < count[static_cast<size_t>(b)]; ++i) {
      const int64_t seen = at[static_cast<size_t>(b)] + i + 1;
      for (int64_t h = 0; h < s.H; ++h) {
        const int64_t query = ((b * s.T + i) * s.H + h) * s.D;
        const int64_t head = (b * s.G + h / (s.H / s.G)) * s.S * s.D;
        Values weights;
        double top = -INFINITY, total = 0;
        for (int64_t j = 0; j < seen; ++j) {
          double score = 0;
          for (int64_t d = 0; d < s.D; ++d) {
            score += q[static_cast<size_t>(query + d)] * k[static_cast<size_t>(head + j * s.D + d)];
          }
          weights.push_back(score * factor);
          top = std::max(top, weights.back());
        }
        for (double& weight : weights) total += weight = std::exp(weight - top);
        for (int64_t j = 0; j < seen; ++j) {
          for (int64_t d = 0; d < s.D; ++d) {
            z[static_cast<size_t>(query + d)] +=
                weights[static_cast<size_t>(j)] / total * v[static_cast<size_t>(head + j * s.D + d)];
          }
        }
      }
    }
  }
  return z;
}

namespace {
// Rounds values[begin + i·step], i < n, to multiples of a 127th of the largest.
void quantize(Values& to, const std::vector<float>& values, int64_t begin, int64_t step, int64_t n) {
  float largest = 0;
  for (int64_t i = 0; i < n; ++i) {
    largest = std::max(largest, std::abs(values[static_cast<size_t>(begin + i * step)]));
  }
  const float scale = largest / 127.0F, inverse = largest > 0 ? 127.0F / largest : 0.0F;
  for (int64_t i = 0; i < n; ++i) {
    const auto at = static_cast<size_t>(begin + i * step);
    to[at] = static_cast<double>(std::nearbyint(values[at] * inverse)) * static_cast<double>(scale);
  }
}
}  // namespace

Values quantized_weight(const std::vector<float>& w, int64_t in, int64_t out, int64_t group) {
  Values result(w.size());
  const int64_t length = group > 0 ? group : in;
  for (int64_t k = 0; k < in; k += length) {
    for (int64_t o = 0; o < out; ++o) quantize(result, w, k * out + o, out, std::min(length, in - k));
  }
  return result;
}

Values quantized_rows(const std::vector<float>& x, int64_t in, int64_t run) {
  Values result(x.size());
  for (int64_t row = 0; row < static_cast<int64_t>(x.size()); row += in) {
    for (int64_t k = 0; k < in; k += run) quantize(result, x, row + k, 1, std::min(run, in - k));
  }
  return result;
}

}  // namespace headlight::test::oracle
