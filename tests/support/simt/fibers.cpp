// Threads of a block as fibers: each runs until it waits, then the next one gets its turn. A switch is a
// _setjmp and a _longjmp, so that no system call is made; ucontext only starts a fiber on its own stack.
#undef _FORTIFY_SOURCE  // its longjmp refuses to change to another stack
#include <setjmp.h>
#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <vector>

#include "tests/support/simt/simt.h"

namespace simt {

Place place;

namespace {

constexpr int kWarp = 32;
constexpr size_t kMaxThreads = 1024;
constexpr size_t kStackBytes = size_t{256} << 10;
constexpr size_t kGuard = 64;

enum class Wait { nothing, block, warp, previous, condition, finished };

struct Fiber {
  jmp_buf at;
  ucontext_t start;
  void* stack = nullptr;
  bool started = false;
  Wait wait = Wait::finished;
  unsigned mask = 0;                                 // of the warp barrier it waits at
  const std::function<bool()>* condition = nullptr;  // that it waits for
  Index thread;
};

// What lanes pass to each other under one mask. Two places, so that one barrier an exchange is enough: nobody
// is two exchanges ahead. Lanes of one mask count alike, lanes of different masks need not.
struct Exchange {
  unsigned mask = 0;
  unsigned char count[kWarp] = {};
  alignas(16) unsigned char left[2][kWarp][kExchangeBytes];
};

struct Warp {
  unsigned arrived = 0;
  std::vector<std::unique_ptr<Exchange>> exchanges;
};

struct Device {
  std::vector<std::unique_ptr<Fiber>> fibers;
  std::vector<Warp> warps;
  std::vector<int> order;
  jmp_buf scheduler;
  ucontext_t main;
  Fiber* running = nullptr;
  int running_index = 0;
  int threads = 0;
  int arrived = 0;  // at the block's barrier
  int finished = 0;
  int counted = 0;  // of block_count(), this round and the one before
  int count_result = 0;
  bool progress = false;
  const std::function<void()>* body = nullptr;
  std::string failure;
  std::vector<unsigned char> shared;
  size_t shared_bytes = 0;
  uint64_t blocks = 0;  // that have run
  Order chosen = Order::forward;
  uint32_t seed = 1;
  // What the block must wait for, and what it will find there. Nothing to wait for: null.
  const std::vector<Region>* unready = nullptr;
  std::vector<std::vector<unsigned char>> ready;
  int waited = 0;
};

Device device;
std::mutex one_grid_at_a_time;

std::string describe(const Index& i) {
  std::string text = std::to_string(i.x);
  for (const unsigned next : {i.y, i.z}) text.append(", ").append(std::to_string(next));
  return text;
}

// Leaves the running fiber; it goes on when the scheduler resumes it.
void leave() {
  if (_setjmp(device.running->at) == 0) _longjmp(device.scheduler, 1);
}

[[noreturn]] void misuse(const std::string& what) { throw std::runtime_error(what); }

void fiber_main() {
  for (;;) {
    try {
      (*device.body)();
    } catch (const std::exception& error) {
      if (device.failure.empty()) device.failure = error.what();
    }
    device.running->wait = Wait::finished;
    device.finished += 1;
    leave();
  }
}

void make_fibers(int threads) {
  while (device.fibers.size() < static_cast<size_t>(threads)) {
    auto fiber = std::make_unique<Fiber>();
    fiber->stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (fiber->stack == MAP_FAILED) throw std::bad_alloc();
    device.fibers.push_back(std::move(fiber));
  }
}

void resume(int index) {
  device.running = device.fibers[static_cast<size_t>(index)].get();
  device.running_index = index;
  place.thread = device.running->thread;
  if (_setjmp(device.scheduler) != 0) return;
  Fiber& fiber = *device.running;
  if (fiber.started) _longjmp(fiber.at, 1);
  fiber.started = true;
  getcontext(&fiber.start);
  fiber.start.uc_stack.ss_sp = fiber.stack;
  fiber.start.uc_stack.ss_size = kStackBytes;
  fiber.start.uc_link = nullptr;
  makecontext(&fiber.start, fiber_main, 0);
  setcontext(&fiber.start);
}

unsigned live_lanes(int warp) {
  unsigned live = 0;
  for (int lane = 0; lane < kWarp; ++lane) {
    const int index = warp * kWarp + lane;
    if (index < device.threads && device.fibers[static_cast<size_t>(index)]->wait != Wait::finished) {
      live |= 1U << lane;
    }
  }
  return live;
}

std::string what_threads_wait_for() {
  int at_block = 0;
  int at_warp = 0;
  int at_previous = 0;
  int at_condition = 0;
  const Fiber* waiting = nullptr;
  for (int i = 0; i < device.threads; ++i) {
    const Fiber& fiber = *device.fibers[static_cast<size_t>(i)];
    at_block += fiber.wait == Wait::block ? 1 : 0;
    at_warp += fiber.wait == Wait::warp ? 1 : 0;
    at_previous += fiber.wait == Wait::previous ? 1 : 0;
    at_condition += fiber.wait == Wait::condition ? 1 : 0;
    if (waiting == nullptr && fiber.wait != Wait::finished) waiting = &fiber;
  }
  return "not all threads reach a barrier: of " + std::to_string(device.threads) + ", " +
         std::to_string(at_block) + " wait at __syncthreads, " + std::to_string(at_warp) +
         " at a warp's barrier, " + std::to_string(at_previous) + " for the kernels before, " +
         std::to_string(at_condition) + " for a phase, " + std::to_string(device.finished) +
         " have returned; thread " + describe(waiting->thread) + " waits";
}

constexpr unsigned char kUnready = 0xFF;  // a float of these bits is not a number

// Takes away what the kernels before wrote, until all threads of the block wait for it.
void hide_unready() {
  device.ready.clear();
  for (const Region& region : *device.unready) {
    device.ready.emplace_back(region.first, region.first + region.bytes);
    std::memset(region.first, kUnready, region.bytes);
  }
}

// Puts it there; false where the block has written over it before.
bool show_unready() {
  bool untouched = true;
  for (size_t i = 0; i < device.ready.size(); ++i) {
    const Region& region = (*device.unready)[i];
    for (size_t j = 0; j < region.bytes; ++j) untouched = untouched && region.first[j] == kUnready;
    std::memcpy(region.first, device.ready[i].data(), region.bytes);
  }
  device.ready.clear();
  return untouched;
}

// Runs the block at place.block; returns false after a failure.
bool run_block() {
  device.blocks += 1;
  device.arrived = device.finished = device.counted = device.waited = 0;
  if (device.unready != nullptr) hide_unready();
  for (Warp& warp : device.warps) {
    warp.arrived = 0;
    for (auto& exchange : warp.exchanges) std::memset(exchange->count, 0, sizeof exchange->count);
  }
  for (int i = 0; i < device.threads; ++i) {
    Fiber& fiber = *device.fibers[static_cast<size_t>(i)];
    fiber.wait = Wait::nothing;
  }
  std::fill(device.shared.begin(), device.shared.end(), static_cast<unsigned char>(0xFF));
  while (device.finished < device.threads) {
    device.progress = false;
    for (const int index : device.order) {
      Fiber& fiber = *device.fibers[static_cast<size_t>(index)];
      if (fiber.wait == Wait::condition && (*fiber.condition)()) fiber.wait = Wait::nothing;
      if (fiber.wait != Wait::nothing) continue;
      device.progress = true;
      resume(index);
      if (!device.failure.empty()) return false;
    }
    if (!device.progress) {
      device.failure = what_threads_wait_for();
      return false;
    }
  }
  if (device.unready != nullptr && device.waited < device.threads) {
    device.failure = "of " + std::to_string(device.threads) + " threads, " + std::to_string(device.waited) +
                     " wait for the kernels before, which all have to";
    return false;
  }
  const auto untouched = [](unsigned char byte) { return byte == 0xFF; };
  const auto* beyond = static_cast<const unsigned char*>(shared_memory()) + device.shared_bytes;
  if (!std::all_of(beyond, beyond + kGuard, untouched)) {
    device.failure = "the block wrote beyond its " + std::to_string(device.shared_bytes) +
                     " bytes of dynamic shared memory";
    return false;
  }
  return true;
}

}  // namespace

void set_order(Order order, uint32_t seed) {
  device.chosen = order;
  device.seed = seed;
}

std::string run_grid(Index grid, Index block, size_t shared_bytes, const std::function<void()>& thread,
                     const std::vector<Region>* unready) {
  const std::lock_guard lock(one_grid_at_a_time);
  const size_t threads = size_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > kMaxThreads) return "a block has 1 to 1024 threads";
  device.threads = static_cast<int>(threads);
  make_fibers(device.threads);
  device.warps.resize((threads + kWarp - 1) / kWarp);
  device.body = &thread;
  device.unready = unready;
  device.failure.clear();
  device.shared_bytes = shared_bytes;
  device.shared.resize(shared_bytes + 16 + kGuard);
  int next = 0;
  for (unsigned z = 0; z < block.z; ++z) {
    for (unsigned y = 0; y < block.y; ++y) {
      for (unsigned x = 0; x < block.x; ++x) device.fibers[static_cast<size_t>(next++)]->thread = {x, y, z};
    }
  }
  std::mt19937 random(device.seed);
  device.order.resize(threads);
  for (int i = 0; i < device.threads; ++i) {
    device.order[static_cast<size_t>(i)] = device.chosen == Order::reverse ? device.threads - 1 - i : i;
  }
  if (device.chosen == Order::shuffled) std::shuffle(device.order.begin(), device.order.end(), random);
  place.block_size = block;
  place.grid_size = grid;
  const uint64_t blocks = uint64_t{grid.x} * grid.y * grid.z;
  for (uint64_t i = 0; i < blocks; ++i) {
    const uint64_t at = device.chosen == Order::forward ? i : blocks - 1 - i;
    place.block = {static_cast<unsigned>(at % grid.x), static_cast<unsigned>(at / grid.x % grid.y),
                   static_cast<unsigned>(at / grid.x / grid.y)};
    if (!run_block()) {
      // What is left of the block's threads is abandoned where it stands.
      for (auto& fiber : device.fibers) fiber->started = false;
      (void)show_unready();
      return "block " + describe(place.block) + ", thread " + describe(place.thread) + ": " + device.failure;
    }
  }
  return damaged_guards();
}

