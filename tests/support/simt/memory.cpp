// Emulated device memory: every allocation lies between guard zones that are looked at after each launch.
#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <stdexcept>

#include "tests/support/simt/simt.h"

namespace simt {

namespace {

constexpr size_t kGuard = 256;
constexpr unsigned char kPattern = 0xFF;  // a float of these bits is not a number

std::mutex lock;
std::map<const unsigned char*, size_t> allocations;  // by the address that was handed out
size_t total = 0;
size_t limit = size_t{2} << 30;

size_t padded(size_t bytes) { return (bytes + kGuard - 1) / kGuard * kGuard; }

}  // namespace

void set_memory_limit(size_t bytes) {
  const std::lock_guard guard(lock);
  limit = bytes;
}

void* allocate(size_t bytes) {
  const std::lock_guard guard(lock);
  if (bytes > limit || total > limit - bytes) return nullptr;
  const size_t whole = padded(bytes) + 2 * kGuard;
  auto* memory = static_cast<unsigned char*>(std::aligned_alloc(kGuard, whole));
  if (memory == nullptr) return nullptr;
  std::memset(memory, kPattern, whole);
  allocations[memory + kGuard] = bytes;
  total += bytes;
  return memory + kGuard;
}

bool release(void* memory) {
  const std::lock_guard guard(lock);
  const auto found = allocations.find(static_cast<unsigned char*>(memory));
  if (found == allocations.end()) return false;
  total -= found->second;
  std::free(static_cast<unsigned char*>(memory) - kGuard);
  allocations.erase(found);
  return true;
}

std::string damaged_guards() {
  const std::lock_guard guard(lock);
  for (const auto& [memory, bytes] : allocations) {
    for (size_t i = 0; i < kGuard; ++i) {
      if (memory[i - kGuard] != kPattern) {
        return "something was written " + std::to_string(kGuard - i) + " bytes before an allocation of " +
               std::to_string(bytes) + " bytes";
      }
    }
    for (size_t i = bytes; i < padded(bytes) + kGuard; ++i) {
      if (memory[i] != kPattern) {
        return "something was written " + std::to_string(i - bytes) +
               " bytes after the end of an allocation of " + std::to_string(bytes) + " bytes";
      }
    }
  }
  return {};
}

size_t allocated_bytes() {
  const std::lock_guard guard(lock);
  return total;
}

bool is_device_memory(const void* memory, size_t bytes) {
  const std::lock_guard guard(lock);
  const auto* first = static_cast<const unsigned char*>(memory);
  auto next = allocations.upper_bound(first);
  if (next == allocations.begin()) return false;
  --next;
  return first + bytes <= next->first + next->second;
}

Snapshot snapshot() {
  const std::lock_guard guard(lock);
  Snapshot now;
  for (const auto& [memory, bytes] : allocations) now[memory].assign(memory, memory + bytes);
  return now;
}

std::vector<Region> changed_since(const Snapshot& then) {
  constexpr size_t kStep = 16;
  const std::lock_guard guard(lock);
  std::vector<Region> changed;
  for (const auto& [memory, bytes] : allocations) {
    const auto found = then.find(memory);
    const bool known = found != then.end() && found->second.size() == bytes;
    for (size_t i = 0; i < bytes; i += kStep) {
      const size_t n = std::min(kStep, bytes - i);
      if (known && std::memcmp(memory + i, found->second.data() + i, n) == 0) continue;
      auto* first = const_cast<unsigned char*>(memory) + i;
      const bool goes_on = !changed.empty() && changed.back().first + changed.back().bytes == first;
      if (goes_on) {
        changed.back().bytes += n;
      } else {
        changed.push_back({first, n});
      }
    }
  }
  return changed;
}

void bring_to_cache(const void* memory, int64_t bytes) {
  const bool whole = reinterpret_cast<uintptr_t>(memory) % 16 == 0 && bytes > 0 && bytes % 16 == 0;
  if (!whole || !is_device_memory(memory, static_cast<size_t>(bytes))) {
    throw std::runtime_error("memory that is not there is asked for ahead");
  }
}

}  // namespace simt
