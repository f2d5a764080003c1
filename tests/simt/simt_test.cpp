// The emulated device itself: barriers, exchange between lanes, and the mistakes that it must find.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/cuda/barrier.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/overlap.h"

namespace headlight::test {
namespace {

namespace cuda = kernels::cuda;

class SimtTest : public ::testing::TestWithParam<simt::Order> {
 protected:
  void SetUp() override { simt::set_order(GetParam(), 7); }
  void TearDown() override { simt::set_order(simt::Order::forward); }

  // Device memory with n floats that are not numbers.
  float* floats(int64_t n) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, static_cast<size_t>(n) * sizeof(float)), cudaSuccess);
    owned_.push_back(memory);
    return static_cast<float*>(memory);
  }
  ~SimtTest() override {
    for (void* memory : owned_) (void)cudaFree(memory);
  }

  cuda::CudaContext context_{0};

 private:
  std::vector<void*> owned_;
};

INSTANTIATE_TEST_SUITE_P(Orders, SimtTest,
                         ::testing::Values(simt::Order::forward, simt::Order::reverse,
                                           simt::Order::shuffled));

// What the launch says about its failure; empty where there is none.
template <class Launch>
std::string failure_of(const Launch& launch) {
  try {
    launch();
  } catch (const std::exception& error) {
    return error.what();
  }
  return {};
}

__global__ void reverse_in_block(float* y, bool with_barrier) {
  auto* shared = cuda::shared_memory<float>();
  shared[threadIdx.x] = static_cast<float>(threadIdx.x);
  if (with_barrier) __syncthreads();
  y[blockIdx.x * blockDim.x + threadIdx.x] = shared[blockDim.x - 1 - threadIdx.x];
}

TEST_P(SimtTest, ABarrierLetsThreadsSeeEachOther) {
  float* y = floats(200);
  cuda::launch(context_, reverse_in_block, 2, 100, 100 * sizeof(float), y, true);
  for (int i = 0; i < 200; ++i) EXPECT_EQ(y[i], static_cast<float>(99 - i % 100));
}

TEST_P(SimtTest, AMissingBarrierShows) {
  float* y = floats(100);
  cuda::launch(context_, reverse_in_block, 1, 100, 100 * sizeof(float), y, false);
  int unwritten = 0;
  for (int i = 0; i < 100; ++i) unwritten += std::isnan(y[i]) ? 1 : 0;
  EXPECT_GT(unwritten, 0);
}

__global__ void reduce(float* sums, const float* x, bool block) {
  const float value = x[threadIdx.x];
  const float sum = block ? cuda::block_reduce(value, cuda::Add{}) : cuda::warp_reduce(value, cuda::Add{});
  const float top = cuda::block_reduce(value, cuda::Largest{});
  sums[threadIdx.x] = sum + 1000.0F * top;
}

TEST_P(SimtTest, ReductionsReachEveryThread) {
  float* x = floats(96);
  float* sums = floats(96);
  for (int i = 0; i < 96; ++i) x[i] = static_cast<float>(i);
  cuda::launch(context_, reduce, 1, 96, 0, sums, x, true);
  for (int i = 0; i < 96; ++i) EXPECT_EQ(sums[i], 95.0F * 48.0F + 95000.0F);
  cuda::launch(context_, reduce, 1, 96, 0, sums, x, false);
  for (int i = 0; i < 96; ++i)
    EXPECT_EQ(sums[i], 95000.0F + (15.5F + static_cast<float>(i / 32 * 32)) * 32.0F);
}

__global__ void halves(float* y) {
  // The lower lanes exchange once more than the upper ones, under masks of their own.
  float value = static_cast<float>(threadIdx.x);
  if (threadIdx.x < 16) value = __shfl_xor_sync(0x0000FFFFU, value, 1);
  const unsigned mine = threadIdx.x < 16 ? 0x0000FFFFU : 0xFFFF0000U;
  value = __shfl_xor_sync(mine, value, 2);
  __syncwarp();
  value += static_cast<float>(__popc(__ballot_sync(0xFFFFFFFFU, threadIdx.x % 4 == 0)));
  y[threadIdx.x] = __shfl_down_sync(0xFFFFFFFFU, value, 31);
}

TEST_P(SimtTest, PartsOfAWarpExchangeByThemselves) {
  float* y = floats(32);
  cuda::launch(context_, halves, 1, 32, 0, y);
  EXPECT_EQ(y[0], 29.0F + 8.0F);
  EXPECT_EQ(y[1], 2.0F + 8.0F);  // beyond the warp: its own (lane 1 holds 1 ^ 1 ^ 2)
}

__global__ void lost_barrier() {
  if (threadIdx.x % 2 == 0) __syncthreads();
}
__global__ void wrong_mask() { (void)__shfl_sync(1U, 0.0F, 0); }
__global__ void beyond(float* y, int n) { y[n] = 1.0F; }
__global__ void beyond_shared() { cuda::shared_memory<char>()[70] = 1; }

TEST_P(SimtTest, MistakesAreNamed) {
  const auto contains = [](const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
  };
  EXPECT_TRUE(contains(failure_of([&] { cuda::launch(context_, lost_barrier, 1, 64, 0); }),
                       "32 wait at __syncthreads"));
  EXPECT_TRUE(contains(failure_of([&] { cuda::launch(context_, wrong_mask, 1, 32, 0); }), "not in the mask"));
  EXPECT_TRUE(
      contains(failure_of([&] { cuda::launch(context_, beyond_shared, 1, 1, 64); }), "shared memory"));
  EXPECT_TRUE(contains(failure_of([&] { cuda::launch(context_, beyond_shared, 1, 1, 100000); }),
                       "invalid configuration"));
  float* y = floats(10);
  const std::string after = failure_of([&] { cuda::launch(context_, beyond, 1, 1, 0, y, 12); });
  EXPECT_TRUE(contains(after, "8 bytes after the end of an allocation of 40 bytes")) << after;
  EXPECT_TRUE(contains(after, "simt_test.cpp")) << after;
  y[12] = __uint_as_float(0xFFFFFFFFU);  // mended, or every later launch reports it
  // After a failure the device goes on.
  EXPECT_EQ(failure_of([&] { cuda::launch(context_, reverse_in_block, 1, 10, 40, y, true); }), "");
  EXPECT_EQ(y[0], 9.0F);
}

