// A single row times a matrix, what generating one token is made of: it waits for memory alone, so B is read
// once, in long runs, and never packed.
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

namespace {

constexpr int64_t kColumns = 512;  // of y, where columns of B lie in runs
constexpr int64_t kRow = 4096;     // of y that stay in the first-level cache while rows of B pass by
constexpr int64_t kPart = 131072;  // floats of B that one chunk reads in a run
constexpr int kAtOnce = 4;         // rows or columns of B in flight

// y[0…n) = Σ_k x[k]·b[k·step + …] for n ≤ kRow.
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

// y = Σ_k x[k]·b[k,:] + bias, rows of B of N floats that follow each other: each chunk reads whole rows in
// one run and leaves its sum, and the sums are added in order.
void sum_all_rows(CpuContext& context, float* y, const float* x, Operand b, int64_t N, int64_t K,
                  const float* bias) {
  const int64_t wide = std::min(N, kRow), blocks = divide_up(N, wide);
  const int64_t rows = divide_up(std::max<int64_t>(1, kPart / wide), kAtOnce) * kAtOnce;
  const int64_t parts = std::max<int64_t>(1, divide_up(K, rows));
  float* partial = parts > 1 ? context.workspace(parts * N) : y;
  for_chunks(context, parts * blocks, 1, [&](int64_t index, int /*slot*/) {
    const int64_t first = index / blocks * rows, column = index % blocks * wide;
    sum_rows(partial + index / blocks * N + column, x + first, b.data + first * b.row + column, b.row,
             std::min(wide, N - column), std::min(rows, K - first));
  });
  if (parts == 1 && bias == nullptr) return;
  for_elements(context, N, kRow, [&](int64_t begin, int64_t end) {
    const int64_t n = end - begin;
    const auto plus = [](Floats a, Floats c) { return a + c; };
    if (parts > 1) std::copy(partial + begin, partial + end, y + begin);
    for (int64_t part = 1; part < parts; ++part)
      map(y + begin, y + begin, partial + part * N + begin, n, plus);
    if (bias != nullptr) map(y + begin, y + begin, bias + begin, n, plus);
  });
}

}  // namespace

void gemv(CpuContext& context, float* y, const float* x, Operand b, int64_t N, int64_t K, const float* bias) {
  if (b.column == 1) return sum_all_rows(context, y, x, b, N, K, bias);
  // Columns of a chunk: some 50 µs of reading, in whole units of what is computed together.
  const int64_t wanted = std::max<int64_t>(1, 4 * kStreamChunk / std::max<int64_t>(1, K));
  const int64_t columns = std::min(kColumns, divide_up(wanted, 64) * 64);
  for_elements(context, N, columns, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j += kAtOnce) {
      dot_columns(y + j, x, b.data + j * b.column, b.column, std::min<int64_t>(kAtOnce, end - j), K);
    }
    if (bias != nullptr) {
      map(y + begin, y + begin, bias + begin, end - begin, [](Floats a, Floats c) { return a + c; });
    }
  });
}

}  // namespace headlight::kernels::cpu
