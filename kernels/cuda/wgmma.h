// Hopper's products of a whole warpgroup (wgmma), one instruction a function, beside those of mma.h. For the
// files compiled for sm_90a alone (*_hopper*.cu). tests/support/simt has a twin of this file that plays the
// same instructions thread by thread; what changes here changes there. Every function is called by all 128
// threads of a warpgroup (four warps, the first one's index a multiple of 4) unless it says otherwise.
//
// A product runs beside the threads that started it:
//   warpgroup_arrive(); multiply(...) several times; commit_products(); other work; await_products<0>(sums);
// Until it is awaited its sums are neither read nor written, its operands in shared memory are not written,
// and its operands in registers keep their values.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "kernels/element.h"

namespace headlight::kernels::cuda {

inline constexpr int kWarpgroup = 128;

/// Sums of 64 rows and kN columns. Warp w of the warpgroup holds rows 16w … 16w + 15, [n] being the
/// accumulator of columns 8n … 8n + 7 as in mma.h.
template <int kN>
using WarpgroupAccumulator = float[kN / 8][4];

// --- operands in shared memory ----------------------------------------------------------------------------
/// Where an operand of 16-bit elements lies (PTX ISA, "Matrix descriptor"). Its tile has rows of 64 elements,
/// 128 bytes apart, and starts at a multiple of 1024 bytes; chunk c of row r (16 bytes) lies at place
/// c ^ r % 8, as in attention_tile.h's tiles of 64 columns.
struct SharedMatrix {
  uint64_t bits;
};

/// In which direction the products of an operand are summed: along its tile's rows, or across them.
enum class Along { rows, columns };

namespace detail {
/// `leading` and `stride` in bytes; the swizzle is the one of 128 bytes.
__device__ inline SharedMatrix shared_matrix(uint32_t address, int leading, int stride) {
  constexpr uint64_t kSwizzle128 = uint64_t{1} << 62;
  const auto field = [](uint32_t bytes) { return static_cast<uint64_t>((bytes & 0x3FFFFU) >> 4); };
  return {kSwizzle128 | field(static_cast<uint32_t>(stride)) << 32 |
          field(static_cast<uint32_t>(leading)) << 16 | field(address)};
}
}  // namespace detail

/// Rows `row` … of the tile, from element `column` on, as an operand that is summed along its rows: 64 rows
/// of A, or kN rows that are the columns of B. `row` is a multiple of 8, `column` one of 16 below 64: an
/// instruction takes 16 elements of each row. Any thread.
__device__ inline SharedMatrix rows_operand(const void* tile, int row, int column) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(tile));
  return detail::shared_matrix(address + static_cast<uint32_t>(row * 128 + column * 2), 16, 1024);
}
/// 16 rows of the tile from `row` on (a multiple of 8) as a B operand that is summed across them: its columns
/// are the tile's. Where kN > 64 the next 64 columns lie in a tile `next` bytes further on (a multiple of
/// 1024). Any thread.
__device__ inline SharedMatrix columns_operand(const void* tile, int row, int next = 1024) {
  const auto address = static_cast<uint32_t>(__cvta_generic_to_shared(tile));
  return detail::shared_matrix(address + static_cast<uint32_t>(row * 128), next, 1024);
}

