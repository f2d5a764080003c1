// The largest values of each row and its log-sum-exp.
#include <cmath>
#include <limits>

#include "kernels/cpu/context.h"
#include "kernels/cpu/inspection.h"
#include "kernels/cpu/ranking.h"
#include "kernels/cpu/rows.h"

namespace headlight::kernels::cpu {

namespace {

float row_log_sum_exp(const float* row, int64_t V) {
  const float top = row_largest(row, V, 1.0F);
  bool any_nan = false;
  for (int64_t j = 0; j < V; ++j) any_nan = any_nan || std::isnan(row[j]);
  if (any_nan) return std::numeric_limits<float>::quiet_NaN();
  if (std::isinf(top)) return top;
  return top + std::log(row_exponentials(nullptr, row, V, 1.0F, top));
}

}  // namespace

template <class E>
void top_of_rows(Context& context, float* values, int32_t* index, float* log_sum_exp, float* named,
                 const E* x, const int32_t* columns, int64_t R, int64_t V, int64_t k) {
  CpuContext& cpu = on_cpu(context);
  if constexpr (!std::is_same_v<E, float>) cpu.reserve_slots(V);
  for_chunks(cpu, R, rows_in_chunk(V, kMathChunk), [&](int64_t r, int slot) {
    const float* row = nullptr;
    if constexpr (std::is_same_v<E, float>) {
      row = x + r * V;
    } else {
      float* wide = cpu.slot(slot);
      std::transform(x + r * V, x + (r + 1) * V, wide, [](E value) { return to_float(value); });
      row = wide;
    }
    uint64_t keys[most_ranked];
    rank_row(keys, row, V, k);
    for (int64_t j = 0; j < k; ++j) {
      const uint32_t column = index_of_key(keys[j]);
      index[r * k + j] = static_cast<int32_t>(column);
      values[r * k + j] = row[column];
    }
    log_sum_exp[r] = row_log_sum_exp(row, V);
    if (named == nullptr) return;
    const int32_t column = columns[r];
    named[r] = column >= 0 && column < V ? row[column] : std::numeric_limits<float>::quiet_NaN();
  });
}

template TopOfRows<float> top_of_rows<float>;
template TopOfRows<bfloat16> top_of_rows<bfloat16>;
template TopOfRows<float16> top_of_rows<float16>;

}  // namespace headlight::kernels::cpu
