// The emulated device's asynchronous products of a warpgroup, behind its twin of kernels/cuda/wgmma.h, and
// the book of what was written to shared memory by asynchronous copies that products may not yet see.
#pragma once

#include <cstddef>
#include <cstdint>

namespace simt {

/// sums [64,columns] = A [64,16] · B [16,columns] of one warpgroup, as one of its threads starts it.
struct Product {
  float* sums = nullptr;  ///< this thread's, [columns / 8][4]
  int columns = 0;
  uint64_t left = 0;                    ///< descriptor of A, where registers is null
  const uint32_t* registers = nullptr;  ///< this thread's four
  uint64_t right = 0;                   ///< descriptor of B
  bool across = false;                  ///< B is summed across its tile's rows
  bool add = false;
  float (*value)(uint16_t bits) = nullptr;
};

/// Address of a place in the running block's shared memory, as descriptors name it.
[[nodiscard]] uint32_t shared_address(const void* memory);

/// wgmma.fence, wgmma.mma_async, wgmma.commit_group, wgmma.wait_group of the running thread. Throw
/// std::runtime_error about what a device would compute wrongly.
void arrive_for_products();
void start_product(const Product& product);
void commit_products();
void await_products(int pending);

/// The running thread's fence.proxy.async; and that one of its cp.async has landed at `memory`.
void fence_shared();
void copy_landed(const void* memory, size_t bytes);

}  // namespace simt
