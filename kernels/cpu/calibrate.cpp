// What this process can reach at best: multiply-adds that stay in registers, and reads from a buffer far
// larger than the caches. Benchmarks divide by it.
#include <chrono>
#include <vector>

#include "kernels/backend.h"
#include "kernels/cpu/context.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels {

namespace {

using cpu::Floats;
using cpu::kWidth;

constexpr int kChains = 12;  // enough independent sums to hide the latency of a multiply-add

double seconds_of(const auto& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

template <class Work>
double median_seconds(int runs, const Work& work) {
  std::vector<double> times;
  for (int i = 0; i < runs; ++i) times.push_back(seconds_of(work));
  std::nth_element(times.begin(), times.begin() + runs / 2, times.end());
  return times[static_cast<size_t>(runs / 2)];
}

float multiply_adds(int64_t steps, float start) {
  Floats chains[kChains];
  for (int i = 0; i < kChains; ++i) chains[i] = cpu::fill(start + static_cast<float>(i));
  const Floats factor = cpu::fill(0.999F);
  const Floats term = cpu::fill(start);
  for (int64_t step = 0; step < steps; ++step) {
#pragma GCC unroll 16
    for (int i = 0; i < kChains; ++i) chains[i] = chains[i] * factor + term;
  }
  Floats total{};
  for (const Floats& chain : chains) total += chain;
  return cpu::sum(total);
}

float read_all(const float* from, int64_t n) {
  Floats totals[8] = {};
  for (int64_t i = 0; i + 8 * kWidth <= n; i += 8 * kWidth) {
#pragma GCC unroll 8
    for (int j = 0; j < 8; ++j) totals[j] += cpu::load(from + i + j * kWidth);
  }
  Floats total{};
  for (const Floats& part : totals) total += part;
  return cpu::sum(total);
}

}  // namespace

Calibration calibrate_cpu(Backend& backend) {
  cpu::Pool& pool = cpu::on_cpu(backend.context()).pool;
  const int threads = pool.threads();
  Calibration calibration;
  constexpr int kRuns = 7;

  // Several chunks for each thread, so that one interrupted thread does not decide.
  const int64_t chunks = threads * 16;
  constexpr int64_t kSteps = 40000;
  std::vector<float> results(static_cast<size_t>(chunks));
  const double fma_seconds = median_seconds(kRuns, [&] {
    pool.run(chunks, [&](int64_t chunk, int /*slot*/) {
      volatile float start = 1.0F;  // not known to the compiler
      results[static_cast<size_t>(chunk)] = multiply_adds(kSteps, start);
    });
  });
  calibration.fma_flops = 2.0 * kWidth * kChains * static_cast<double>(kSteps * chunks) / fma_seconds;

  constexpr int64_t kFloats = int64_t{64} << 20;
  constexpr int64_t kPiece = 1 << 18;
  const std::vector<float> memory(static_cast<size_t>(kFloats), 1.0F);
  std::vector<float> sums(static_cast<size_t>(kFloats / kPiece));
  const double read_seconds = median_seconds(kRuns, [&] {
    pool.run(kFloats / kPiece, [&](int64_t piece, int /*slot*/) {
      sums[static_cast<size_t>(piece)] = read_all(memory.data() + piece * kPiece, kPiece);
    });
  });
  calibration.read_bytes = static_cast<double>(kFloats * sizeof(float)) / read_seconds;
  return calibration;
}

}  // namespace headlight::kernels
