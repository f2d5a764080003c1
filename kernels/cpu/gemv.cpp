// A single row times a matrix, what generating one token is made of: it waits for memory alone, so B is read
// once, in long runs, and never packed.
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

namespace {

constexpr int64_t kColumns = 512;  // of y that stay in the first-level cache while rows of B pass by
constexpr int kAtOnce = 4;         // rows or columns of B in flight

// y[0…n) = Σ_k x[k]·b[k·step + …] for n ≤ kColumns.
void sum_rows(float* y, const float* x, const float* b, int64_t step, int64_t n, int64_t K) {
  std::fill(y, y + n, 0.0F);
  int64_t k = 0;
  for (; k + kAtOnce <= K; k += kAtOnce) {
    const float* rows = b + k * step;
    const auto add = [&](Floats y0, const auto& read) {
      return y0 + (read(rows) * x[k] + read(rows + step) * x[k + 1]) +
             (read(rows + 2 * step) * x[k + 2] + read(rows + 3 * step) * x[k + 3]);
    };
    int64_t j = 0;
    for (; j + kWidth <= n; j += kWidth) {
      store(y + j, add(load(y + j), [j](const float* row) { return load(row + j); }));
    }
    if (j < n) {
      store_partial(
          y + j,
          add(load_partial(y + j, n - j), [&](const float* row) { return load_partial(row + j, n - j); }),
          n - j);
    }
  }
  for (; k < K; ++k) {
    map(y, y, b + k * step, n, [&](Floats y0, Floats row) { return y0 + row * x[k]; });
  }
}

// y[j] = Σ_k x[k]·b[j·step + k] for `count` ≤ kAtOnce columns; the missing ones repeat the first.
void dot_columns(float* y, const float* x, const float* b, int64_t step, int64_t count, int64_t K) {
  const float* columns[kAtOnce];
  for (int j = 0; j < kAtOnce; ++j) columns[j] = j < count ? b + j * step : b;
  Floats totals[kAtOnce] = {};
  int64_t k = 0;
  for (; k + kWidth <= K; k += kWidth) {
    const Floats left = load(x + k);
    for (int j = 0; j < kAtOnce; ++j) totals[j] += left * load(columns[j] + k);
  }
  if (k < K) {
    const Floats left = load_partial(x + k, K - k);
    for (int j = 0; j < kAtOnce; ++j) totals[j] += left * load_partial(columns[j] + k, K - k);
  }
  for (int j = 0; j < count; ++j) y[j] = sum(totals[j]);
}

}  // namespace

void gemv(CpuContext& context, float* y, const float* x, Operand b, int64_t N, int64_t K, const float* bias) {
  // Columns of a chunk: some 50 µs of reading, in whole units of what is computed together.
  const int64_t wanted = std::max<int64_t>(1, 4 * kStreamChunk / std::max<int64_t>(1, K));
  const int64_t columns = std::min(kColumns, divide_up(wanted, 64) * 64);
  for_elements(context, N, columns, [&](int64_t begin, int64_t end) {
    if (b.column == 1) {
      sum_rows(y + begin, x, b.data + begin, b.row, end - begin, K);
    } else {
      for (int64_t j = begin; j < end; j += kAtOnce) {
        dot_columns(y + j, x, b.data + j * b.column, b.column, std::min<int64_t>(kAtOnce, end - j), K);
      }
    }
    if (bias != nullptr) {
      map(y + begin, y + begin, bias + begin, end - begin, [](Floats a, Floats c) { return a + c; });
    }
  });
}

}  // namespace headlight::kernels::cpu
