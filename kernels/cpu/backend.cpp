// The CPU as a Backend: host memory, the kernel table, and what the processor is called.
#include "kernels/backend.h"

#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>
#include <thread>
#include <utility>

#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/inference.h"
#include "kernels/cpu/inspection.h"

namespace headlight::kernels {

namespace {

constexpr TypedKernels<float> kTyped{
    .embedding_forward = cpu::embedding_forward,
    .embedding_backward = cpu::embedding_backward,
    .position_forward = cpu::position_forward,
    .position_backward = cpu::position_backward,
    .layernorm_forward = cpu::layernorm_forward,
    .layernorm_backward = cpu::layernorm_backward,
    .rmsnorm_forward = cpu::rmsnorm_forward,
    .rmsnorm_backward = cpu::rmsnorm_backward,
    .linear_forward = cpu::linear_forward,
    .linear_backward_input = cpu::linear_backward_input,
    .linear_backward_weight = cpu::linear_backward_weight,
    .linear_backward_bias = cpu::linear_backward_bias,
    .split_heads_forward = cpu::split_heads_forward,
    .split_heads_backward = cpu::split_heads_backward,
    .rope = cpu::rope,
    .merge_heads = cpu::merge_heads,
    .scores_forward = cpu::scores_forward,
    .scores_backward_query = cpu::scores_backward_query,
    .scores_backward_key = cpu::scores_backward_key,
    .scale = cpu::scale,
    .mask_forward = cpu::mask_forward,
    .mask_backward = cpu::mask_backward,
    .softmax_forward = cpu::softmax_forward,
    .softmax_backward = cpu::softmax_backward,
    .weighted_sum_forward = cpu::weighted_sum_forward,
    .weighted_sum_backward_pattern = cpu::weighted_sum_backward_pattern,
    .weighted_sum_backward_value = cpu::weighted_sum_backward_value,
    .attention_forward = cpu::attention_forward,
    .attention_backward = cpu::attention_backward,
    .add_forward = cpu::add_forward,
    .multiply_forward = cpu::multiply_forward,
    .gelu_tanh_forward = cpu::gelu_tanh_forward,
    .gelu_tanh_backward = cpu::gelu_tanh_backward,
    .gelu_erf_forward = cpu::gelu_erf_forward,
    .gelu_erf_backward = cpu::gelu_erf_backward,
    .silu_forward = cpu::silu_forward,
    .silu_backward = cpu::silu_backward,
    .relu_forward = cpu::relu_forward,
    .relu_backward = cpu::relu_backward,
    .dropout = cpu::dropout,
    .cross_entropy_forward = cpu::cross_entropy_forward,
    .cross_entropy_backward = cpu::cross_entropy_backward,
    .softmax_cross_entropy_forward = cpu::softmax_cross_entropy_forward,
    .softmax_cross_entropy_backward = cpu::softmax_cross_entropy_backward,
    .widen = cpu::widen,
    .narrow = cpu::narrow,
};
constexpr Kernels kKernels{kTyped, cpu::sum_of_squares, cpu::clip_factor, cpu::adamw, cpu::rope_table};

// What the kernels were compiled for; the processor has it, or the program would not run.
constexpr const char* kVectors =
#if defined(__AVX512F__)
    "AVX-512";
#elif defined(__AVX2__)
    "AVX2";
#elif defined(__x86_64__)
    "SSE2";
#else
    "portable";
#endif

// "key : value" lines of /proc/cpuinfo and /proc/meminfo: the first value of a key.
std::string first_value(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos || line.compare(0, key.size(), key) != 0) continue;
    const size_t begin = line.find_first_not_of(" \t", colon + 1);
    return begin == std::string::npos ? std::string() : line.substr(begin);
  }
  return {};
}

// What this process can still get: the machine's available memory, and what the group of processes that it
// runs in (a container) has left of its limit.
size_t available_memory() {
  const auto kilobytes = std::strtoull(first_value("/proc/meminfo", "MemAvailable").c_str(), nullptr, 10);
  auto available = static_cast<size_t>(kilobytes) * 1024;
  std::ifstream limit_file("/sys/fs/cgroup/memory.max"), used_file("/sys/fs/cgroup/memory.current");
  size_t limit = 0, used = 0;
  if (limit_file >> limit && used_file >> used)
    available = std::min(available, limit > used ? limit - used : 0);
  return available;
}

