// What benchmarks on a GPU divide by, and what they divide: rates above nothing, and every kernel named once.
#include <set>

#include "kernels/bench.h"
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class BenchDeviceTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(BenchDeviceTest);

TEST_P(BenchDeviceTest, ACopyAndAProductHaveRates) {
  const kernels::DeviceCalibration machine = kernels::calibrate_device(backend(), size_t{3} << 19, 24);
  EXPECT_GT(machine.copy_bytes, 0.0);
  EXPECT_GT(machine.product_flops, 0.0);
}

TEST_P(BenchDeviceTest, KernelsThatWaitForMemoryAreTimed) {
  const std::vector<kernels::OpTiming> timings = kernels::time_memory_bound(backend(), 2);
  std::set<std::string> names;
  for (const kernels::OpTiming& timing : timings) {
    EXPECT_GT(timing.seconds, 0.0) << timing.name;
    EXPECT_GT(timing.bytes, 0.0) << timing.name;
    EXPECT_TRUE(names.insert(timing.name).second) << timing.name;
  }
  EXPECT_EQ(names.count("layernorm_forward bf16"), 1U);
  EXPECT_EQ(names.count("adamw fp32"), 1U);
}

}  // namespace
}  // namespace headlight::test
