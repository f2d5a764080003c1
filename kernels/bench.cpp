// Times kernels through the backend's table, so that every backend is measured by the same code.
#include "kernels/bench.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <new>

namespace headlight::kernels {

namespace {

// Device memory with numbers between −1 and 1, or tokens below a limit.
class Memory {
 public:
  Memory(Backend& backend, int64_t n)
      : Memory(backend, n,
               [](uint32_t bits) { return static_cast<float>(bits >> 8) * (1.0F / 8388608.0F) - 1.0F; }) {}
  Memory(Backend& backend, int64_t n, int32_t limit)
      : Memory(backend, n,
               [limit](uint32_t bits) { return static_cast<int32_t>(bits % static_cast<uint32_t>(limit)); }) {
  }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory() { backend_.release(memory_); }

  operator float*() const { return static_cast<float*>(memory_); }  // NOLINT: passed like a pointer
  [[nodiscard]] const int32_t* tokens() const { return static_cast<const int32_t*>(memory_); }

 private:
  template <class Make>
  Memory(Backend& backend, int64_t n, const Make& make) : backend_(backend) {
    std::vector<decltype(make(0U))> values(static_cast<size_t>(n));
    uint32_t bits = 1;
    for (auto& value : values) {
      bits = bits * 1664525U + 1013904223U;
      value = make(bits);
    }
    const size_t bytes = values.size() * sizeof(values[0]);
    memory_ = backend_.allocate(bytes);
    if (memory_ == nullptr) throw std::bad_alloc();
    backend_.upload(memory_, values.data(), bytes);
  }

  Backend& backend_;
  void* memory_ = nullptr;
};

std::string text(int64_t value) { return std::to_string(value); }

class Bench {
 public:
  Bench(Backend& backend, bool quick) : backend_(backend), quick_(quick) {}

  std::vector<OpTiming> run() {
    const std::vector<int64_t> rows =
        quick_ ? std::vector<int64_t>{1, 64, 4096} : std::vector<int64_t>{1, 64, 512, 4096};
    for (const int64_t C : quick_ ? std::vector<int64_t>{256} : std::vector<int64_t>{256, 768}) {
      for (const int64_t R : rows) {
        linear(R, C, C);
        linear(R, C, 3 * C);
        linear(R, C, 4 * C);
        linear(R, 4 * C, C);
      }
    }
    attention(32, 128, 8, 32);
    if (!quick_) attention(1, 1024, 12, 64);
    elementwise(4096, 256, 65);
    if (!quick_) elementwise(1024, 768, 8192);
    adamw(quick_ ? 3'200'000 : 12'000'000);
    return std::move(timings_);
  }

 private:
  template <class Call>
  void time(const std::string& name, const std::string& shape, double flops, double bytes, const Call& call) {
    using Clock = std::chrono::steady_clock;
    const auto seconds = [&](int64_t repeats) {
      const auto start = Clock::now();
      for (int64_t i = 0; i < repeats; ++i) call();
      backend_.synchronize();
      return std::chrono::duration<double>(Clock::now() - start).count() / static_cast<double>(repeats);
    };
    seconds(1);  // memory is touched, threads are awake
    // Runs of a few milliseconds: long beside the clock and the wake-up, short beside the patience of a
    // person.
    const double target = quick_ ? 2e-3 : 5e-3;
    const auto repeats =
        std::clamp<int64_t>(static_cast<int64_t>(target / std::max(1e-7, seconds(1))), 1, 10000);
    std::vector<double> runs(quick_ ? 5 : 11);
    for (double& run : runs) run = seconds(repeats);
    std::nth_element(runs.begin(), runs.begin() + static_cast<std::ptrdiff_t>(runs.size() / 2), runs.end());
    timings_.push_back({name, shape, runs[runs.size() / 2], flops, bytes});
  }

