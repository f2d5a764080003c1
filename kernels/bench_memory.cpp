// Times the kernels that wait for memory at sizes beyond a GPU's caches, by element type.
#include <string>

#include "kernels/bench.h"
#include "kernels/bench_device.h"

namespace headlight::kernels {

namespace {

constexpr int64_t kWidth = 768;
constexpr int64_t kVocabulary = 8192;  // of rows fewer by the same factor

template <class E>
class MemoryBound {
 public:
  MemoryBound(Backend& backend, int64_t rows, const char* type)
      : backend_(backend), rows_(rows), type_(type) {}

  std::vector<OpTiming> run() {
    norms();
    elementwise();
    logits();
    return std::move(timings_);
  }

 private:
  /// `arrays`: how many of n elements move.
  template <class Call>
  void time(const char* name, int64_t R, int64_t N, double arrays, const Call& call) {
    const double bytes = arrays * static_cast<double>(R * N) * sizeof(E);
    timings_.push_back({std::string(name) + " " + type_, std::to_string(R) + " × " + std::to_string(N),
                        median_seconds(backend_, call), 0, bytes});
  }
  [[nodiscard]] static size_t bytes_of(int64_t n) { return static_cast<size_t>(n) * sizeof(E); }

  void norms() {
    const int64_t R = rows_, C = kWidth;
    const Filled x(backend_, bytes_of(R * C)), y(backend_, bytes_of(R * C)), dy(backend_, bytes_of(R * C)),
        weights(backend_, bytes_of(2 * C)), sums(backend_, static_cast<size_t>(2 * (R + C)) * sizeof(float));
    auto* gain = weights.of<E>();
    auto* bias = gain + C;
    auto* mean = sums.of<float>();
    float* scale = mean + R;
    float* dgain = scale + R;
    float* dbias = dgain + C;
    time("layernorm_forward", R, C, 2, [&] {
      kernels_.layernorm_forward(context_, mean, scale, nullptr, y.of<E>(), x.of<E>(), gain, bias, R, C,
                                 1e-5F);
    });
    time("layernorm_backward", R, C, 3, [&] {
      kernels_.layernorm_backward(context_, y.of<E>(), dgain, dbias, dy.of<E>(), x.of<E>(), mean, scale, gain,
                                  R, C);
    });
    time("rmsnorm_forward", R, C, 2, [&] {
      kernels_.rmsnorm_forward(context_, scale, nullptr, y.of<E>(), x.of<E>(), gain, R, C, 1e-5F);
    });
    time("rmsnorm_backward", R, C, 3, [&] {
      kernels_.rmsnorm_backward(context_, y.of<E>(), dgain, dy.of<E>(), x.of<E>(), scale, gain, R, C);
    });
  }

  void elementwise() {
    const int64_t R = rows_, C = kWidth, n = R * C;
    const Filled x(backend_, bytes_of(n)), y(backend_, bytes_of(n)), dy(backend_, bytes_of(n));
    time("add_forward", R, C, 3,
         [&] { kernels_.add_forward(context_, y.of<E>(), x.of<E>(), dy.of<E>(), n); });
    time("gelu_tanh_forward", R, C, 2,
         [&] { kernels_.gelu_tanh_forward(context_, y.of<E>(), x.of<E>(), n); });
    time("gelu_tanh_backward", R, C, 3,
         [&] { kernels_.gelu_tanh_backward(context_, y.of<E>(), dy.of<E>(), x.of<E>(), n); });
    time("silu_forward", R, C, 2, [&] { kernels_.silu_forward(context_, y.of<E>(), x.of<E>(), n); });
    time("multiply_forward", R, C, 3,
         [&] { kernels_.multiply_forward(context_, y.of<E>(), x.of<E>(), dy.of<E>(), n); });
  }

  // As many elements as the others have.
  void logits() {
    const int64_t V = kVocabulary, R = std::max<int64_t>(1, rows_ * kWidth / V);
    const Filled x(backend_, bytes_of(R * V)), p(backend_, bytes_of(R * V)),
        sums(backend_, static_cast<size_t>(2 * R + 1) * sizeof(float)),
        targets(backend_, static_cast<size_t>(R) * sizeof(int32_t));
    std::vector<int32_t> drawn(static_cast<size_t>(R));
    for (size_t r = 0; r < drawn.size(); ++r) drawn[r] = static_cast<int32_t>(r * 7919 % kVocabulary);
    backend_.upload(targets.of<int32_t>(), drawn.data(), drawn.size() * sizeof(int32_t));
    auto* loss = sums.of<float>();
    float* by_row = loss + 1;
    float* lse = by_row + R;
    time("softmax_forward", R, V, 2,
         [&] { kernels_.softmax_forward(context_, p.of<E>(), x.of<E>(), 1.0F, R, V); });
    time("softmax_cross_entropy_forward", R, V, 1, [&] {
      kernels_.softmax_cross_entropy_forward(context_, loss, by_row, lse, x.of<E>(), targets.of<int32_t>(), R,
                                             V);
    });
    time("softmax_cross_entropy_backward", R, V, 2, [&] {
      kernels_.softmax_cross_entropy_backward(context_, p.of<E>(), loss, x.of<E>(), lse,
                                              targets.of<int32_t>(), R, V);
    });
  }

  Backend& backend_;
  Context& context_ = backend_.context();
  const TypedKernels<E>& kernels_ = backend_.typed<E>();
  int64_t rows_;
  const char* type_;
  std::vector<OpTiming> timings_;
};

/// AdamW is fp32 in every training; 7 arrays of the parameters' size move.
void time_update(Backend& backend, int64_t n, std::vector<OpTiming>& timings) {
  const auto bytes = static_cast<size_t>(n) * sizeof(float);
  const Filled w(backend, bytes), m(backend, bytes), v(backend, bytes), g(backend, bytes),
      small(backend, 5 * sizeof(float));
  backend.clear(v.of<float>(), bytes);  // a second moment is not negative
  const Kernels& kernels = backend.kernels();
  auto* squares = small.of<float>();
  auto* clip = squares + 1;
  auto* schedule = clip + 1;
  const auto whole = static_cast<double>(bytes);
  timings.push_back(
      {"sum_of_squares fp32", std::to_string(n),
       median_seconds(backend, [&] { kernels.sum_of_squares(backend.context(), squares, g.of<float>(), n); }),
       0, whole});
  timings.push_back({"adamw fp32", std::to_string(n),
                     median_seconds(backend,
                                    [&] {
                                      kernels.adamw(backend.context(), w.of<float>(), m.of<float>(),
                                                    v.of<float>(), w.of<float>(), m.of<float>(),
                                                    v.of<float>(), g.of<float>(), clip, schedule,
                                                    AdamWConstants{}, n);
                                    }),
                     0, 7 * whole});
}

}  // namespace

std::vector<OpTiming> time_memory_bound(Backend& backend, int64_t rows) {
  std::vector<OpTiming> timings = MemoryBound<float>(backend, rows, "fp32").run();
  for (OpTiming& timing : MemoryBound<bfloat16>(backend, 2 * rows, "bf16").run())
    timings.push_back(std::move(timing));
  time_update(backend, rows * kWidth, timings);
  return timings;
}

}  // namespace headlight::kernels
