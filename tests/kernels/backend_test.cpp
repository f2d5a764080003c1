// Memory of a backend, its descriptions, the CPU's calibration, and pools under many small loops.
#include <atomic>
#include <chrono>
#include <cmath>
#include <ctime>
#include <thread>

#include "kernels/cpu/pool.h"
#include "tests/kernels/harness.h"

namespace headlight::test {
namespace {

class BackendTest : public KernelTest {};
HEADLIGHT_ON_EVERY_BACKEND(BackendTest);

TEST_P(BackendTest, MovesMemory) {
  const auto values = normal_values(1000, 1);
  auto first = on_device(values);
  auto second = blank(1000);
  backend().copy(second, first, 1000 * sizeof(float));
  EXPECT_EQ(second.get(), values);
  backend().clear(second, 999 * sizeof(float));
  EXPECT_EQ(second.get()[0], 0.0F);
  EXPECT_EQ(second.get()[998], 0.0F);
  EXPECT_EQ(second.get()[999], values[999]);
}

TEST_P(BackendTest, MemoryIsAlignedAndTooMuchIsNull) {
  for (const size_t bytes : {size_t{0}, size_t{1}, size_t{63}, size_t{4097}}) {
    void* memory = backend().allocate(bytes);
    ASSERT_NE(memory, nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(memory) % 64, 0U);
    backend().release(memory);
  }
  EXPECT_EQ(backend().allocate(SIZE_MAX - 10), nullptr);
  backend().release(nullptr);
}

TEST_P(BackendTest, SharedMemoryIsGivenBackByAnyThread) {
  const auto values = normal_values(1000, 2);
  auto source = on_device(values);
  std::shared_ptr<void> shared = backend().allocate_shared(1000 * sizeof(float));
  if (shared == nullptr) GTEST_SKIP() << "the device is the host";
  backend().copy(shared.get(), source, 1000 * sizeof(float));
  std::vector<float> back(1000);
  backend().download(back.data(), shared.get(), back.size() * sizeof(float));
  EXPECT_EQ(back, values);
  std::thread([memory = std::move(shared)]() mutable { memory.reset(); }).join();
  backend().synchronize();
  EXPECT_EQ(backend().allocate_shared(SIZE_MAX - 10), nullptr);
}

TEST_P(BackendTest, DescribesItself) {
  EXPECT_TRUE(backend().kind() == "cpu" || backend().kind() == "cuda");
  EXPECT_FALSE(backend().description().empty());
  EXPECT_GE(backend().threads(), 1);
}

TEST_P(BackendTest, ReadbacksArriveWithTheirMark) {
  auto x = on_device(std::vector<float>{1.0F, 2.0F, 3.0F});
  std::vector<float> before(3, 0.0F);
  std::vector<float> after(3, 0.0F);
  backend().download_later(before.data(), x, 3 * sizeof(float));
  const uint64_t first = backend().mark();
  kernels().scale(context(), x, x, 2.0F, 3);
  backend().download_later(after.data(), x, 3 * sizeof(float));
  const uint64_t second = backend().mark();
  EXPECT_TRUE(backend().reached(first, true));
  EXPECT_EQ(before, (std::vector<float>{1.0F, 2.0F, 3.0F}));
  EXPECT_TRUE(backend().reached(second, true));
  EXPECT_TRUE(backend().reached(first, false));
  EXPECT_EQ(after, (std::vector<float>{2.0F, 4.0F, 6.0F}));
  // A matrix, again where its memory lies ready, and more than is taken for readbacks.
  for (const size_t count : {size_t{100'000}, size_t{70'000}, size_t{17'000'000}}) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = static_cast<float>(i % 1000);
    auto large = on_device(values);
    std::vector<float> copy(count);
    backend().download_later(copy.data(), large, count * sizeof(float));
    EXPECT_TRUE(backend().reached(backend().mark(), true));
    EXPECT_EQ(copy, values);
    backend().release_caches();
  }
}

TEST_P(BackendTest, ARecordingRunsAgain) {
  auto x = on_device(std::vector<float>{1.0F, 3.0F});
  auto y = blank(2);
  auto square = blank(1);
  const auto work = [&] {
    kernels().add_forward(context(), x, x, x, 2);
    kernels().scale(context(), y, x, 10.0F, 2);
    kernels().sum_of_squares(context(), square, x, 2);
  };
  work();
  const auto recording = backend().record(work);
  if (!recording) GTEST_SKIP() << "this backend does not record";
  EXPECT_EQ(x.get(), (std::vector<float>{2.0F, 6.0F}));  // recorded, not run
  for (int i = 0; i < 3; ++i) backend().replay(*recording);
  EXPECT_EQ(x.get(), (std::vector<float>{16.0F, 48.0F}));
  EXPECT_EQ(y.get(), (std::vector<float>{160.0F, 480.0F}));
  EXPECT_EQ(square.get()[0], 16.0F * 16.0F + 48.0F * 48.0F);
}

TEST(DeviceTest, SaysWhatThereIs) {
  const kernels::DeviceInfo cpu = kernels::describe_cpu();
  EXPECT_EQ(cpu.kind, "cpu");
  EXPECT_FALSE(cpu.name.empty());
  EXPECT_FALSE(cpu.detail.empty());
  EXPECT_GT(cpu.memory_bytes, size_t{1} << 28);
  std::string why_not;
  const auto devices = kernels::describe_cuda(why_not);
  EXPECT_EQ(devices.empty(), !why_not.empty());
}

TEST(DeviceTest, ThreadsDefaultToTheMachine) {
  EXPECT_EQ(kernels::make_cpu_backend(0)->threads(),
            static_cast<int>(std::max(1U, std::thread::hardware_concurrency())));
  EXPECT_EQ(kernels::make_cpu_backend(3)->threads(), 3);
}

TEST(PoolTest, EveryChunkRunsOnce) {
  kernels::cpu::Pool pool(4);
  for (int round = 0; round < 3000; ++round) {
    const int64_t chunks = round % 37;
    std::vector<int> runs(static_cast<size_t>(chunks), 0);
    pool.run(chunks, [&](int64_t chunk, int slot) {
      ASSERT_GE(slot, 0);
      ASSERT_LT(slot, 4);
      ++runs[static_cast<size_t>(chunk)];
    });
    for (const int count : runs) ASSERT_EQ(count, 1);
  }
}

TEST(PoolTest, WakesAfterSleep) {
  kernels::cpu::Pool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> total{0};
    pool.run(50, [&](int64_t /*chunk*/, int /*slot*/) { total.fetch_add(1); });
    EXPECT_EQ(total.load(), 50);
  }
}

TEST(PoolTest, PoolsOfDifferentThreadsDoNotMeet) {
  std::vector<std::thread> threads;
  std::atomic<int64_t> total{0};
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&] {
      for (int round = 0; round < 20; ++round) {
        kernels::cpu::Pool pool(3);
        for (int i = 0; i < 20; ++i)
          pool.run(7, [&](int64_t /*chunk*/, int /*slot*/) { total.fetch_add(1); });
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(total.load(), 3 * 20 * 20 * 7);
}

TEST(PoolTest, IdleUsesNoProcessor) {
  kernels::cpu::Pool pool(4);
  pool.run(100, [](int64_t /*chunk*/, int /*slot*/) {});
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const std::clock_t before = std::clock();  // processor time of all threads
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  const double used = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  EXPECT_LT(used, 0.01);
}

}  // namespace
}  // namespace headlight::test
