// Stands in for kernels/cuda/mma.h on the emulated device: the same instructions with the same fragment
// layouts, played by lanes that pass each other what they hold. A copy lands only when its group is waited
// for, so that a missing wait shows.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <vector>

#include "kernels/element.h"
#include "tests/support/simt/simt.h"
#include "tests/support/simt/wgmma.h"

namespace headlight::kernels::cuda {

// --- numbers ----------------------------------------------------------------------------------------------
inline float exp2_approximate(float x) { return std::exp2(x); }

template <class E>
uint32_t pack(float low, float high) {
  return from_float<E>(low).bits | static_cast<uint32_t>(from_float<E>(high).bits) << 16;
}

// --- products ---------------------------------------------------------------------------------------------
namespace emulated {

/// c [16,8] += a·b, where product(x, y) is the sum of the products of the elements in two registers. Summed
/// in double and added once: a device rounds at least as fp32 does, in an order of its own.
template <class Product>
void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1, const Product& product) {
  struct Fragments {
    uint32_t a[4], b[2];
  };
  const Fragments mine{{a[0], a[1], a[2], a[3]}, {b0, b1}};
  const unsigned char* left = simt::exchange(0xFFFFFFFFU, &mine, sizeof mine);
  const auto of_lane = [left](int lane) {
    Fragments theirs;
    std::memcpy(&theirs, left + static_cast<size_t>(lane) * simt::kExchangeBytes, sizeof theirs);
    return theirs;
  };
  const int g = simt::lane() / 4;
  const int t = simt::lane() % 4;
  double sums[4] = {};
  for (int i = 0; i < 4; ++i) {  // the lanes that hold a row, and a column
    const Fragments rows = of_lane(4 * g + i);
    for (int column = 0; column < 2; ++column) {
      const Fragments columns = of_lane(4 * (2 * t + column) + i);
      for (int half = 0; half < 2; ++half) {
        sums[column] += product(rows.a[2 * half], columns.b[half]);
        sums[2 + column] += product(rows.a[2 * half + 1], columns.b[half]);
      }
    }
  }
  for (int e = 0; e < 4; ++e) c[e] = static_cast<float>(static_cast<double>(c[e]) + sums[e]);
}

/// What TF32 keeps of a number.
inline float upper(float x) { return __uint_as_float(__float_as_uint(x) & 0xFFFFE000U); }

}  // namespace emulated

template <class E>
void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulated::multiply_add(c, a, b0, b1, [](uint32_t x, uint32_t y) {
    const auto element = [](uint32_t both, int i) {
      return to_float(E{static_cast<uint16_t>(both >> 16 * i)});
    };
    return static_cast<double>(element(x, 0) * element(y, 0)) +
           static_cast<double>(element(x, 1) * element(y, 1));
  });
}

/// The three products of TF32 numbers in one exchange.
template <>
inline void multiply_add<float>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  emulated::multiply_add(c, a, b0, b1, [](uint32_t x_bits, uint32_t y_bits) {
    const float x = __uint_as_float(x_bits);
    const float y = __uint_as_float(y_bits);
    const double x1 = emulated::upper(x);
    const double y1 = emulated::upper(y);
    const double x2 = emulated::upper(x - emulated::upper(x));
    const double y2 = emulated::upper(y - emulated::upper(y));
    return x2 * y1 + x1 * y2 + x1 * y1;
  });
}

// --- shared memory to fragments ---------------------------------------------------------------------------
namespace emulated {

inline bool in_shared_memory(const void* memory, size_t bytes) {
  const auto first = reinterpret_cast<uintptr_t>(simt::shared_memory());
  const auto at = reinterpret_cast<uintptr_t>(memory);
  return at >= first && at + bytes <= first + simt::shared_bytes();
}

/// Four matrices of 8 rows of 8 elements of 16 bits, from the row that each lane names.
struct Matrices {
  const unsigned char* left;
  explicit Matrices(const void* row) {
    if (reinterpret_cast<uintptr_t>(row) % 16 != 0 || !in_shared_memory(row, 16))
      throw std::runtime_error("ldmatrix reads a row outside of shared memory or not aligned to 16 bytes");
    left = simt::exchange(0xFFFFFFFFU, row, 16);
  }
  [[nodiscard]] uint32_t at(int matrix, int row, int element) const {
    uint16_t bits = 0;
    std::memcpy(&bits, left + static_cast<size_t>(8 * matrix + row) * simt::kExchangeBytes + 2 * element, 2);
    return bits;
  }
};

}  // namespace emulated

inline void load_matrices(uint32_t (&r)[4], const void* row) {
  const emulated::Matrices matrices(row);
  const int g = simt::lane() / 4;
  const int t = simt::lane() % 4;
  for (int i = 0; i < 4; ++i) r[i] = matrices.at(i, g, 2 * t) | matrices.at(i, g, 2 * t + 1) << 16;
}
inline void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  const emulated::Matrices matrices(row);
  const int g = simt::lane() / 4;
  const int t = simt::lane() % 4;
  for (int i = 0; i < 4; ++i) r[i] = matrices.at(i, 2 * t, g) | matrices.at(i, 2 * t + 1, g) << 16;
}

// --- global to shared memory, asynchronously
// ----------------------------------------------------------------
namespace emulated {

/// The copies that one thread has started and not yet waited for.
struct Copies {
  struct Copy {
    void* to;
    const void* from;  // null: zeros
    size_t bytes;
    int group;
  };
  std::vector<Copy> pending;
  int group = 0;
};

inline Copies& copies_of_this_thread() {
  static std::array<Copies, 1024> all;
  return all[threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)];
}

inline void start_copy(void* to, const void* from, size_t bytes) {
  if (reinterpret_cast<uintptr_t>(to) % bytes != 0 || reinterpret_cast<uintptr_t>(from) % bytes != 0)
    throw std::runtime_error("cp.async between places that are not aligned to what it copies");
  if (!in_shared_memory(to, bytes)) throw std::runtime_error("cp.async writes outside of shared memory");
  if (from != nullptr && !simt::is_device_memory(from, bytes))
    throw std::runtime_error("cp.async reads outside of an allocation");
  Copies& copies = copies_of_this_thread();
  copies.pending.push_back({to, from, bytes, copies.group});
}

}  // namespace emulated

inline void copy_async_16(void* shared, const void* from, bool wanted) {
  emulated::start_copy(shared, wanted ? from : nullptr, 16);
}
inline void copy_async_4(void* shared, const void* from, bool wanted) {
  emulated::start_copy(shared, wanted ? from : nullptr, 4);
}
inline void close_copies() { emulated::copies_of_this_thread().group += 1; }
template <int kPending>
void await_copies() {
  emulated::Copies& copies = emulated::copies_of_this_thread();
  std::erase_if(copies.pending, [&](const emulated::Copies::Copy& copy) {
    if (copy.group + kPending >= copies.group) return false;
    if (!emulated::in_shared_memory(copy.to, copy.bytes))
      throw std::runtime_error("a cp.async of an earlier block was never waited for");
    if (copy.from == nullptr) {
      std::memset(copy.to, 0, copy.bytes);
    } else {
      std::memcpy(copy.to, copy.from, copy.bytes);
    }
    simt::copy_landed(copy.to, copy.bytes);
    return true;
  });
}

}  // namespace headlight::kernels::cuda
