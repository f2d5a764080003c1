// Stands in for kernels/cuda/barrier.h on the emulated device.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <stdexcept>

#include "tests/support/simt/simt.h"

namespace headlight::kernels::cuda {

namespace emulated {
// What the 8 bytes of a barrier hold.
struct Phases {
  uint16_t arrivals;  // that make a phase
  uint16_t missing;   // in the present one
  uint32_t complete;  // phases so far
};
inline Phases phases_of(const uint64_t& barrier) {
  Phases phases;
  std::memcpy(&phases, &barrier, sizeof phases);
  return phases;
}
inline void keep(uint64_t& barrier, const Phases& phases) { std::memcpy(&barrier, &phases, sizeof phases); }
}  // namespace emulated

inline void init_barrier(uint64_t& barrier, int arrivals) {
  emulated::keep(barrier, {static_cast<uint16_t>(arrivals), static_cast<uint16_t>(arrivals), 0});
}
inline void arrive(uint64_t& barrier, int count = 1) {
  emulated::Phases phases = emulated::phases_of(barrier);
  if (count < 1 || count > phases.missing)
    throw std::runtime_error("more threads arrive at a barrier than its phase has room for");
  phases.missing = static_cast<uint16_t>(phases.missing - count);
  if (phases.missing == 0) {
    phases.missing = phases.arrivals;
    phases.complete += 1;
  }
  emulated::keep(barrier, phases);
}
inline bool phase_is_complete(const uint64_t& barrier, uint32_t parity) {
  return emulated::phases_of(barrier).complete % 2 != parity;
}
inline void await_phase(const uint64_t& barrier, uint32_t parity) {
  simt::wait_until([&] { return phase_is_complete(barrier, parity); });
}

template <int kRegisters>
void give_registers() {}
template <int kRegisters>
void take_registers() {}

}  // namespace headlight::kernels::cuda