void* shared_memory() {
  const auto address = reinterpret_cast<uintptr_t>(device.shared.data());
  return device.shared.data() + (16 - address % 16) % 16;
}
size_t shared_bytes() { return device.shared_bytes; }
uint64_t block_serial() { return device.blocks; }

int lane() { return device.running_index % kWarp; }

int block_count(bool condition) {
  device.counted += condition ? 1 : 0;
  block_barrier();
  return device.count_result;
}

void wait_until(const std::function<bool()>& ready) {
  if (ready()) return;
  device.running->wait = Wait::condition;
  device.running->condition = &ready;
  leave();
}

void block_barrier() {
  device.arrived += 1;
  if (device.arrived < device.threads) {
    device.running->wait = Wait::block;
    leave();
    return;
  }
  device.arrived = 0;
  device.count_result = device.counted;
  device.counted = 0;
  for (int i = 0; i < device.threads; ++i) {
    Fiber& fiber = *device.fibers[static_cast<size_t>(i)];
    if (fiber.wait == Wait::block) fiber.wait = Wait::nothing;
  }
}

void wait_for_previous() {
  if (device.unready == nullptr || device.waited == device.threads) return;
  device.waited += 1;
  if (device.waited < device.threads) {
    device.running->wait = Wait::previous;
    leave();
    return;
  }
  if (!show_unready()) misuse("the block writes what kernels before wrote, and has not waited for them");
  for (int i = 0; i < device.threads; ++i) {
    Fiber& fiber = *device.fibers[static_cast<size_t>(i)];
    if (fiber.wait == Wait::previous) fiber.wait = Wait::nothing;
  }
}

