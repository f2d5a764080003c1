// Times attention through the backend's table, so that every backend is measured by the same code.
#include "kernels/bench_attention.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>

namespace headlight::kernels {

namespace {

// Device memory; starts with numbers between −1 and 1.
template <class E>
class Numbers {
 public:
  Numbers(Backend& backend, size_t n) : backend_(backend), size_(n) {
    memory_ = static_cast<E*>(backend_.allocate(n * sizeof(E)));
    if (memory_ == nullptr) throw std::bad_alloc();
    // In pieces: the scores of a long context are larger than what the host should hold twice.
    constexpr size_t kPiece = size_t{1} << 20;
    std::vector<E> piece(std::min(n, kPiece));
    uint32_t bits = 1;
    for (E& value : piece) {
      bits = bits * 1664525U + 1013904223U;
      value = from_float<E>(static_cast<float>(bits >> 8) * (1.0F / 8388608.0F) - 1.0F);
    }
    for (size_t i = 0; i < n; i += kPiece)
      backend_.upload(memory_ + i, piece.data(), std::min(kPiece, n - i) * sizeof(E));
  }
  Numbers(const Numbers&) = delete;
  Numbers& operator=(const Numbers&) = delete;
  ~Numbers() { backend_.release(memory_); }

  operator E*() const { return memory_; }  // NOLINT: passed like a pointer
  [[nodiscard]] std::vector<E> get() const {
    backend_.synchronize();
    std::vector<E> values(size_);
    backend_.download(values.data(), memory_, size_ * sizeof(E));
    return values;
  }

 private:
  Backend& backend_;
  size_t size_;
  E* memory_ = nullptr;
};

size_t outputs(const AttentionShape& s) { return static_cast<size_t>(s.B * s.T * s.H * s.D); }
size_t plane(const AttentionShape& s) { return static_cast<size_t>(s.B * s.H * s.T * s.T); }
size_t rows(const AttentionShape& s) { return static_cast<size_t>(s.B * s.H * s.T); }

// What both ways read and write. A backward pass needs as much again.
template <class E>
struct Operands {
  Operands(Backend& backend, const AttentionShape& s)
      : qkv(backend, 3 * outputs(s)),
        z(backend, outputs(s)),
        dz(backend, s.backward ? outputs(s) : 1),
        dqkv(backend, s.backward ? 3 * outputs(s) : 1) {}
  Numbers<E> qkv, z, dz, dqkv;
};

template <class E>
class Steps {
 public:
  Steps(Backend& backend, const AttentionShape& s)
      : backend_(backend),
        s_(s),
        operands(backend, s),
        q_(backend, outputs(s)),
        k_(backend, outputs(s)),
        v_(backend, outputs(s)),
        scores_(backend, plane(s)),
        pattern_(backend, plane(s)) {}

  void operator()() const {
    const auto& [B, T, H, D, backward] = s_;
    const auto& kernels = backend_.template typed<E>();
    auto& context = backend_.context();
    const auto n = static_cast<int64_t>(plane(s_));
    const float scale = 1.0F / std::sqrt(static_cast<float>(D));
    kernels.split_heads_forward(context, q_, k_, v_, operands.qkv, B, T, H, H, D);
    kernels.scores_forward(context, scores_, q_, k_, B, T, H, H, D);
    kernels.scale(context, scores_, scores_, scale, n);
    kernels.mask_forward(context, scores_, scores_, MaskKind::causal, B * H, T);
    kernels.softmax_forward(context, pattern_, scores_, 1.0F, B * H * T, T);
    kernels.weighted_sum_forward(context, operands.z, pattern_, v_, B, T, H, H, D);
    if (!backward) return;
    const E* dz = operands.dz;
    E* dscores = scores_;
    kernels.weighted_sum_backward_pattern(context, dscores, dz, v_, B, T, H, H, D);
    kernels.weighted_sum_backward_value(context, v_, dz, pattern_, B, T, H, H, D);
    kernels.softmax_backward(context, dscores, dscores, pattern_, 1.0F, B * H * T, T);
    kernels.mask_backward(context, dscores, dscores, MaskKind::causal, B * H, T);
    kernels.scale(context, dscores, dscores, scale, n);
    // z, k and v have served: their memory takes dq, dk and dv.
    E* dq = operands.z;
    kernels.scores_backward_query(context, dq, dscores, k_, B, T, H, H, D);
    kernels.scores_backward_key(context, k_, dscores, q_, B, T, H, H, D);
    kernels.split_heads_backward(context, operands.dqkv, dq, k_, v_, B, T, H, H, D);
  }

