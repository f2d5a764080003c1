// The emulated tensor cores: fragments that lie as the instructions' manual says give the product, and the
// mistakes that copies and fragments invite are found.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/mma.h"
#include "tests/simt/device_numbers.h"

namespace headlight::test {
namespace {

namespace cuda = kernels::cuda;
using kernels::bfloat16;
using kernels::float16;

// c [16,8] = a [16,K]·b, one step of 32 bytes; b as rows of columns ([8,K]).
template <class E>
__global__ void product_by_rows(float* c, const E* a, const E* b) {
  constexpr int kDepth = 32 / static_cast<int>(sizeof(E));
  E* tile = cuda::shared_memory<E>();
  for (int i = cuda::lane_index(); i < 24 * kDepth; i += 32)
    tile[i] = i < 16 * kDepth ? a[i] : b[i - 16 * kDepth];
  __syncwarp();
  const int lane = cuda::lane_index();
  uint32_t left[4];
  uint32_t right[4];
  cuda::load_matrices(left, tile + lane % 16 * kDepth + lane / 16 * kDepth / 2);
  cuda::load_matrices(right, tile + (16 + lane % 8) * kDepth + lane / 8 % 2 * kDepth / 2);
  float sums[4] = {};
  cuda::multiply_add<E>(sums, left, right[0], right[1]);
  for (int e = 0; e < 4; ++e) c[(lane / 4 + 8 * (e / 2)) * 8 + lane % 4 * 2 + e % 2] = sums[e];
}

// The same with b as it is multiplied, [16,8].
template <class E>
__global__ void product_by_columns(float* c, const E* a, const E* b) {
  E* tile = cuda::shared_memory<E>();
  for (int i = cuda::lane_index(); i < 16 * 24; i += 32) tile[i] = i < 16 * 16 ? a[i] : b[i - 16 * 16];
  __syncwarp();
  const int lane = cuda::lane_index();
  uint32_t left[4];
  uint32_t right[4];
  cuda::load_matrices(left, tile + lane % 16 * 16 + lane / 16 * 8);
  cuda::load_matrices_transposed(right, tile + 16 * 16 + lane % 16 * 8);
  float sums[4] = {};
  cuda::multiply_add<E>(sums, left, right[0], right[1]);
  for (int e = 0; e < 4; ++e) c[(lane / 4 + 8 * (e / 2)) * 8 + lane % 4 * 2 + e % 2] = sums[e];
}

template <class E>
void expect_products() {
  constexpr int kDepth = 32 / static_cast<int>(sizeof(E));
  cuda::CudaContext context(0);
  const auto a = small_numbers<E>(16 * kDepth, 1);
  const auto rows = small_numbers<E>(8 * kDepth, 5);
  float* c = on_device(std::vector<float>(16 * 8));
  const auto expect = [&](auto b_at) {
    for (int i = 0; i < 16; ++i) {
      for (int j = 0; j < 8; ++j) {
        float sum = 0;
        for (int k = 0; k < kDepth; ++k)
          sum += kernels::to_float(a[static_cast<size_t>(i * kDepth + k)]) * b_at(k, j);
        EXPECT_EQ(c[i * 8 + j], sum) << i << ", " << j;
      }
    }
  };
  cuda::launch(context, product_by_rows<E>, 1, 32, 24 * 32, c, on_device(a), on_device(rows));
  expect([&](int k, int j) { return kernels::to_float(rows[static_cast<size_t>(j * kDepth + k)]); });
  if constexpr (sizeof(E) == 2) {
    cuda::launch(context, product_by_columns<E>, 1, 32, 24 * 32, c, on_device(a), on_device(rows));
    expect([&](int k, int j) { return kernels::to_float(rows[static_cast<size_t>(k * 8 + j)]); });
  }
}

TEST(MmaTest, FragmentsGiveTheProduct) {
  expect_products<bfloat16>();
  expect_products<float16>();
  expect_products<float>();
}

// fp32 from TF32 parts keeps about 21 bits where TF32 alone keeps 11.
__global__ void product_of_ones(float* c, float x) {
  const uint32_t all[4] = {__float_as_uint(x), __float_as_uint(x), __float_as_uint(x), __float_as_uint(x)};
  float sums[4] = {};
  cuda::multiply_add<float>(sums, all, __float_as_uint(x), __float_as_uint(x));
  if (threadIdx.x == 0) c[0] = sums[0];
}

TEST(MmaTest, ThreeProductsMakeFp32) {
  cuda::CudaContext context(0);
  float* c = on_device(std::vector<float>(1));
  const float x = 1.2345678F;
  cuda::launch(context, product_of_ones, 1, 32, 0, c, x);
  EXPECT_NEAR(c[0], 8.0 * double{x} * double{x}, 8e-6);
}

enum class Mistake { none, no_wait, group_left_open, not_aligned, outside };

__global__ void copy(float* y, const float* x, Mistake mistake) {
  auto* shared = cuda::shared_memory<float>();
  const auto i = static_cast<int>(threadIdx.x);
  const int from = 4 * i + (mistake == Mistake::not_aligned ? 1 : 0) + (mistake == Mistake::outside ? 32 : 0);
  cuda::copy_async_16(shared + 4 * i, x + from, i != 7);
  cuda::close_copies();
  cuda::copy_async_4(shared + 32 + i, x + i, true);
  if (mistake != Mistake::group_left_open) cuda::close_copies();
  if (mistake == Mistake::no_wait) {
    cuda::await_copies<1>();
  } else {
    cuda::await_copies<0>();
  }
  for (int e = 0; e < 4; ++e) y[4 * i + e] = shared[4 * i + e];
  y[32 + i] = shared[32 + i];
  cuda::close_copies();
  cuda::await_copies<0>();
}

TEST(MmaTest, CopiesLandWhenTheirGroupIsAwaited) {
  cuda::CudaContext context(0);
  std::vector<float> values(32);
  for (size_t i = 0; i < 32; ++i) values[i] = static_cast<float>(i);
  float* x = on_device(values);
  float* y = on_device(std::vector<float>(40));
  const auto run = [&](Mistake mistake) -> std::string {
    try {
      cuda::launch(context, copy, 1, 8, 160, y, x, mistake);
    } catch (const std::exception& error) {
      return error.what();
    }
    return {};
  };
  EXPECT_EQ(run(Mistake::none), "");
  for (int i = 0; i < 28; ++i) EXPECT_EQ(y[i], static_cast<float>(i));
  for (int i = 28; i < 32; ++i) EXPECT_EQ(y[i], 0.0F);  // not wanted
  for (int i = 0; i < 8; ++i) EXPECT_EQ(y[32 + i], static_cast<float>(i));
  for (const Mistake mistake : {Mistake::no_wait, Mistake::group_left_open}) {
    EXPECT_EQ(run(mistake), "");
    EXPECT_EQ(y[27], 27.0F);
    for (int i = 32; i < 40; ++i) EXPECT_TRUE(std::isnan(y[i]));
  }
  EXPECT_NE(run(Mistake::not_aligned).find("not aligned"), std::string::npos);
  EXPECT_NE(run(Mistake::outside).find("outside of an allocation"), std::string::npos);
}

}  // namespace
}  // namespace headlight::test
