// Barriers of shared memory that threads reach and await apart from each other (mbarrier), and the hand-over
// of registers between warpgroups (setmaxnreg). For the files compiled for sm_90a alone; tests/support/simt
// has a twin of this file. Any thread calls them unless they say otherwise.
//
// A barrier counts arrivals; with the last of them a phase is complete and the next one begins. Phases have
// parities 0, 1, 0, …, and of a fresh barrier the phase before the first, of parity 1, counts as complete.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace headlight::kernels::cuda {

namespace detail {
__device__ inline uint32_t address_of(const uint64_t& barrier) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(&barrier));
}
}  // namespace detail

/// `arrivals` make a phase. By one thread; the others go on behind a __syncthreads.
__device__ inline void init_barrier(uint64_t& barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(detail::address_of(barrier)), "r"(arrivals)
               : "memory");
}
/// `count` arrivals. What this thread did before is seen by those that await the phase.
__device__ inline void arrive(uint64_t& barrier, int count = 1) {
  asm volatile("mbarrier.arrive.release.cta.shared::cta.b64 _, [%0], %1;" ::"r"(detail::address_of(barrier)),
               "r"(count)
               : "memory");
}
/// Whether the phase of this parity, the present one or the one before, is complete.
__device__ inline bool phase_is_complete(const uint64_t& barrier, uint32_t parity) {
  uint32_t complete;
  asm volatile(
      "{\n.reg .pred complete;\n"
      "mbarrier.test_wait.parity.acquire.cta.shared::cta.b64 complete, [%1], %2;\n"
      "selp.u32 %0, 1, 0, complete;\n}"
      : "=r"(complete)
      : "r"(detail::address_of(barrier)), "r"(parity)
      : "memory");
  return complete != 0;
}
/// Waits until it is.
__device__ inline void await_phase(const uint64_t& barrier, uint32_t parity) {
  uint32_t complete;
  do {
    asm volatile(
        "{\n.reg .pred complete;\n"
        "mbarrier.try_wait.parity.acquire.cta.shared::cta.b64 complete, [%1], %2;\n"
        "selp.u32 %0, 1, 0, complete;\n}"
        : "=r"(complete)
        : "r"(detail::address_of(barrier)), "r"(parity)
        : "memory");
  } while (complete == 0);
}

/// Leaves this warpgroup kRegisters a thread and gives the rest back to the block, or waits until the block
/// has as many for it. By all threads of a warpgroup, in a kernel whose launch bounds name one block.
template <int kRegisters>
__device__ void give_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
}
template <int kRegisters>
__device__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
}

}  // namespace headlight::kernels::cuda
