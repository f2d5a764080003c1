// Products of a warpgroup on the emulated device. A warp works on its own 16 rows: each lane looks at its
// share of the operands when it starts a product and again when it awaits it, and computes its sums from them
// then.
#include "tests/support/simt/wgmma.h"

#include <array>
#include <cstring>
#include <deque>
#include <map>
#include <stdexcept>
#include <vector>

#include "tests/support/simt/simt.h"

namespace simt {

namespace {

constexpr int kWarp = 32;
constexpr int kDepth = 16;  // elements of a row of A
constexpr int kMaxThreads = 1024;
constexpr unsigned kAllLanes = 0xFFFFFFFFU;
constexpr unsigned char kPattern = 0xFF;  // a float of these bits is not a number

[[noreturn]] void misuse(const char* what) { throw std::runtime_error(what); }

int this_thread() { return static_cast<int>(place.thread.x); }

// --- what copies wrote ------------------------------------------------------------------------------------
// Of the last cp.async into 16 bytes of shared memory: the block, the thread, how many fences it had passed.
struct Landing {
  uint64_t block = 0;
  int thread = 0;
  uint64_t fences = 0;
};
std::vector<Landing> landings;
std::array<uint64_t, kMaxThreads> fences;

// --- operands ---------------------------------------------------------------------------------------------
// A descriptor: see kernels/cuda/wgmma.h.
struct Matrix {
  uint64_t bits;
  [[nodiscard]] uint32_t field(int first) const { return (bits >> first & 0x3FFFU) << 4; }
  void check() const {
    if (bits >> 62 != 1) misuse("a descriptor names another swizzle than that of 128 bytes");
    if ((bits >> 49 & 7U) != 0 || (field(0) >> 7 & 7U) != 0)
      misuse("an operand's rows do not start at a multiple of 1024 bytes of shared memory");
  }
  // The element `line` rows (of 128 bytes, in groups of 8) and `column` elements on; `column` beyond 63 lies
  // in a further tile.
  [[nodiscard]] uint16_t at(int line, int column) const {
    const uint32_t straight = field(0) + static_cast<uint32_t>(line / 8) * field(32) +
                              static_cast<uint32_t>(column / 64) * field(16) +
                              static_cast<uint32_t>(line % 8 * 128 + column % 64 * 2);
    const uint32_t address = straight ^ (straight >> 7 & 7U) << 4;
    const uint32_t first = shared_address(shared_memory());
    if (address < first || address + 2 > first + shared_bytes())
      misuse("a product reads outside of shared memory");
    const size_t offset = address - first;
    const size_t chunk = offset / 16;
    if (chunk < landings.size()) {
      const Landing& last = landings[chunk];
      if (last.block == block_serial() && last.fences == fences[static_cast<size_t>(last.thread)])
        misuse("a product reads what was copied to shared memory without a fence behind the copy");
    }
    uint16_t element = 0;
    std::memcpy(&element, static_cast<const unsigned char*>(shared_memory()) + offset, sizeof element);
    return element;
  }
};

// --- products ---------------------------------------------------------------------------------------------
// One that a warp has started. Operands are as the lanes found them.
struct Started {
  Product what;  // without the lanes' registers and sums
  std::vector<uint16_t> left = std::vector<uint16_t>(16 * kDepth);
  std::vector<uint16_t> right;  // [kDepth][columns]
  int group = 0;
  int retired = 0;  // lanes
};

// Sums that products under way add to.
struct Pending {
  std::vector<float> value;
  int products = 0;
};

struct Thread {
  uint64_t block = 0;
  bool arrived = false;
  int group = 0;
  size_t started = 0, retired = 0;
  std::vector<float*> sums;  // of started products, from `retired` on
  std::map<float*, Pending> pending;
};
struct Warp {
  uint64_t block = 0;
  size_t dropped = 0;  // products that all lanes have retired
  std::deque<Started> products;
};
std::array<Thread, kMaxThreads> threads;
std::array<Warp, kMaxThreads / kWarp> warps;

Thread& mine() {
  Thread& thread = threads[static_cast<size_t>(this_thread())];
  if (thread.block != block_serial()) {
    thread = {};
    thread.block = block_serial();
  }
  return thread;
}
Warp& my_warp() {
  Warp& warp = warps[static_cast<size_t>(this_thread() / kWarp)];
  if (warp.block != block_serial()) {
    warp = {};
    warp.block = block_serial();
  }
  return warp;
}

// Calls see(which of Started's elements, its bits now) for this lane's share of the operands in memory.
template <class See>
void look(const Product& product, const See& see) {
  const int self = lane();
  if (product.registers == nullptr) {
    const int first = this_thread() / kWarp % 4 * 16;
    const Matrix left{product.left};
    for (int i = self; i < 16 * kDepth; i += kWarp) see(true, i, left.at(first + i / kDepth, i % kDepth));
  }
  const Matrix right{product.right};
  for (int column = self; column < product.columns; column += kWarp) {
    for (int k = 0; k < kDepth; ++k)
      see(false, k * product.columns + column, product.across ? right.at(k, column) : right.at(column, k));
  }
}

bool untouched(const float* sums, int columns) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(sums);
  const size_t count = static_cast<size_t>(columns) / 2 * sizeof(float);
  for (size_t i = 0; i < count; ++i)
    if (bytes[i] != kPattern) return false;
  return true;
}

void add(std::vector<float>& sums, const Started& product) {
  const int g = lane() / 4;
  const int t = lane() % 4;
  const int columns = product.what.columns;
  for (int n = 0; n < columns / 8; ++n) {
    for (int e = 0; e < 4; ++e) {
      const auto row = static_cast<size_t>((g + 8 * (e / 2)) * kDepth);
      const auto column = static_cast<size_t>(8 * n + 2 * t + e % 2);
      double sum = 0;
      for (size_t k = 0; k < kDepth; ++k) {
        sum += double{product.what.value(product.left[row + k])} *
               double{product.what.value(product.right[k * static_cast<size_t>(columns) + column])};
      }
      float& to = sums[static_cast<size_t>(4 * n + e)];
      to = static_cast<float>((product.what.add ? static_cast<double>(to) : 0.0) + sum);
    }
  }
}

// The oldest product of the warp that this lane has not retired.
void retire(Thread& thread, Warp& warp) {
  Started& product = warp.products[thread.retired - warp.dropped];
  look(product.what, [&](bool left, int i, uint16_t bits) {
    if (bits != (left ? product.left : product.right)[static_cast<size_t>(i)])
      misuse("shared memory changed under a product that was not awaited");
  });
  warp_barrier(kAllLanes);
  float* sums = thread.sums.front();
  thread.sums.erase(thread.sums.begin());
  Pending& pending = thread.pending[sums];
  add(pending.value, product);
  pending.products -= 1;
  if (!untouched(sums, product.what.columns)) misuse("sums were written before their product was awaited");
  if (pending.products == 0) {
    std::memcpy(sums, pending.value.data(), pending.value.size() * sizeof(float));
    thread.pending.erase(sums);
  }
  thread.retired += 1;
  product.retired += 1;
  if (product.retired == kWarp) {
    warp.products.pop_front();
    warp.dropped += 1;
  }
}

}  // namespace

