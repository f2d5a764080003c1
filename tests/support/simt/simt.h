// The emulated device: threads as fibers, one block at a time, barriers, warp exchange, guarded memory.
// Behind the stand-in <cuda_runtime.h> of this folder; tests choose the order in which threads run.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace simt {

/// In which order the threads of a block, and the blocks of a grid, get their turn. A result that depends on
/// it misses a barrier.
enum class Order { forward, reverse, shuffled };
void set_order(Order order, uint32_t seed = 1);

/// Bytes that the device has; what is asked for beyond them fails as on a device.
void set_memory_limit(size_t bytes);
/// How many devices the stand-in driver reports, and what it answers instead (a cudaError_t; 0: nothing
/// wrong).
void set_devices(int count, int error = 0);
/// Compute capability that they report; 9.0 unless a test says otherwise.
void set_capability(int major, int minor);

struct Index {
  unsigned x = 0, y = 0, z = 0;
};
/// Where the running thread is; read by threadIdx and its companions.
struct Place {
  Index thread, block, block_size{1, 1, 1}, grid_size{1, 1, 1};
};
extern Place place;

/// Bytes of device memory.
struct Region {
  unsigned char* first;
  size_t bytes;
};
/// Runs `thread` once for each thread of the grid. Empty, or a sentence about what went wrong: a barrier that
/// not all threads reach, a lane outside its own mask, memory written outside an allocation, an exception.
/// `unready`, where there is one: what kernels before this one wrote, which is not there until the threads of
/// a block have called wait_for_previous(); then all of them have to, and to write there before is a mistake.
[[nodiscard]] std::string run_grid(Index grid, Index block, size_t shared_bytes,
                                   const std::function<void()>& thread,
                                   const std::vector<Region>* unready = nullptr);
/// See run_grid. The threads of a block go on together, which a device does not promise.
void wait_for_previous();
/// Throws where the bytes do not lie in one allocation, or not on borders of 16 bytes.
void bring_to_cache(const void* memory, int64_t bytes);

/// The dynamic shared memory of the running block: 16-byte aligned, not-a-number before the block starts.
[[nodiscard]] void* shared_memory();
[[nodiscard]] size_t shared_bytes();
/// Number of the running block among all that have run, from 1.
[[nodiscard]] uint64_t block_serial();

/// Every thread of the block, or every lane of `mask` in this thread's warp, has arrived.
void block_barrier();
void warp_barrier(unsigned mask);
/// This thread goes on when `ready()` holds; it is asked while others run.
void wait_until(const std::function<bool()>& ready);
/// As block_barrier, and whether `condition` held for how many threads.
int block_count(bool condition);

/// Lane of the running thread in its warp.
[[nodiscard]] int lane();
/// Largest value that one lane passes to the others.
inline constexpr size_t kExchangeBytes = 64;
/// Leaves `bytes` bytes for the lanes of `mask`, waits for all of them, and returns what each lane left
/// ([32][kExchangeBytes]); valid until the thread's second exchange after this one.
[[nodiscard]] const unsigned char* exchange(unsigned mask, const void* value, size_t bytes);

/// Device memory, 256-byte aligned, not-a-number, between guard zones; null when there is not enough.
[[nodiscard]] void* allocate(size_t bytes);
/// False where `memory` is none of ours.
[[nodiscard]] bool release(void* memory);
/// Empty, or a sentence about the first guard zone that was written.
[[nodiscard]] std::string damaged_guards();
/// Bytes allocated now, and whether [memory, memory + bytes) lies inside one allocation.
[[nodiscard]] size_t allocated_bytes();
[[nodiscard]] bool is_device_memory(const void* memory, size_t bytes);
/// What all allocations hold now, and where they hold something else than then.
using Snapshot = std::map<const unsigned char*, std::vector<unsigned char>>;
[[nodiscard]] Snapshot snapshot();
[[nodiscard]] std::vector<Region> changed_since(const Snapshot& then);

}  // namespace simt