void warp_barrier(unsigned mask) {
  const int warp_index = device.running_index / kWarp;
  const unsigned self = 1U << lane();
  if ((mask & self) == 0) misuse("a thread is not in the mask that it passes to its warp");
  const unsigned outside =
      device.threads >= (warp_index + 1) * kWarp ? 0U : ~((1U << (device.threads % kWarp)) - 1U);
  const unsigned wanted = mask & ~outside;
  if ((wanted & ~live_lanes(warp_index)) != 0) misuse("a mask names a lane that has already returned");
  Warp& warp = device.warps[static_cast<size_t>(warp_index)];
  warp.arrived |= self;
  if ((warp.arrived & wanted) != wanted) {
    device.running->wait = Wait::warp;
    device.running->mask = mask;
    leave();
    return;
  }
  warp.arrived &= ~wanted;
  for (int lane = 0; lane < kWarp; ++lane) {
    if ((wanted >> lane & 1U) == 0 || (1U << lane) == self) continue;
    Fiber& fiber = *device.fibers[static_cast<size_t>(warp_index * kWarp + lane)];
    if (fiber.mask != mask) misuse("lanes of one warp pass different masks");
    fiber.wait = Wait::nothing;
  }
}

const unsigned char* exchange(unsigned mask, const void* value, size_t bytes) {
  if (bytes > kExchangeBytes) misuse("a value is too large to be passed between lanes");
  auto& exchanges = device.warps[static_cast<size_t>(device.running_index / kWarp)].exchanges;
  auto found = std::find_if(exchanges.begin(), exchanges.end(), [&](auto& e) { return e->mask == mask; });
  if (found == exchanges.end()) {
    exchanges.push_back(std::make_unique<Exchange>());
    exchanges.back()->mask = mask;
    found = exchanges.end() - 1;
  }
  Exchange& exchange = **found;
  auto& left = exchange.left[exchange.count[lane()]++ % 2];
  std::memcpy(left[lane()], value, bytes);
  warp_barrier(mask);
  return left[0];
}

}  // namespace simt