  void linear(int64_t R, int64_t in, int64_t out) {
    const Memory x(backend_, R * in), w(backend_, in * out), bias(backend_, out), y(backend_, R * out);
    const std::string shape = text(R) + " × " + text(in) + " → " + text(out);
    const double flops = 2.0 * static_cast<double>(R * in * out);
    const double bytes = 4.0 * static_cast<double>(R * in + in * out + R * out);
    constexpr WeightLayout layout = WeightLayout::in_out;
    time("linear_forward", shape, flops, bytes,
         [&] { kernels_.linear_forward(context_, y, x, w, bias, R, in, out, layout); });
    if (R == 1) return;  // generating a token: no gradients
    time("linear_backward_input", shape, flops, bytes,
         [&] { kernels_.linear_backward_input(context_, x, y, w, R, in, out, layout); });
    time("linear_backward_weight", shape, flops, bytes,
         [&] { kernels_.linear_backward_weight(context_, w, y, x, R, in, out, layout); });
  }

  void attention(int64_t B, int64_t T, int64_t H, int64_t D) {
    const int64_t n = B * T * H * D;
    const int64_t plane = B * H * T * T;
    const Memory qkv(backend_, 3 * n), dqkv(backend_, 3 * n), z(backend_, n), dz(backend_, n),
        lse(backend_, B * H * T);
    const std::string shape = "B " + text(B) + ", T " + text(T) + ", H " + text(H) + ", D " + text(D);
    // Causal: half of the scores. Two products forward, five backward.
    const double product = static_cast<double>(plane * D);
    const float scale = 1.0F / std::sqrt(static_cast<float>(D));
    constexpr MaskKind kind = MaskKind::causal;
    time("attention_forward", shape, 2 * product, 16.0 * static_cast<double>(n),
         [&] { kernels_.attention_forward(context_, z, lse, qkv, scale, kind, B, T, H, H, D); });
    time("attention_backward", shape, 5 * product, 32.0 * static_cast<double>(n),
         [&] { kernels_.attention_backward(context_, dqkv, dz, z, lse, qkv, scale, kind, B, T, H, H, D); });

    const Memory q(backend_, n), k(backend_, n), v(backend_, n), s(backend_, plane), ds(backend_, plane);
    time("attention forward steps", shape, 2 * product, 0, [&] {
      kernels_.split_heads_forward(context_, q, k, v, qkv, B, T, H, H, D);
      kernels_.scores_forward(context_, s, q, k, B, T, H, H, D);
      kernels_.scale(context_, s, s, scale, plane);
      kernels_.mask_forward(context_, s, s, kind, B * H, T);
      kernels_.softmax_forward(context_, s, s, 1.0F, B * H * T, T);
      kernels_.weighted_sum_forward(context_, z, s, v, B, T, H, H, D);
    });
    const Memory dq(backend_, n), dk(backend_, n), dv(backend_, n);
    time("attention backward steps", shape, 5 * product, 0, [&] {
      kernels_.weighted_sum_backward_pattern(context_, ds, dz, v, B, T, H, H, D);
      kernels_.weighted_sum_backward_value(context_, dv, dz, s, B, T, H, H, D);
      kernels_.softmax_backward(context_, ds, ds, s, 1.0F, B * H * T, T);
      kernels_.mask_backward(context_, ds, ds, kind, B * H, T);
      kernels_.scale(context_, ds, ds, scale, plane);
      kernels_.scores_backward_query(context_, dq, ds, k, B, T, H, H, D);
      kernels_.scores_backward_key(context_, dk, ds, q, B, T, H, H, D);
      kernels_.split_heads_backward(context_, dqkv, dq, dk, dv, B, T, H, H, D);
    });
  }

