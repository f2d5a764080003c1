// What every kernel test stands on: one body for each op, run on each backend with that backend's tolerance.
// Memory goes through Backend, so the same bodies test the CPU and CUDA.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/backend.h"
#include "tests/support/oracle.h"

namespace headlight::test {

using oracle::Values;

inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
inline constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// A backend to test: how it is made, and how far its results may lie from the oracle.
struct BackendCase {
  std::string name;
  std::function<std::unique_ptr<kernels::Backend>(std::string& why_not)> factory;
  double tolerance = 0;
};
inline void PrintTo(const BackendCase& backend, std::ostream* out) { *out << backend.name; }
/// What the program at hand runs its tests on: the CPU and CUDA (backends.cpp), or the emulated device with
/// several orders of its threads (../simt/backends.cpp).
std::vector<BackendCase> backend_cases();
inline std::string case_name(const ::testing::TestParamInfo<BackendCase>& info) { return info.param.name; }

/// A fixed sequence of normally distributed numbers with mean 0 and standard deviation `spread`.
std::vector<float> normal_values(int64_t n, uint32_t seed, float spread = 1.0F);
/// Integers in [0, limit).
std::vector<int32_t> random_tokens(int64_t n, int32_t limit, uint32_t seed);
Values widen(const std::vector<float>& values);

/// Device memory that holds `n` values; starts as not-a-number (all bits set), so that a missing write shows.
template <class T>
class Buffer {
 public:
  Buffer(kernels::Backend& backend, int64_t n) : Buffer(backend, blank(n)) {}
  Buffer(kernels::Backend& backend, const std::vector<T>& values)
      : backend_(&backend), size_(values.size()), memory_(static_cast<T*>(backend.allocate(bytes()))) {
    backend_->upload(memory_, values.data(), bytes());
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  ~Buffer() { backend_->release(memory_); }

  operator T*() { return memory_; }  // NOLINT: so that a buffer is passed like a pointer
  [[nodiscard]] std::vector<T> get() const {
    backend_->synchronize();
    std::vector<T> values(size_);
    backend_->download(values.data(), memory_, bytes());
    return values;
  }

 private:
  static std::vector<T> blank(int64_t n) {
    std::vector<T> values(static_cast<size_t>(n));
    auto* first = reinterpret_cast<unsigned char*>(values.data());
    std::fill(first, first + values.size() * sizeof(T), static_cast<unsigned char>(0xFF));
    return values;
  }
  [[nodiscard]] size_t bytes() const { return size_ * sizeof(T); }

  kernels::Backend* backend_;
  size_t size_;
  T* memory_;
};

/// The test of one op: a backend, its kernels, and comparisons.
class KernelTest : public ::testing::TestWithParam<BackendCase> {
 protected:
  void SetUp() override;

  [[nodiscard]] kernels::Backend& backend() { return *backend_; }
  [[nodiscard]] kernels::Context& context() { return backend_->context(); }
  [[nodiscard]] const kernels::Kernels& kernels() const { return backend_->kernels(); }

  Buffer<float> on_device(const std::vector<float>& values) { return {*backend_, values}; }
  Buffer<int32_t> on_device(const std::vector<int32_t>& values) { return {*backend_, values}; }
  Buffer<float> blank(int64_t n) { return {*backend_, n}; }

  /// |actual − expected| ≤ tolerance·(|expected| + root mean square of expected), element by element;
  /// infinities and not-a-number must be the same. `slack` multiplies the tolerance.
  void expect_close(const std::vector<float>& actual, const Values& expected, const std::string& what,
                    double slack = 1.0) const;
  void expect_close(const Buffer<float>& actual, const Values& expected, const std::string& what,
                    double slack = 1.0) const {
    expect_close(actual.get(), expected, what, slack);
  }

  /// Compares `actual`, the gradient of loss(x), with central differences of `loss` at up to 48 elements of
  /// x.
  void expect_gradient(const Buffer<float>& actual, const Values& x,
                       const std::function<double(const Values&)>& loss, const std::string& what,
                       double slack = 1.0) const;

 private:
  std::unique_ptr<kernels::Backend> backend_;
};

/// Σ a·b: with random b, a scalar loss whose gradient by a is b.
double dot(const Values& a, const std::vector<float>& b);

/// Runs the tests of `Suite` on every backend.
#define HEADLIGHT_ON_EVERY_BACKEND(Suite)                                                            \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, ::testing::ValuesIn(::headlight::test::backend_cases()), \
                           ::headlight::test::case_name)

}  // namespace headlight::test
