// Numbers on the emulated device for the tests of its products.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "kernels/element.h"

namespace headlight::test {

/// Never freed: a test is over soon.
template <class E>
E* on_device(const std::vector<E>& values) {
  void* memory = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, values.size() * sizeof(E)), cudaSuccess);
  std::copy(values.begin(), values.end(), static_cast<E*>(memory));
  return static_cast<E*>(memory);
}

/// Whole numbers, so that every type and every order of the sum gives the same.
template <class E>
std::vector<E> small_numbers(int n, int seed) {
  std::vector<E> values;
  for (int i = 0; i < n; ++i)
    values.push_back(kernels::from_float<E>(static_cast<float>((i * 7 + i / 3 * 5 + seed) % 13 - 6)));
  return values;
}

}  // namespace headlight::test
