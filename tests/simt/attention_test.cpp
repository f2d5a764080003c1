// Fused attention on the emulated device beyond what the kernel table reaches: heads that share keys and
// values, the same bits whatever the order of the threads, and the same numbers from each generation's code.
#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/cuda/cuda.h"
#include "kernels/cuda/device.h"

namespace headlight::test {
namespace {

namespace cuda = kernels::cuda;
using kernels::bfloat16;
using kernels::float16;
using kernels::MaskKind;

struct Shape {
  int64_t B, T, H, H_kv, D;
  [[nodiscard]] size_t packed() const { return static_cast<size_t>(B * T * (H + 2 * H_kv) * D); }
  [[nodiscard]] size_t output() const { return static_cast<size_t>(B * T * H * D); }
};

template <class E>
using Values = std::vector<E>;

template <class E>
Values<E> normal(size_t n, uint32_t seed) {
  std::mt19937 engine(seed);
  std::normal_distribution<float> distribution;
  Values<E> values(n);
  for (E& value : values) value = kernels::from_float<E>(distribution(engine));
  return values;
}

// Forward and backward on the device; every result as the bits of its elements' values.
struct Results {
  std::vector<float> z, lse, dqkv;
};

template <class E>
class Device {
 public:
  ~Device() {
    for (void* memory : owned_) (void)cudaFree(memory);
  }
  template <class V>
  V* blank(size_t n) {
    void* memory = nullptr;
    EXPECT_EQ(cudaMalloc(&memory, n * sizeof(V)), cudaSuccess);
    owned_.push_back(memory);
    return static_cast<V*>(memory);
  }
  E* copy(const Values<E>& values) {
    E* memory = blank<E>(values.size());
    std::copy(values.begin(), values.end(), memory);
    return memory;
  }
  Results attention(const Shape& s, MaskKind kind, const Values<E>& qkv, const Values<E>& dz) {
    const float scale = 1.0F / std::sqrt(static_cast<float>(s.D));
    const auto rows = static_cast<size_t>(s.B * s.H * s.T);
    E* z = blank<E>(s.output());
    auto* lse = blank<float>(rows);
    E* dqkv = blank<E>(s.packed());
    const E* in = copy(qkv);
    cuda::attention_forward<E>(context_, z, lse, in, scale, kind, s.B, s.T, s.H, s.H_kv, s.D);
    cuda::attention_backward<E>(context_, dqkv, copy(dz), z, lse, in, scale, kind, s.B, s.T, s.H, s.H_kv,
                                s.D);
    return {floats(z, s.output()), floats(lse, rows), floats(dqkv, s.packed())};
  }