 private:
  Backend& backend_;
  AttentionShape s_;

 public:
  Operands<E> operands;

 private:
  Numbers<E> q_, k_, v_, scores_, pattern_;
};

template <class E>
class Fused {
 public:
  Fused(Backend& backend, const AttentionShape& s)
      : backend_(backend), s_(s), operands(backend, s), lse_(backend, rows(s)) {}

  void operator()() const {
    const auto& [B, T, H, D, backward] = s_;
    const auto& kernels = backend_.template typed<E>();
    auto& context = backend_.context();
    const float scale = 1.0F / std::sqrt(static_cast<float>(D));
    kernels.attention_forward(context, operands.z, lse_, operands.qkv, scale, MaskKind::causal, B, T, H, H,
                              D);
    if (!backward) return;
    kernels.attention_backward(context, operands.dqkv, operands.dz, operands.z, lse_, operands.qkv, scale,
                               MaskKind::causal, B, T, H, H, D);
  }

 private:
  Backend& backend_;
  AttentionShape s_;

 public:
  Operands<E> operands;

 private:
  Numbers<float> lse_;
};

template <class Attention>
AttentionTiming time_calls(Backend& backend, const Attention& attention, double budget) {
  backend.synchronize();
  double spent = 0;
  const auto call = [&] {
    const auto start = std::chrono::steady_clock::now();
    attention();
    backend.synchronize();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    spent += took.count();
    return took.count();
  };
  AttentionTiming timing;
  for (int i = 0; i < 3; ++i) timing.first_calls.push_back(call());
  spent = 0;
  std::vector<double> seconds;
  while (seconds.size() < 3 || (spent < budget && seconds.size() < 1000)) seconds.push_back(call());
  const auto middle = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);
  std::nth_element(seconds.begin(), middle, seconds.end());
  timing.seconds = *middle;
  return timing;
}

}  // namespace

double AttentionShape::flops() const {
  const double pairs = static_cast<double>(T) * static_cast<double>(T + 1) / 2;
  return (backward ? 7.0 : 2.0) * 2.0 * static_cast<double>(B * H * D) * pairs;
}

size_t AttentionShape::bytes(AttentionWay way, size_t element_bytes) const {
  const size_t shared = (backward ? 8 : 4) * outputs(*this) * element_bytes;
  if (way == AttentionWay::fused) return shared + rows(*this) * sizeof(float) * (backward ? 2 : 1);
  return shared + (3 * outputs(*this) + 2 * plane(*this)) * element_bytes;
}

template <class E>
AttentionTiming time_attention(Backend& backend, const AttentionShape& shape, AttentionWay way,
                               double budget) {
  if (way == AttentionWay::steps) return time_calls(backend, Steps<E>(backend, shape), budget);
  return time_calls(backend, Fused<E>(backend, shape), budget);
}

template <class E>
double attention_difference(Backend& backend, const AttentionShape& shape) {
  const Steps<E> steps(backend, shape);
  const Fused<E> fused(backend, shape);
  steps();
  fused();
  const std::vector<E> a = steps.operands.z.get();
  const std::vector<E> b = fused.operands.z.get();
  double largest = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    const auto difference =
        std::abs(static_cast<double>(to_float(a[i])) - static_cast<double>(to_float(b[i])));
    // Not-a-number counts as the largest of all.
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

template AttentionTiming time_attention<float>(Backend&, const AttentionShape&, AttentionWay, double);
template AttentionTiming time_attention<bfloat16>(Backend&, const AttentionShape&, AttentionWay, double);
template AttentionTiming time_attention<float16>(Backend&, const AttentionShape&, AttentionWay, double);
template double attention_difference<float>(Backend&, const AttentionShape&);
template double attention_difference<bfloat16>(Backend&, const AttentionShape&);
template double attention_difference<float16>(Backend&, const AttentionShape&);

}  // namespace headlight::kernels
