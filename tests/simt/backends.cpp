// The backends that kernels_emulated_test runs on: the emulated device, its threads taking turns in order and
// in a shuffled order.
#include "tests/kernels/harness.h"
#include "tests/support/simt/simt.h"

namespace headlight::test {

std::vector<BackendCase> backend_cases() {
  const auto emulated = [](simt::Order order) {
    return [order](std::string& why_not) {
      simt::set_order(order);
      return kernels::make_cuda_backend(why_not);
    };
  };
  return {{"emulated", emulated(simt::Order::forward), 2e-5},
          {"emulated_shuffled", emulated(simt::Order::shuffled), 2e-5}};
}

}  // namespace headlight::test
