// The CUDA backend where things are short or missing: memory, a device, a driver; on the emulated device.
#include "kernels/backend.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/simt/simt.h"

namespace headlight::test {
namespace {

constexpr size_t kUsualLimit = size_t{2} << 30;

class CudaBackendTest : public ::testing::Test {
 protected:
  ~CudaBackendTest() override {
    simt::set_devices(1);
    simt::set_memory_limit(kUsualLimit);
  }
  static std::string why_there_is_none() {
    std::string why_not;
    EXPECT_EQ(kernels::make_cuda_backend(why_not), nullptr);
    return why_not;
  }
};

TEST_F(CudaBackendTest, WhatIsMissingIsASentence) {
  simt::set_devices(0);
  EXPECT_NE(why_there_is_none().find("finds no device"), std::string::npos);
  constexpr int kDriverTooOld = 35;
  simt::set_devices(1, kDriverTooOld);
  EXPECT_NE(why_there_is_none().find("driver"), std::string::npos);
  simt::set_devices(1);
  simt::set_memory_limit(0);
  EXPECT_NE(why_there_is_none().find("out of memory"), std::string::npos);
}

TEST_F(CudaBackendTest, GivesBackEverything) {
  const size_t before = simt::allocated_bytes();
  {
    std::string why_not;
    const auto backend = kernels::make_cuda_backend(why_not);
    ASSERT_NE(backend, nullptr) << why_not;
    float* x = static_cast<float*>(backend->allocate(1000 * sizeof(float)));
    backend->clear(x, 1000 * sizeof(float));
    backend->kernels().sum_of_squares(backend->context(), x, x, 1000);
    EXPECT_GT(simt::allocated_bytes(), before + 1000 * sizeof(float));
    backend->release(x);
  }
  EXPECT_EQ(simt::allocated_bytes(), before);
}

TEST_F(CudaBackendTest, DropsItsWorkspaceBeforeMemoryIsShort) {
  std::string why_not;
  const auto backend = kernels::make_cuda_backend(why_not);
  ASSERT_NE(backend, nullptr) << why_not;
  auto* x = static_cast<float*>(backend->allocate(4 * sizeof(float)));
  backend->clear(x, 4 * sizeof(float));
  const size_t without = simt::allocated_bytes();
  const auto work = [&] { backend->kernels().sum_of_squares(backend->context(), x + 3, x, 3); };
  work();
  const size_t workspace = simt::allocated_bytes() - without;
  ASSERT_GT(workspace, 0U);
  simt::set_memory_limit(simt::allocated_bytes());
  // Fits only where the workspace was.
  void* memory = backend->allocate(workspace);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(backend->allocate(workspace), nullptr);
  backend->release(memory);
  // It is taken again when it is needed; what a recording names stays.
  work();
  {
    const auto recording = backend->record(work);
    ASSERT_NE(recording, nullptr);
    EXPECT_EQ(backend->allocate(workspace), nullptr);
    backend->replay(*recording);
  }
  memory = backend->allocate(workspace);
  EXPECT_NE(memory, nullptr);
  backend->release(memory);
  backend->release(x);
}

}  // namespace
}  // namespace headlight::test
