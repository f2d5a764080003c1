// Tensor cores and asynchronous copies, one instruction a function: mma.sync, ldmatrix, cp.async. Called by
// the attention kernels. tests/support/simt has a twin of this file that plays the same instructions lane by
// lane; what changes here changes there. Every function is called by all 32 lanes of a warp unless it says
// otherwise. Fragment layouts: PTX ISA, "Matrix fragments for mma.m16n8k16" and "mma.m16n8k8".
//
// With g = lane / 4 and t = lane % 4, an accumulator of 16 rows and 8 columns lies in a warp as
//   c[0], c[1]: row g, columns 2t and 2t + 1;   c[2], c[3]: row g + 8, the same columns.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/element.h"

namespace headlight::kernels::cuda {

// --- numbers ----------------------------------------------------------------------------------------------
/// 2^x to about 2 units in the last place; 2^−∞ = 0. Any lane.
__device__ inline float exp2_approximate(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/// Two numbers rounded to E (nearest, ties to even), `low` in the low half: what a register of a 16-bit
/// fragment holds. Any lane.
template <class E>
__device__ uint32_t pack(float low, float high);
template <>
__device__ inline uint32_t pack<bfloat16>(float low, float high) {
  uint32_t both;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}
template <>
__device__ inline uint32_t pack<float16>(float low, float high) {
  uint32_t both;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(both) : "f"(high), "f"(low));
  return both;
}

// --- products ---------------------------------------------------------------------------------------------
/// c [16,8] += a [16,16] · b [16,8] of 16-bit elements, summed in fp32. a[0]: row g, columns 2t and 2t + 1;
/// a[1]: row g + 8; a[2], a[3]: the same rows, columns 8 further. b0: rows 2t and 2t + 1 of column g; b1: 8
/// rows further.
template <class E>
__device__ void multiply_add(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
template <>
__device__ inline void multiply_add<bfloat16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                              uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}
template <>
__device__ inline void multiply_add<float16>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0,
                                             uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// c [16,8] += a [16,8] · b [8,8] of TF32 elements (fp32 with the low 13 bits clear). a[0]: row g, column t;
/// a[1]: row g + 8; a[2], a[3]: the same rows, column t + 4. b0: row t of column g; b1: row t + 4.
__device__ inline void multiply_add_tf32(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/// fp32 on tensor cores: each number is split into two of TF32, and three of the four products are summed,
/// the small ones first. What is dropped is below 2^−21 of a product.
template <>
__device__ inline void multiply_add<float>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  constexpr uint32_t kUpper = 0xFFFFE000U;
  const auto rest = [](uint32_t x) {
    return __float_as_uint(__uint_as_float(x) - __uint_as_float(x & kUpper)) & kUpper;
  };
  const uint32_t upper[4] = {a[0] & kUpper, a[1] & kUpper, a[2] & kUpper, a[3] & kUpper};
  const uint32_t lower[4] = {rest(a[0]), rest(a[1]), rest(a[2]), rest(a[3])};
  multiply_add_tf32(c, lower, b0 & kUpper, b1 & kUpper);
  multiply_add_tf32(c, upper, rest(b0), rest(b1));
  multiply_add_tf32(c, upper, b0 & kUpper, b1 & kUpper);
}

// --- shared memory to fragments ---------------------------------------------------------------------------
/// Four matrices of 8 rows of 16 bytes. Lane l names row l % 8 of matrix l / 8 (16-byte aligned, shared
/// memory) and gets, in r[i], bytes 4t … 4t + 3 of row g of matrix i.
__device__ inline void load_matrices(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}
/// The same transposed: r[i] holds the 16-bit elements of rows 2t and 2t + 1, column g, of matrix i.
__device__ inline void load_matrices_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(static_cast<uint32_t>(__cvta_generic_to_shared(row)))
               : "memory");
}

// --- global to shared memory, asynchronously; any lane
// ------------------------------------------------------
/// Starts a copy of 16 bytes (both ends 16-byte aligned); where `wanted` is false zeros are written and
/// `from` is not read.
__device__ inline void copy_async_16(void* shared, const void* from, bool wanted) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
               "l"(from), "r"(wanted ? 16 : 0)
               : "memory");
}
/// The same for 4 bytes, 4-byte aligned.
__device__ inline void copy_async_4(void* shared, const void* from, bool wanted) {
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
               "l"(from), "r"(wanted ? 4 : 0)
               : "memory");
}
/// Makes a group of the copies that this thread has started since the last group.
__device__ inline void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most kPending of this thread's newest groups are under way. Others' copies are visible
/// after a __syncthreads behind their own wait.
template <int kPending>
__device__ void await_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

}  // namespace headlight::kernels::cuda