// --- order ------------------------------------------------------------------------------------------------
/// What this thread has written to shared memory, also by cp.async that it has awaited, becomes visible to
/// products that other threads start behind a barrier. Any thread.
__device__ inline void fence_shared() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
/// Before the first product after registers that it uses, sums or operands, were read or written.
__device__ inline void warpgroup_arrive() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
/// Makes a group of the products started since the last group.
__device__ inline void commit_products() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// These values are made before, and what is made of them is made after: the compiler would move it across
/// waits and fences, or out of a loop. Any thread.
__device__ inline void settle(float& x) { asm volatile("" : "+f"(x)::"memory"); }
__device__ inline void settle(int& x) { asm volatile("" : "+r"(x)::"memory"); }
template <class X, int kCount>
__device__ void settle(X (&x)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) settle(x[i]);
}
/// What leads to this number, which is not negative, is worked out before what follows. The assembler puts a
/// wait in front of all arithmetic that does not need it, unless a branch decides; this one is never taken.
__device__ inline void finish_first(float not_negative) {
  if (__any_sync(0xFFFFFFFFU, not_negative < 0.0F)) __nanosleep(1);
}
/// Waits until at most kPending of the newest groups are under way. Sums that are complete and used next are
/// named, and settle here.
template <int kPending, class... Sums>
__device__ void await_products(Sums&... sums) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
  (settle(sums), ...);
}

// --- products ---------------------------------------------------------------------------------------------
// The instruction's text, and the places of its operands: kN / 2 sums, then A, then B, then whether to add.
#define HEADLIGHT_SUMS_4(n) "+f"(sums[n][0]), "+f"(sums[n][1]), "+f"(sums[n][2]), "+f"(sums[n][3])
#define HEADLIGHT_SUMS_16(n) \
  HEADLIGHT_SUMS_4(n), HEADLIGHT_SUMS_4(n + 1), HEADLIGHT_SUMS_4(n + 2), HEADLIGHT_SUMS_4(n + 3)
#define HEADLIGHT_SUMS_32(n) HEADLIGHT_SUMS_16(n), HEADLIGHT_SUMS_16(n + 4)
#define HEADLIGHT_SUMS_48(n) HEADLIGHT_SUMS_32(n), HEADLIGHT_SUMS_16(n + 8)
#define HEADLIGHT_SUMS_64(n) HEADLIGHT_SUMS_32(n), HEADLIGHT_SUMS_32(n + 8)
#define HEADLIGHT_PLACES_16 "%0,%1,%2,%3,%4,%5,%6,%7,%8,%9,%10,%11,%12,%13,%14,%15"
#define HEADLIGHT_PLACES_32 \
  HEADLIGHT_PLACES_16 ",%16,%17,%18,%19,%20,%21,%22,%23,%24,%25,%26,%27,%28,%29,%30,%31"
#define HEADLIGHT_PLACES_48 \
  HEADLIGHT_PLACES_32 ",%32,%33,%34,%35,%36,%37,%38,%39,%40,%41,%42,%43,%44,%45,%46,%47"
#define HEADLIGHT_PLACES_64 \
  HEADLIGHT_PLACES_48 ",%48,%49,%50,%51,%52,%53,%54,%55,%56,%57,%58,%59,%60,%61,%62,%63"
#define HEADLIGHT_WGMMA(shape, type, places, a, b, add, directions)                      \
  "{\n.reg .pred add;\nsetp.ne.b32 add, " add                                            \
  ", 0;\n"                                                                               \
  "wgmma.mma_async.sync.aligned." shape ".f32." type "." type " {" places "}, " a ", " b \
  ", add"                                                                                \
  ", 1, 1, " directions ";\n}"