uint32_t shared_address(const void* memory) {
  // Aligned as the host's address is, and not 0, so that a forgotten base shows.
  constexpr uint32_t kBase = 1024;
  const auto first = reinterpret_cast<uintptr_t>(shared_memory());
  return kBase + static_cast<uint32_t>(first % kBase + reinterpret_cast<uintptr_t>(memory) - first);
}

void fence_shared() { fences[static_cast<size_t>(this_thread())] += 1; }

void copy_landed(const void* memory, size_t bytes) {
  const auto offset = reinterpret_cast<uintptr_t>(memory) - reinterpret_cast<uintptr_t>(shared_memory());
  const size_t last = (offset + bytes - 1) / 16;
  if (landings.size() <= last) landings.resize(last + 1);
  for (size_t chunk = offset / 16; chunk <= last; ++chunk)
    landings[chunk] = {block_serial(), this_thread(), fences[static_cast<size_t>(this_thread())]};
}

void arrive_for_products() { mine().arrived = true; }

void start_product(const Product& product) {
  Thread& thread = mine();
  Warp& warp = my_warp();
  if (!thread.arrived) misuse("a product follows a wait or the start without warpgroup_arrive");
  const size_t index = thread.started - warp.dropped;
  if (index == warp.products.size()) {
    warp.products.emplace_back();
    warp.products.back().what = product;
    warp.products.back().right.resize(static_cast<size_t>(kDepth * product.columns));
    warp.products.back().group = thread.group;
    Matrix{product.right}.check();
    if (product.registers == nullptr) Matrix{product.left}.check();
  }
  Started& started = warp.products[index];
  if (started.what.right != product.right || started.what.left != product.left ||
      started.what.add != product.add || started.group != thread.group ||
      started.what.columns != product.columns)
    misuse("the lanes of a warp start different products");
  look(product, [&](bool left, int i, uint16_t bits) {
    (left ? started.left : started.right)[static_cast<size_t>(i)] = bits;
  });
  if (product.registers != nullptr) {
    for (int i = 0; i < 4; ++i) {
      const int row = lane() / 4 + i % 2 * 8;
      const int column = lane() % 4 * 2 + i / 2 * 8;
      for (int half = 0; half < 2; ++half)
        started.left[static_cast<size_t>(row * kDepth + column + half)] =
            static_cast<uint16_t>(product.registers[i] >> 16 * half);
    }
  }
  const auto [found, fresh] = thread.pending.try_emplace(product.sums);
  Pending& pending = found->second;
  if (fresh) pending.value.assign(product.sums, product.sums + product.columns / 2);
  if (!fresh && !untouched(product.sums, product.columns))
    misuse("sums were written before their product was awaited");
  pending.products += 1;
  std::memset(product.sums, kPattern, static_cast<size_t>(product.columns) / 2 * sizeof(float));
  thread.sums.push_back(product.sums);
  thread.started += 1;
}

void commit_products() { mine().group += 1; }

void await_products(int pending) {
  Thread& thread = mine();
  Warp& warp = my_warp();
  while (thread.retired < thread.started &&
         warp.products[thread.retired - warp.dropped].group + pending < thread.group)
    retire(thread, warp);
  thread.arrived = false;
}

}  // namespace simt