enum class Hurry { none, one_arrival_short, one_arrival_more, phase_not_awaited };

// The first warp writes a number into two places that take turns, the second one adds up what it finds.
__global__ void hand_over(float* y, Hurry hurry) {
  constexpr int kTurns = 7;
  __shared__ uint64_t full[2];
  __shared__ uint64_t empty[2];
  __shared__ float places[2];
  if (threadIdx.x < 2) {
    cuda::init_barrier(full[threadIdx.x], 2);
    cuda::init_barrier(empty[threadIdx.x], 32);
  }
  __syncthreads();
  float sum = 0;
  for (int turn = 0; turn < kTurns; ++turn) {
    const int place = turn % 2;
    const auto parity = static_cast<uint32_t>(turn / 2 % 2);
    if (threadIdx.x == 0) {
      cuda::await_phase(empty[place], parity ^ 1);
      places[place] = static_cast<float>(turn + 1);
      cuda::arrive(full[place], hurry == Hurry::one_arrival_short && turn == 3 ? 1 : 2);
      if (hurry == Hurry::one_arrival_more) cuda::arrive(full[place], 3);
    } else if (threadIdx.x >= 32) {
      if (hurry != Hurry::phase_not_awaited) cuda::await_phase(full[place], parity);
      sum += places[place];
      cuda::arrive(empty[place]);
    }
  }
  if (threadIdx.x >= 32) y[threadIdx.x - 32] = sum;
}

TEST_P(SimtTest, PhasesOrderThreads) {
  float* y = floats(32);
  const auto run = [&](Hurry hurry) {
    return failure_of([&] { cuda::launch(context_, hand_over, 1, 64, 0, y, hurry); });
  };
  EXPECT_EQ(run(Hurry::none), "");
  for (int i = 0; i < 32; ++i) EXPECT_EQ(y[i], 28.0F);
  EXPECT_NE(run(Hurry::one_arrival_short).find("33 for a phase"), std::string::npos);
  EXPECT_NE(run(Hurry::one_arrival_more).find("more threads arrive at a barrier"), std::string::npos);
  // The readers run ahead into the writer's phases, or past what it has written.
  const std::string hasty = run(Hurry::phase_not_awaited);
  EXPECT_TRUE(!hasty.empty() || y[0] != 28.0F);
}

TEST_P(SimtTest, AGraphRepeatsWhatWasAsked) {
  float* x = floats(5);
  for (int i = 0; i < 5; ++i) x[i] = 1.0F;
  ASSERT_EQ(cudaStreamBeginCapture(context_.stream(), cudaStreamCaptureModeRelaxed), cudaSuccess);
  cuda::map(context_, x, x, x, 5, cuda::Add{});
  cudaGraph_t graph = nullptr;
  ASSERT_EQ(cudaStreamEndCapture(context_.stream(), &graph), cudaSuccess);
  EXPECT_EQ(x[0], 1.0F);
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph), cudaSuccess);
  for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(executable, context_.stream()), cudaSuccess);
  EXPECT_EQ(x[4], 8.0F);
  (void)cudaGraphExecDestroy(executable);
  (void)cudaGraphDestroy(graph);
}

__global__ void one_more(float* y, const float* x, int wait_in, bool write_early) {
  cuda::let_next_start();
  const float early = write_early ? 0.0F : x[threadIdx.x];
  if (write_early) y[threadIdx.x] = 7.0F;
  if (static_cast<int>(threadIdx.x) < wait_in) cuda::wait_for_previous();
  y[threadIdx.x] = (wait_in > 32 ? early : x[threadIdx.x]) + 1.0F;
}

TEST_P(SimtTest, OverlappingKernelsSeeWhatTheyWaitFor) {
  float* a = floats(32);
  float* b = floats(32);
  for (int i = 0; i < 32; ++i) a[i] = 1.0F;
  const auto add = [&](float* y, const float* x, int wait_in = 32, bool write_early = false) {
    return failure_of(
        [&] { cuda::launch_overlapping(context_, one_more, 2, 32, 0, y, x, wait_in, write_early); });
  };
  // The first one stands behind something else: it overlaps nothing, and need not wait.
  EXPECT_EQ(add(b, a, 0), "");
  EXPECT_EQ(add(a, b), "");
  EXPECT_EQ(add(b, a), "");
  EXPECT_EQ(b[31], 4.0F);
  // What was read before waiting is not there, though the kernel waits afterwards.
  EXPECT_EQ(add(a, b, 33), "");
  EXPECT_TRUE(std::isnan(a[3]));
  EXPECT_EQ(add(a, b), "");
  EXPECT_EQ(a[3], 5.0F);
  EXPECT_NE(add(b, a, 0).find("of 32 threads, 0 wait"), std::string::npos);
  EXPECT_NE(add(b, a, 5).find("5 for the kernels before"), std::string::npos);
  EXPECT_NE(add(b, a, 32, true).find("has not waited"), std::string::npos);
  // Anything else on the stream ends the overlaps.
  (void)context_.stream();
  EXPECT_EQ(add(b, a, 0), "");
  EXPECT_EQ(b[3], 6.0F);
}

}  // namespace
}  // namespace headlight::test