#define HEADLIGHT_FROM_SHARED(kCount, shape, type, a, b, add, direction)                           \
  asm volatile(HEADLIGHT_WGMMA(shape, type, HEADLIGHT_PLACES_##kCount, a, b, add, "0, " direction) \
               : HEADLIGHT_SUMS_##kCount(0)                                                        \
               : "l"(left.bits), "l"(right.bits), "r"(static_cast<int>(wanted)), "n"(kAcross))
#define HEADLIGHT_FROM_REGISTERS(kCount, shape, type, a, b, add, direction)                          \
  asm volatile(HEADLIGHT_WGMMA(shape, type, HEADLIGHT_PLACES_##kCount, "{" a "}", b, add, direction) \
               : HEADLIGHT_SUMS_##kCount(0)                                                          \
               : "r"(left[0]), "r"(left[1]), "r"(left[2]), "r"(left[3]), "l"(right.bits),            \
                 "r"(static_cast<int>(wanted)), "n"(kAcross))
// One of the two for the kN and E of the function it stands in.
#define HEADLIGHT_OF_TYPE(product, kCount, shape, ...) \
  if constexpr (std::is_same_v<E, bfloat16>) {         \
    product(kCount, shape, "bf16", __VA_ARGS__);       \
  } else {                                             \
    product(kCount, shape, "f16", __VA_ARGS__);        \
  }

/// sums [64,kN] = a [64,16] · b [16,kN], added to what they were where `wanted`. A is summed along its rows,
/// B along its own or across them.
template <class E, int kN, Along kB = Along::rows>
__device__ void multiply(float (&sums)[kN / 8][4], SharedMatrix left, SharedMatrix right, bool wanted) {
  static_assert(sizeof(E) == 2 && (kN == 32 || kN == 64 || kN == 96 || kN == 128));
  constexpr int kAcross = kB == Along::columns ? 1 : 0;
  if constexpr (kN == 32) {
    HEADLIGHT_OF_TYPE(HEADLIGHT_FROM_SHARED, 16, "m64n32k16", "%16", "%17", "%18", "%19")
  } else if constexpr (kN == 64) {
    HEADLIGHT_OF_TYPE(HEADLIGHT_FROM_SHARED, 32, "m64n64k16", "%32", "%33", "%34", "%35")
  } else if constexpr (kN == 96) {
    HEADLIGHT_OF_TYPE(HEADLIGHT_FROM_SHARED, 48, "m64n96k16", "%48", "%49", "%50", "%51")
  } else {
    HEADLIGHT_OF_TYPE(HEADLIGHT_FROM_SHARED, 64, "m64n128k16", "%64", "%65", "%66", "%67")
  }
}

/// The same with A in registers: each warp's 16 rows as a fragment of mma.h's multiply_add.
template <class E, int kN, Along kB = Along::columns>
__device__ void multiply_registers(float (&sums)[kN / 8][4], const uint32_t (&left)[4], SharedMatrix right,
                                   bool wanted) {
  static_assert(sizeof(E) == 2 && (kN == 32 || kN == 64 || kN == 96 || kN == 128));
  constexpr int kAcross = kB == Along::columns ? 1 : 0;
  if constexpr (kN == 32) {
    HEADLIGHT_OF_TYPE(HEADLIGHT_FROM_REGISTERS, 16, "m64n32k16", "%16,%17,%18,%19", "%20", "%21", "%22")
  } else if constexpr (kN == 64) {
    HEADLIGHT_OF_TYPE(HEADLIGHT_FROM_REGISTERS, 32, "m64n64k16", "%32,%33,%34,%35", "%36", "%37", "%38")
  } else if constexpr (kN == 96) {
    HEADLIGHT_OF_TYPE(HEADLIGHT_FROM_REGISTERS, 48, "m64n96k16", "%48,%49,%50,%51", "%52", "%53", "%54")
  } else {
    HEADLIGHT_OF_TYPE(HEADLIGHT_FROM_REGISTERS, 64, "m64n128k16", "%64,%65,%66,%67", "%68", "%69", "%70")
  }
}

#undef HEADLIGHT_SUMS_4
#undef HEADLIGHT_SUMS_16
#undef HEADLIGHT_SUMS_32
#undef HEADLIGHT_SUMS_48
#undef HEADLIGHT_SUMS_64
#undef HEADLIGHT_PLACES_16
#undef HEADLIGHT_PLACES_32
#undef HEADLIGHT_PLACES_48
#undef HEADLIGHT_PLACES_64
#undef HEADLIGHT_WGMMA
#undef HEADLIGHT_FROM_SHARED
#undef HEADLIGHT_FROM_REGISTERS
#undef HEADLIGHT_OF_TYPE

}  // namespace headlight::kernels::cuda
