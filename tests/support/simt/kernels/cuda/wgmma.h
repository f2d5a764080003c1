// Stands in for kernels/cuda/wgmma.h on the emulated device: descriptors are decoded from their bits, and a
// product happens when it is awaited (simt/wgmma.cpp). Until then its sums are not-a-number; an operand that
// changes meanwhile, sums that are touched, a missing fence are errors.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/element.h"
#include "tests/support/simt/wgmma.h"

namespace headlight::kernels::cuda {

inline constexpr int kWarpgroup = 128;

template <int kN>
using WarpgroupAccumulator = float[kN / 8][4];

struct SharedMatrix {
  uint64_t bits;
};

enum class Along { rows, columns };

namespace detail {
inline SharedMatrix shared_matrix(uint32_t address, int leading, int stride) {
  const auto field = [](uint32_t bytes) { return static_cast<uint64_t>((bytes & 0x3FFFFU) >> 4); };
  return {uint64_t{1} << 62 | field(static_cast<uint32_t>(stride)) << 32 |
          field(static_cast<uint32_t>(leading)) << 16 | field(address)};
}

template <class E>
simt::Product product_of(float* sums, int columns, SharedMatrix right, Along along, bool wanted) {
  return {.sums = sums,
          .columns = columns,
          .right = right.bits,
          .across = along == Along::columns,
          .add = wanted,
          .value = [](uint16_t bits) { return to_float(E{bits}); }};
}
}  // namespace detail

inline SharedMatrix rows_operand(const void* tile, int row, int column) {
  const uint32_t address = simt::shared_address(tile);
  return detail::shared_matrix(address + static_cast<uint32_t>(row * 128 + column * 2), 16, 1024);
}
inline SharedMatrix columns_operand(const void* tile, int row, int next = 1024) {
  return detail::shared_matrix(simt::shared_address(tile) + static_cast<uint32_t>(row * 128), next, 1024);
}

inline void fence_shared() { simt::fence_shared(); }
inline void warpgroup_arrive() { simt::arrive_for_products(); }
inline void commit_products() { simt::commit_products(); }
template <class X>
void settle(X& /*x*/) {}
inline void finish_first(float /*not_negative*/) {}
template <int kPending, class... Sums>
void await_products(Sums&... /*sums*/) {
  simt::await_products(kPending);
}

template <class E, int kN, Along kB = Along::rows>
void multiply(float (&sums)[kN / 8][4], SharedMatrix left, SharedMatrix right, bool wanted) {
  static_assert(sizeof(E) == 2 && (kN == 32 || kN == 64 || kN == 96 || kN == 128));
  simt::Product product = detail::product_of<E>(&sums[0][0], kN, right, kB, wanted);
  product.left = left.bits;
  simt::start_product(product);
}
template <class E, int kN, Along kB = Along::columns>
void multiply_registers(float (&sums)[kN / 8][4], const uint32_t (&left)[4], SharedMatrix right,
                        bool wanted) {
  static_assert(sizeof(E) == 2 && (kN == 32 || kN == 64 || kN == 96 || kN == 128));
  simt::Product product = detail::product_of<E>(&sums[0][0], kN, right, kB, wanted);
  product.registers = left;
  simt::start_product(product);
}

}  // namespace headlight::kernels::cuda
