// The backends that kernels_test runs on: the CPU with one thread and with three, and CUDA.
#include "tests/kernels/harness.h"

namespace headlight::test {

std::vector<BackendCase> backend_cases() {
  const auto cpu = [](int threads) {
    return [threads](std::string& /*why_not*/) { return kernels::make_cpu_backend(threads); };
  };
  return {{"cpu1", cpu(1), 4e-6},
          {"cpu3", cpu(3), 4e-6},
          {"cuda", [](std::string& why_not) { return kernels::make_cuda_backend(why_not); }, 2e-5}};
}

}  // namespace headlight::test
