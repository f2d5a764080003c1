// Statistics of an array and its histogram: two passes, sums in double by chunks of a fixed size.
#include <atomic>
#include <cmath>

#include "kernels/cpu/context.h"
#include "kernels/cpu/inspection.h"

namespace headlight::kernels::cpu {

template <class E>
void statistics(Context& context, ValueStatistics* result, uint64_t* histogram, const E* x, int64_t n,
                int bins) {
  CpuContext& cpu = on_cpu(context);
  const int64_t chunks = divide_up(n, kStreamChunk);
  constexpr int64_t kFloats = sizeof(FiniteSums) / sizeof(float);
  auto* shares = reinterpret_cast<FiniteSums*>(cpu.workspace(std::max<int64_t>(1, kFloats * chunks)));
  for_elements(context, n, kStreamChunk, [&](int64_t begin, int64_t end) {
    FiniteSums share;
    for (int64_t i = begin; i < end; ++i) take(share, to_float(x[i]));
    shares[begin / kStreamChunk] = share;
  });
  FiniteSums all;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) take(all, shares[chunk]);
  *result = statistics_of(all, n);

  // The shares' sums are read no more.
  std::fill(histogram, histogram + bins, uint64_t{0});
  for_elements(context, n, kStreamChunk, [&](int64_t begin, int64_t end) {
    uint32_t counts[most_bins] = {};
    double squares = 0;
    for (int64_t i = begin; i < end; ++i) {
      const float value = to_float(x[i]);
      if (!is_finite(value)) continue;
      squares += squared_distance(value, result->mean);
      counts[bin_of(value, result->minimum, result->maximum, bins)] += 1;
    }
    shares[begin / kStreamChunk].sum = squares;
    // Whole numbers: the order in which chunks add theirs does not show.
    for (int b = 0; b < bins; ++b) {
      if (counts[b] > 0) std::atomic_ref(histogram[b]).fetch_add(counts[b], std::memory_order_relaxed);
    }
  });
  double squares = 0;
  for (int64_t chunk = 0; chunk < chunks; ++chunk) squares += shares[chunk].sum;
  if (all.finite > 0) result->standard_deviation = std::sqrt(squares / static_cast<double>(all.finite));
}

template Statistics<float> statistics<float>;
template Statistics<bfloat16> statistics<bfloat16>;
template Statistics<float16> statistics<float16>;

}  // namespace headlight::kernels::cpu