// Kernels have returned when they are done: the wall clock is the work's own.
class CpuStopwatch final : public Stopwatch {
 public:
  void begin() override { start_ = Clock::now(); }
  void end() override { pieces_.push_back(std::chrono::duration<double>(Clock::now() - start_).count()); }
  [[nodiscard]] std::vector<double> seconds() override { return std::exchange(pieces_, {}); }
  void drop() override { pieces_.clear(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_;
  std::vector<double> pieces_;
};

class CpuBackend final : public Backend {
 public:
  explicit CpuBackend(int threads) : context_(threads) {}

  [[nodiscard]] std::string kind() const override { return "cpu"; }
  [[nodiscard]] std::string description() const override {
    return "CPU ×" + std::to_string(threads()) + " (" + kVectors + ")";
  }
  [[nodiscard]] int threads() const override { return context_.pool.threads(); }
  [[nodiscard]] const Kernels& kernels() const override { return kKernels; }
  [[nodiscard]] const TypedKernels<bfloat16>& bfloat16_kernels() const override {
    return cpu::sixteen_bit_kernels<bfloat16>();
  }
  [[nodiscard]] const TypedKernels<float16>& float16_kernels() const override {
    return cpu::sixteen_bit_kernels<float16>();
  }
  [[nodiscard]] const InferenceKernels* inference() const override { return &cpu::inference_kernels(); }
  [[nodiscard]] const InspectionKernels& inspection() const override { return cpu::inspection_kernels(); }
  [[nodiscard]] Context& context() override { return context_; }

  [[nodiscard]] void* allocate(size_t bytes) override {
    // Weights and caches are read from end to end: pages of 2 MB, where the system grants them, spare the
    // processor most of its looking up of addresses.
    constexpr size_t kHugePage = size_t{2} << 20;
    const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : 64;
    if (bytes > SIZE_MAX - alignment) return nullptr;
    void* memory = nullptr;
    if (posix_memalign(&memory, alignment, std::max<size_t>(1, bytes)) != 0) return nullptr;
    if (alignment == kHugePage) (void)madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
  }
  [[nodiscard]] size_t available_bytes() const override { return available_memory(); }
  void release_caches() override { context_.release_scratch(); }
  void release(void* memory) override { std::free(memory); }
  void upload(void* device, const void* host, size_t bytes) override { move(device, host, bytes); }
  void download(void* host, const void* device, size_t bytes) override { move(host, device, bytes); }
  void copy(void* to, const void* from, size_t bytes) override { move(to, from, bytes); }
  void clear(void* device, size_t bytes) override {
    if (bytes > 0) std::memset(device, 0, bytes);
  }
  [[nodiscard]] std::unique_ptr<Stopwatch> stopwatch() override { return std::make_unique<CpuStopwatch>(); }
  void synchronize() override {}  // kernels have returned when they are done

 private:
  static void move(void* to, const void* from, size_t bytes) {
    if (bytes > 0) std::memcpy(to, from, bytes);
  }
  cpu::CpuContext context_;
};

}  // namespace

std::unique_ptr<Backend> make_cpu_backend(int threads) {
  if (threads <= 0) threads = static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  return std::make_unique<CpuBackend>(threads);
}

DeviceInfo describe_cpu() {
  DeviceInfo info;
  info.kind = "cpu";
  info.name = first_value("/proc/cpuinfo", "model name");
  if (info.name.empty()) info.name = "CPU";
  std::istringstream stream(first_value("/proc/cpuinfo", "flags"));
  std::set<std::string> flags;
  for (std::string flag; stream >> flag;) flags.insert(flag);
  info.detail = std::to_string(std::max(1U, std::thread::hardware_concurrency())) + " threads";
  const std::pair<const char*, const char*> known[] = {{"avx2", "AVX2"},
                                                       {"fma", "FMA"},
                                                       {"avx512f", "AVX-512"},
                                                       {"avx512_vnni", "AVX-512 VNNI"},
                                                       {"avx512_bf16", "AVX-512 BF16"},
                                                       {"amx_tile", "AMX"}};
  for (const auto& [flag, name] : known) {
    if (flags.count(flag) != 0) info.detail += std::string(", ") + name;
  }
  info.detail += std::string("; kernels built for ") + kVectors;
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page > 0) info.memory_bytes = static_cast<size_t>(pages) * static_cast<size_t>(page);
  return info;
}

}  // namespace headlight::kernels
