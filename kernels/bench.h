// How long the kernels of a backend take at the shapes of Transformers. `headlight bench ops` prints it as
// ratios to calibrate_cpu().
#pragma once

#include <string>
#include <vector>

#include "kernels/backend.h"

namespace headlight::kernels {

/// One kernel at one shape. flops counts multiply-adds twice; bytes are those that must move between memory
/// and processor at least. Either is 0 where it says nothing.
struct OpTiming {
  std::string name;   ///< as in Kernels, or "attention … steps" for the steps that fused attention replaces
  std::string shape;  ///< for people: "64 × 256 → 768"
  double seconds = 0;  ///< median of several runs
  double flops = 0;
  double bytes = 0;
};

/// Times the kernels that wait for memory at sizes beyond a GPU's caches, in fp32 and in bf16: `rows` of 768
/// numbers, twice as many in bf16. Memory: some 0.8 GB on the backend while it runs.
[[nodiscard]] std::vector<OpTiming> time_memory_bound(Backend& backend, int64_t rows = int64_t{1} << 16);

/// Times matrix products (three directions; 64, 512 and 4,096 rows, and one row forward; widths of small
/// models and of GPT-2), attention fused and step by step, and the kernels that wait for memory. `quick`
/// takes a few shapes and runs only. Memory: some 300 MB (quick: 100 MB) on the backend while it runs.
[[nodiscard]] std::vector<OpTiming> time_ops(Backend& backend, bool quick);

/// What a GPU reaches in this run, for benchmarks to divide by, as they divide by calibrate_cpu() on the CPU.
struct DeviceCalibration {
  double copy_bytes = 0;     ///< read and written in a second by a copy far larger than the caches
  double product_flops = 0;  ///< of a large product of bfloat16 matrices with fp32 sums
};
/// Copies `copied` bytes and multiplies matrices of `width`². Throws std::bad_alloc where they do not fit.
[[nodiscard]] DeviceCalibration calibrate_device(Backend& backend, size_t copied = size_t{1} << 30,
                                                 int64_t width = 8192);

}  // namespace headlight::kernels
