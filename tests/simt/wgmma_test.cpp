// The emulated warpgroup products: descriptors that lie as the instructions' manual says give the product,
// and the mistakes that asynchronous products invite are found.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <vector>

#include "kernels/cuda/attention_hopper.h"
#include "kernels/cuda/wgmma.h"
#include "tests/simt/device_numbers.h"

namespace headlight::test {
namespace {

namespace cuda = kernels::cuda;
using cuda::Along;
using kernels::bfloat16;
using kernels::float16;

constexpr int kTileBytes = 128 * 128;  // 128 rows of 64 elements

// 128 rows of 64 elements into a tile, by one warpgroup.
template <class E>
__device__ void fill(char* tile, const E* from) {
  const auto row = static_cast<int>(threadIdx.x);
  for (int column = 0; column < 64; ++column) {
    const int place = column / 8 ^ row % 8;
    *reinterpret_cast<E*>(tile + row * 128 + place * 16 + column % 8 * 2) = from[row * 64 + column];
  }
  cuda::fence_shared();
}

template <int kN>
__device__ void write(float* c, const float (&sums)[kN / 8][4]) {
  const auto thread = static_cast<int>(threadIdx.x);
  for (int n = 0; n < kN / 8; ++n) {
    for (int e = 0; e < 4; ++e) {
      const int row = thread / 32 * 16 + thread % 32 / 4 + 8 * (e / 2);
      c[row * kN + 8 * n + thread % 4 * 2 + e % 2] = sums[n][e];
    }
  }
}

// c [64,kN] = 1 + A·B, A and B three tiles of [128,64] in a row. A: rows 8 … of the first, columns 16 … 47. B
// along rows: rows 0 … of the second, the same columns; across them: rows 16 … 47 of the second and third.
template <class E, int kN, Along kB, bool kRegisters>
__global__ void product(float* c, const E* tiles) {
  char* memory = cuda::aligned_shared_memory();
  for (int tile = 0; tile < 3; ++tile) fill(memory + tile * kTileBytes, tiles + tile * 128 * 64);
  __syncthreads();
  float sums[kN / 8][4];
  for (auto& of_columns : sums)
    for (float& sum : of_columns) sum = 1.0F;
  uint32_t left[2][4];
  cuda::warpgroup_arrive();
  for (int step = 0; step < 2; ++step) {
    const cuda::SharedMatrix right =
        kB == Along::rows ? cuda::rows_operand(memory + kTileBytes, 0, 16 + 16 * step)
                          : cuda::columns_operand(memory + kTileBytes, 16 + 16 * step, kTileBytes);
    if constexpr (kRegisters) {
      const auto thread = static_cast<int>(threadIdx.x);
      const auto at = [&](int row, int column) {
        const E* pair = tiles + (8 + thread / 32 * 16 + row) * 64 + 16 + 16 * step + column;
        return static_cast<uint32_t>(pair[0].bits) | static_cast<uint32_t>(pair[1].bits) << 16;
      };
      for (int i = 0; i < 4; ++i) left[step][i] = at(thread % 32 / 4 + i % 2 * 8, thread % 4 * 2 + i / 2 * 8);
      cuda::multiply_registers<E, kN, kB>(sums, left[step], right, true);
    } else {
      cuda::multiply<E, kN, kB>(sums, cuda::rows_operand(memory, 8, 16 + 16 * step), right, true);
    }
  }
  cuda::commit_products();
  cuda::await_products<0>(sums);
  write<kN>(c, sums);
}

template <class E, int kN, Along kB, bool kRegisters>
void expect_product() {
  cuda::CudaContext context(0);
  const auto tiles = small_numbers<E>(3 * 128 * 64, kN);
  float* c = on_device(std::vector<float>(64 * kN));
  constexpr size_t kBytes = 3 * kTileBytes + cuda::kTileAlignment;
  cuda::allow_shared_memory(product<E, kN, kB, kRegisters>, kBytes);
  cuda::launch(context, product<E, kN, kB, kRegisters>, 1, 128, kBytes, c, on_device(tiles));
  const auto at = [&](int tile, int row, int column) {
    return kernels::to_float(tiles[static_cast<size_t>((tile * 128 + row) * 64 + column)]);
  };
  for (int i = 0; i < 64; ++i) {
    for (int j = 0; j < kN; ++j) {
      float sum = 1;
      for (int k = 16; k < 48; ++k)
        sum += at(0, 8 + i, k) * (kB == Along::rows ? at(1, j, k) : at(1 + j / 64, k, j % 64));
      ASSERT_EQ(c[i * kN + j], sum) << kN << ": " << i << ", " << j;
    }
  }
}

template <class E, int kN>
void expect_products() {
  expect_product<E, kN, Along::rows, false>();
  expect_product<E, kN, Along::columns, false>();
  expect_product<E, kN, Along::rows, true>();
  expect_product<E, kN, Along::columns, true>();
}

TEST(WgmmaTest, DescriptorsGiveTheProduct) {
  expect_products<bfloat16, 32>();
  expect_products<bfloat16, 64>();
  expect_products<bfloat16, 96>();
  expect_products<bfloat16, 128>();
  expect_products<float16, 32>();
  expect_products<float16, 64>();
  expect_products<float16, 96>();
  expect_products<float16, 128>();
}

enum class Mistake {
  none,
  sums_read_early,
  group_left_open,
  sums_written,
  operand_written,
  read_before_written,
  no_fence,
  no_arrive,
  not_aligned,
  outside
};

// Two products, the second one into the sums of the first; a copy into B's tile beside them.
__global__ void two_products(float* c, const bfloat16* tiles, Mistake mistake) {
  const auto thread = static_cast<int>(threadIdx.x);
  char* memory = cuda::aligned_shared_memory();
  fill(memory, tiles);
  if (mistake != Mistake::read_before_written) fill(memory + kTileBytes, tiles);
  cuda::copy_async_16(memory + kTileBytes + 16 * thread, tiles, false);
  cuda::close_copies();
  cuda::await_copies<0>();
  if (mistake != Mistake::no_fence) cuda::fence_shared();
  __syncthreads();
  float sums[4][4];
  if (mistake != Mistake::no_arrive) cuda::warpgroup_arrive();
  const int off = mistake == Mistake::outside ? 128 : 0;
  const char* tile = memory + (mistake == Mistake::not_aligned ? 128 : 0);
  const cuda::SharedMatrix right = cuda::rows_operand(memory + kTileBytes, off, 0);
  cuda::multiply<bfloat16, 32>(sums, cuda::rows_operand(tile, 0, 0), right, false);
  cuda::commit_products();
  cuda::multiply<bfloat16, 32>(sums, cuda::rows_operand(tile, 0, 16), right, true);
  if (mistake != Mistake::group_left_open) cuda::commit_products();
  if (mistake == Mistake::sums_written) sums[1][2] = 0.0F;
  if (mistake == Mistake::operand_written) *reinterpret_cast<float*>(memory + 16 * thread) = 1.5F;
  if (mistake == Mistake::read_before_written) fill(memory + kTileBytes, tiles);
  if (mistake == Mistake::sums_read_early) {
    write<32>(c, sums);
    cuda::await_products<1>(sums);
    c[0] = sums[0][0];  // still in use by the second product
  }
  cuda::await_products<0>(sums);
  if (mistake != Mistake::sums_read_early) write<32>(c, sums);
}

TEST(WgmmaTest, MistakesShow) {
  cuda::CudaContext context(0);
  const auto tiles = small_numbers<bfloat16>(128 * 64, 3);
  float* c = on_device(std::vector<float>(64 * 32));
  const auto run = [&](Mistake mistake) -> std::string {
    try {
      cuda::launch(context, two_products, 1, 128, 2 * kTileBytes + cuda::kTileAlignment, c, on_device(tiles),
                   mistake);
    } catch (const std::exception& error) {
      return error.what();
    }
    return {};
  };
  const auto finds = [&](Mistake mistake, const char* sentence) {
    EXPECT_NE(run(mistake).find(sentence), std::string::npos) << sentence;
  };
  EXPECT_EQ(run(Mistake::none), "");
  for (int i = 0; i < 64 * 32; ++i) ASSERT_TRUE(std::isfinite(c[i]));
  for (const Mistake mistake : {Mistake::sums_read_early, Mistake::group_left_open}) {
    EXPECT_EQ(run(mistake), "");
    EXPECT_TRUE(std::isnan(c[0]));
  }
  finds(Mistake::sums_written, "sums were written before");
  finds(Mistake::operand_written, "shared memory changed under a product");
  finds(Mistake::read_before_written, "shared memory changed under a product");
  finds(Mistake::no_fence, "without a fence");
  finds(Mistake::no_arrive, "without warpgroup_arrive");
  finds(Mistake::not_aligned, "multiple of 1024 bytes");
  finds(Mistake::outside, "outside of shared memory");
  EXPECT_EQ(run(Mistake::none), "");
}

}  // namespace
}  // namespace headlight::test
