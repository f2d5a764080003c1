// The activation functions as device code: maps of their own (gelu.cu, silu.cu, relu.cu), or what a product
// does to its results.
#pragma once

#include "kernels/cuda/device.h"
#include "kernels/inference.h"

namespace headlight::kernels::cuda {

inline constexpr float kTwoRootTwoOverPi = 1.59576912F;  // 2·√(2/π)
inline constexpr float kGeluCubic = 0.044715F;
inline constexpr float kRootHalf = 0.707106781F;

__device__ __forceinline__ float logistic(float x) { return 1.0F / (1.0F + expf(-x)); }

/// ½(1 + tanh u) is the logistic function of 2u.
struct GeluTanh {
  __device__ float operator()(float x) const {
    return x * logistic(x * (x * x * (kTwoRootTwoOverPi * kGeluCubic) + kTwoRootTwoOverPi));
  }
};
struct GeluErf {
  __device__ float operator()(float x) const { return 0.5F * x * (1.0F + erff(x * kRootHalf)); }
};
/// e^−x overflows to infinity for very negative x, and x/∞ is the 0 that is wanted; −∞ itself would be ∞/∞.
struct Silu {
  __device__ float operator()(float x) const { return x < -100.0F ? 0.0F : x / (1.0F + expf(-x)); }
};
/// A comparison that is false for not-a-number would hide it: it is kept.
struct Relu {
  __device__ float operator()(float x) const { return x < 0.0F ? 0.0F : x; }
};

__device__ __forceinline__ float activate(LinearFusion::Activation which, float x) {
  using enum LinearFusion::Activation;
  switch (which) {
    case gelu_tanh:
      return GeluTanh{}(x);
    case gelu_erf:
      return GeluErf{}(x);
    case silu:
      return Silu{}(x);
    case relu:
      return Relu{}(x);
    case none:
      break;
  }
  return x;
}

}  // namespace headlight::kernels::cuda