  // LayerNorm, RMSNorm and RoPE [R,C], GELU, SiLU and a gate [R,4C], bias [R,4C], embedding, residual add,
  // softmax and loss [R,V].
  void elementwise(int64_t R, int64_t C, int64_t V) {
    const int64_t F = 4 * C;
    const Memory x(backend_, R * F), y(backend_, R * F), dy(backend_, R * F), gain(backend_, F),
        bias(backend_, F);
    const Memory mean(backend_, R), scale(backend_, R), tokens(backend_, R, static_cast<int32_t>(V));
    const std::string narrow = text(R) + " × " + text(C);
    const std::string wide = text(R) + " × " + text(F);
    const double rows = 4.0 * static_cast<double>(R * C);
    const double wide_rows = 4 * rows;
    time("layernorm_forward", narrow, 0, 2 * rows,
         [&] { kernels_.layernorm_forward(context_, mean, scale, nullptr, y, x, gain, bias, R, C, 1e-5F); });
    time("layernorm_backward", narrow, 0, 3 * rows,
         [&] { kernels_.layernorm_backward(context_, y, gain, bias, dy, x, mean, scale, gain, R, C); });
    time("rmsnorm_forward", narrow, 0, 2 * rows,
         [&] { kernels_.rmsnorm_forward(context_, scale, nullptr, y, x, gain, R, C, 1e-5F); });
    time("rmsnorm_backward", narrow, 0, 3 * rows,
         [&] { kernels_.rmsnorm_backward(context_, y, gain, dy, x, scale, gain, R, C); });
    constexpr int64_t D = 64;
    const Memory cosine(backend_, R * D / 2), sine(backend_, R * D / 2);
    time("rope", narrow, 0, 2 * rows,
         [&] { kernels_.rope(context_, y, x, cosine, sine, false, 1, 1, R, C / D, C / D, D); });
    time("add_forward", narrow, 0, 3 * rows, [&] { kernels_.add_forward(context_, y, x, dy, R * C); });
    time("gelu_tanh_forward", wide, 0, 2 * wide_rows,
         [&] { kernels_.gelu_tanh_forward(context_, y, x, R * F); });
    time("gelu_tanh_backward", wide, 0, 3 * wide_rows,
         [&] { kernels_.gelu_tanh_backward(context_, y, dy, x, R * F); });
    time("gelu_erf_forward", wide, 0, 2 * wide_rows,
         [&] { kernels_.gelu_erf_forward(context_, y, x, R * F); });
    time("silu_forward", wide, 0, 2 * wide_rows, [&] { kernels_.silu_forward(context_, y, x, R * F); });
    time("silu_backward", wide, 0, 3 * wide_rows, [&] { kernels_.silu_backward(context_, y, dy, x, R * F); });
    time("multiply_forward", wide, 0, 3 * wide_rows,
         [&] { kernels_.multiply_forward(context_, y, x, dy, R * F); });
    time("linear_backward_bias", wide, 0, wide_rows,
         [&] { kernels_.linear_backward_bias(context_, bias, x, R, F); });

    const Memory table(backend_, V * C);
    time("embedding_forward", narrow, 0, 2 * rows,
         [&] { kernels_.embedding_forward(context_, y, tokens.tokens(), table, R, C); });
    time("embedding_backward", narrow, 0, 2 * rows,
         [&] { kernels_.embedding_backward(context_, table, table, dy, tokens.tokens(), R, C, V); });

    const Memory logits(backend_, R * V), p(backend_, R * V), loss(backend_, 1), loss_rows(backend_, R),
        lse(backend_, R);
    const std::string vocabulary = text(R) + " × " + text(V);
    const double logit_rows = 4.0 * static_cast<double>(R * V);
    time("softmax_forward", vocabulary, 0, 2 * logit_rows,
         [&] { kernels_.softmax_forward(context_, p, logits, 1.0F, R, V); });
    time("softmax_cross_entropy_forward", vocabulary, 0, logit_rows, [&] {
      kernels_.softmax_cross_entropy_forward(context_, loss, loss_rows, lse, logits, tokens.tokens(), R, V);
    });
    time("softmax_cross_entropy_backward", vocabulary, 0, 2 * logit_rows, [&] {
      kernels_.softmax_cross_entropy_backward(context_, p, loss, logits, lse, tokens.tokens(), R, V);
    });
  }

  void adamw(int64_t n) {
    const Memory w(backend_, n), m(backend_, n), v(backend_, n), g(backend_, n), clip(backend_, 1),
        schedule(backend_, 3), squares(backend_, 1);
    const double bytes = 4.0 * static_cast<double>(n);
    backend_.clear(v, static_cast<size_t>(n) * sizeof(float));  // a second moment is not negative
    time("sum_of_squares", text(n), 0, bytes, [&] { kernels_.sum_of_squares(context_, squares, g, n); });
    time("adamw", text(n), 0, 7 * bytes,
         [&] { kernels_.adamw(context_, w, m, v, w, m, v, g, clip, schedule, AdamWConstants{}, n); });
  }

  Backend& backend_;
  Context& context_ = backend_.context();
  const Kernels& kernels_ = backend_.kernels();
  bool quick_;
  std::vector<OpTiming> timings_;
};

}  // namespace

std::vector<OpTiming> time_ops(Backend& backend, bool quick) { return Bench(backend, quick).run(); }

}  // namespace headlight::kernels