 private:
  template <class V>
  static std::vector<float> floats(const V* values, size_t n) {
    std::vector<float> wide;
    for (size_t i = 0; i < n; ++i) wide.push_back(kernels::to_float(values[i]));
    return wide;
  }
  cuda::CudaContext context_{0};
  std::vector<void*> owned_;
};

// qkv of grouped heads with every query head's keys and values written out.
template <class V>
std::vector<V> written_out(const Shape& s, const std::vector<V>& grouped) {
  std::vector<V> full;
  for (int64_t row = 0; row < s.B * s.T; ++row) {
    const auto head = [&](int64_t part) {
      const V* first = grouped.data() + (row * (s.H + 2 * s.H_kv) + part) * s.D;
      full.insert(full.end(), first, first + s.D);
    };
    for (int64_t h = 0; h < s.H; ++h) head(h);
    for (int64_t part = s.H; part <= s.H + s.H_kv; part += s.H_kv)
      for (int64_t h = 0; h < s.H; ++h) head(part + h / (s.H / s.H_kv));
  }
  return full;
}

// Heads that share a key head compute what heads with keys of their own, equal ones, compute; the shared
// keys' gradient is the sum over those heads.
template <class E>
void expect_groups(const Shape& s, double tolerance) {
  const Shape plain{s.B, s.T, s.H, s.H, s.D};
  const auto qkv = normal<E>(s.packed(), 1);
  const auto dz = normal<E>(s.output(), 2);
  for (const MaskKind kind : {MaskKind::causal, MaskKind::none}) {
    Device<E> device;
    const Results found = device.attention(s, kind, qkv, dz);
    const Results expected = device.attention(plain, kind, written_out(s, qkv), dz);
    EXPECT_EQ(found.z, expected.z);
    EXPECT_EQ(found.lse, expected.lse);
    const int64_t together = s.H / s.H_kv;
    for (int64_t row = 0; row < s.B * s.T; ++row) {
      for (int64_t part = 0; part < s.H + 2 * s.H_kv; ++part) {
        for (int64_t d = 0; d < s.D; ++d) {
          const double value = found.dqkv[static_cast<size_t>((row * (s.H + 2 * s.H_kv) + part) * s.D + d)];
          const auto at = [&](int64_t head) {
            return double{expected.dqkv[static_cast<size_t>((row * 3 * s.H + head) * s.D + d)]};
          };
          double sum = 0;
          if (part < s.H) {
            sum = at(part);
          } else {
            const int64_t group = (part - s.H) % s.H_kv;
            const int64_t first = (part < s.H + s.H_kv ? s.H : 2 * s.H) + group * together;
            for (int64_t h = 0; h < together; ++h) sum += at(first + h);
          }
          ASSERT_NEAR(value, sum, tolerance * (std::abs(sum) + 1)) << "row " << row << " part " << part;
        }
      }
    }
  }
}

// Runs body with a device of each generation that has code of its own.
template <class Body>
void on_each_generation(const Body& body) {
  for (const int major : {8, 9}) {
    SCOPED_TRACE(major);
    simt::set_capability(major, 0);
    body();
  }
}

TEST(EmulatedAttentionTest, HeadsShareKeysAndValues) {
  on_each_generation([] {
    expect_groups<bfloat16>({1, 70, 6, 2, 64}, 0.05);
    expect_groups<float16>({1, 33, 3, 1, 128}, 0.01);
    expect_groups<float16>({1, 197, 2, 1, 64}, 0.01);
  });
  expect_groups<float>({2, 70, 4, 2, 20}, 2e-5);
  expect_groups<bfloat16>({1, 9, 4, 2, 5}, 0.05);  // no whole words: one row a warp
  expect_groups<float>({1, 9, 2, 1, 136}, 2e-5);   // wider than a tile
}

template <class E>
void expect_same_bits(const Shape& s) {
  const auto qkv = normal<E>(s.packed(), 3);
  const auto dz = normal<E>(s.output(), 4);
  Device<E> device;
  const Results once = device.attention(s, MaskKind::causal, qkv, dz);
  for (const simt::Order order : {simt::Order::reverse, simt::Order::shuffled}) {
    simt::set_order(order, 11);
    const Results again = device.attention(s, MaskKind::causal, qkv, dz);
    EXPECT_EQ(once.z, again.z);
    EXPECT_EQ(once.lse, again.lse);
    EXPECT_EQ(once.dqkv, again.dqkv);
  }
  simt::set_order(simt::Order::forward);
}

TEST(EmulatedAttentionTest, TheOrderOfThreadsLeavesNoTrace) {
  on_each_generation([] {
    expect_same_bits<bfloat16>({1, 130, 2, 1, 64});
    expect_same_bits<float16>({1, 193, 1, 1, 128});
  });
  expect_same_bits<float>({2, 65, 2, 2, 36});
  expect_same_bits<float16>({1, 129, 1, 1, 80});
  expect_same_bits<bfloat16>({1, 7, 2, 1, 3});
  expect_same_bits<bfloat16>({1, 330, 2, 1, 64});  // several tiles of queries for each multiprocessor
}

// Results of the older code and of Hopper's. They round the pattern and its gradient at the same places; what
// differs is the order of sums.
template <class E>
void expect_generations_agree(const Shape& s, double tolerance) {
  const auto qkv = normal<E>(s.packed(), 5);
  const auto dz = normal<E>(s.output(), 6);
  for (const MaskKind kind : {MaskKind::causal, MaskKind::none}) {
    std::vector<Results> results;
    on_each_generation([&] {
      Device<E> device;
      results.push_back(device.attention(s, kind, qkv, dz));
    });
    const auto expect_close = [&](const std::vector<float>& a, const std::vector<float>& b,
                                  const char* what) {
      for (size_t i = 0; i < a.size(); ++i)
        ASSERT_NEAR(a[i], b[i], tolerance * (std::abs(a[i]) + 1)) << what << " " << i << " at T " << s.T;
    };
    expect_close(results[0].z, results[1].z, "z");
    expect_close(results[0].lse, results[1].lse, "lse");
    expect_close(results[0].dqkv, results[1].dqkv, "dqkv");
  }
}

// Less than a warpgroup's rows, exactly its rows, a block's rows, several blocks and a border inside a tile.
TEST(EmulatedAttentionTest, GenerationsAgree) {
  for (const int64_t T : {1, 63, 64, 65, 128, 129, 321})
    expect_generations_agree<float16>({1, T, 1, 1, 64}, 0.004);
  for (const int64_t T : {1, 64, 127, 193}) expect_generations_agree<float16>({1, T, 1, 1, 128}, 0.004);
  expect_generations_agree<bfloat16>({2, 150, 2, 1, 64}, 0.03);
  expect_generations_agree<bfloat16>({1, 70, 2, 1, 128}, 0.03);
  // More tiles than shared memory has places for, and than there are multiprocessors.
  expect_generations_agree<bfloat16>({1, 450, 3, 1, 64}, 0.03);
  expect_generations_agree<bfloat16>({1, 290, 2, 1, 128}, 0.03);
}

}  // namespace
}  // namespace headlight::test
