// The choice of a token: of a row of logits, the largest ones and the sums that a draw needs, in the order in
// which core/text/sampler.cpp adds them.
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/inference.h"
#include "kernels/cpu/ranking.h"

namespace headlight::kernels::cpu {

void best_of_rows(Context& context, BestOfRow* best, const float* x, double temperature,
                  const Feedback& feedback, int64_t R, int64_t V, int64_t k) {
  constexpr double kNegligible = -700.0;  // e^z below is nothing beside 1
  on_cpu(context).pool.run(R, [&](int64_t r, int /*slot*/) {
    const float* row = x + r * V;
    BestOfRow& to = best[r];
    uint64_t keys[most_best];
    rank_row(keys, row, V, k);
    for (int64_t i = 0; i < k; ++i) {
      to.columns[i] = static_cast<int32_t>(index_of_key(keys[i]));
      to.values[i] = row[to.columns[i]];
    }
    const auto largest = static_cast<double>(to.values[0]);
    to.sum = to.weighted = 0;
    for (int64_t j = 0; j < V; ++j) {
      const double z = (static_cast<double>(row[j]) - largest) / temperature;
      if (z < kNegligible) continue;
      const double e = std::exp(z);
      to.sum += e;
      to.weighted += e * z;
    }
    if (feedback.tokens == nullptr) return;
    feedback.tokens[r] = to.columns[0];
    feedback.places[r] += 1;
  });
}

}  // namespace headlight::kernels::cpu
