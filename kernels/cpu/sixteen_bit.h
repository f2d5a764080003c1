// Between 16-bit elements and the fp32 copies that kernels compute with. Included by sixteen_bit.cpp and
// sixteen_bit_attention.h alone.
#pragma once

#include <array>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"

namespace headlight::kernels::cpu::sixteen_bit {

template <class E>
void widen_elements(Context& context, float* y, const E* x, int64_t n) {
  for_elements(context, n, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = to_float(x[i]);
  });
}

template <class E>
void narrow_elements(Context& context, E* y, const float* x, int64_t n) {
  for_elements(context, n, kStreamChunk, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) y[i] = from_float<E>(x[i]);
  });
}

/// The fp32 copies of one kernel's operands. An absent operand (null) stays absent.
template <class E>
class Widened {
 public:
  explicit Widened(Context& context) : context_(context) {}

  const float* input(const E* x, int64_t n) {
    if (x == nullptr) return nullptr;
    float* copy = on_cpu(context_).widened(next_++, n);
    widen_elements(context_, copy, x, n);
    return copy;
  }
  float* output(E* y, int64_t n) {
    if (y == nullptr) return nullptr;
    float* copy = on_cpu(context_).widened(next_++, n);
    outputs_[output_count_++] = {y, copy, n};
    return copy;
  }
  /// Rounds the outputs into place.
  void write_back() {
    for (size_t i = 0; i < output_count_; ++i) {
      narrow_elements(context_, outputs_[i].to, outputs_[i].from, outputs_[i].count);
    }
  }

 private:
  struct Output {
    E* to;
    const float* from;
    int64_t count;
  };
  Context& context_;
  size_t next_ = 0;
  std::array<Output, 4> outputs_{};
  size_t output_count_ = 0;
};

}  // namespace headlight::kernels::cpu::sixteen_bit
