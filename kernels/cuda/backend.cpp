// The first CUDA device as a Backend: its memory, its tables of kernels, and the reasons why it cannot be
// used. Nothing here has run on a device yet: it is compiled by nvcc and tested on the emulated device.
#include <stdexcept>

#include "kernels/backend.h"
#include "kernels/cuda/context.h"
#include "kernels/cuda/cuda.h"
#include "kernels/cuda/devices.h"
#include "kernels/cuda/inference.h"
#include "kernels/cuda/inspection.h"
#include "kernels/cuda/marks.h"
#include "kernels/cuda/staging.h"
#include "kernels/cuda/stopwatch.h"
#include "kernels/cuda/training.h"

namespace headlight::kernels {

namespace {

// Older devices lack bfloat16 and asynchronous copies to shared memory.
constexpr int kOldestMajor = 8;

template <class E>
constexpr TypedKernels<E> typed_kernels() {
  return {
      .embedding_forward = cuda::embedding_forward<E>,
      .embedding_backward = cuda::embedding_backward<E>,
      .position_forward = cuda::position_forward<E>,
      .position_backward = cuda::position_backward<E>,
      .layernorm_forward = cuda::layernorm_forward<E>,
      .layernorm_backward = cuda::layernorm_backward<E>,
      .rmsnorm_forward = cuda::rmsnorm_forward<E>,
      .rmsnorm_backward = cuda::rmsnorm_backward<E>,
      .linear_forward = cuda::linear_forward<E>,
      .linear_backward_input = cuda::linear_backward_input<E>,
      .linear_backward_weight = cuda::linear_backward_weight<E>,
      .linear_backward_bias = cuda::linear_backward_bias<E>,
      .split_heads_forward = cuda::split_heads_forward<E>,
      .split_heads_backward = cuda::split_heads_backward<E>,
      .rope = cuda::rope<E>,
      .merge_heads = cuda::merge_heads<E>,
      .scores_forward = cuda::scores_forward<E>,
      .scores_backward_query = cuda::scores_backward_query<E>,
      .scores_backward_key = cuda::scores_backward_key<E>,
      .scale = cuda::scale<E>,
      .mask_forward = cuda::mask_forward<E>,
      .mask_backward = cuda::mask_backward<E>,
      .softmax_forward = cuda::softmax_forward<E>,
      .softmax_backward = cuda::softmax_backward<E>,
      .weighted_sum_forward = cuda::weighted_sum_forward<E>,
      .weighted_sum_backward_pattern = cuda::weighted_sum_backward_pattern<E>,
      .weighted_sum_backward_value = cuda::weighted_sum_backward_value<E>,
      .attention_forward = cuda::attention_forward<E>,
      .attention_backward = cuda::attention_backward<E>,
      .add_forward = cuda::add_forward<E>,
      .multiply_forward = cuda::multiply_forward<E>,
      .gelu_tanh_forward = cuda::gelu_tanh_forward<E>,
      .gelu_tanh_backward = cuda::gelu_tanh_backward<E>,
      .gelu_erf_forward = cuda::gelu_erf_forward<E>,
      .gelu_erf_backward = cuda::gelu_erf_backward<E>,
      .silu_forward = cuda::silu_forward<E>,
      .silu_backward = cuda::silu_backward<E>,
      .relu_forward = cuda::relu_forward<E>,
      .relu_backward = cuda::relu_backward<E>,
      .dropout = cuda::dropout<E>,
      .cross_entropy_forward = cuda::cross_entropy_forward<E>,
      .cross_entropy_backward = cuda::cross_entropy_backward<E>,
      .softmax_cross_entropy_forward = cuda::softmax_cross_entropy_forward<E>,
      .softmax_cross_entropy_backward = cuda::softmax_cross_entropy_backward<E>,
      .widen = cuda::widen<E>,
      .narrow = cuda::narrow<E>,
  };
}

constexpr Kernels kKernels{
    typed_kernels<float>(), cuda::sum_of_squares, cuda::clip_factor, cuda::adamw, cuda::rope_table,
};
constexpr TypedKernels<bfloat16> kBfloat16Kernels = typed_kernels<bfloat16>();
constexpr TypedKernels<float16> kFloat16Kernels = typed_kernels<float16>();

// A recorded step: what the stream was asked for, as a graph. While it lives, the workspace that it names
// stays.
class CudaRecording final : public Recording {
 public:
  CudaRecording(cudaGraphExec_t graph, std::shared_ptr<void> workspace)
      : graph_(graph), workspace_(std::move(workspace)) {}
  ~CudaRecording() override { (void)cudaGraphExecDestroy(graph_); }
  [[nodiscard]] cudaGraphExec_t graph() const { return graph_; }

 private:
  cudaGraphExec_t graph_;
  std::shared_ptr<void> workspace_;
};

class CudaBackend final : public Backend {
 public:
  CudaBackend(int device, std::string name) : context_(device), name_(std::move(name)) {}

  [[nodiscard]] std::string kind() const override { return "cuda"; }
  [[nodiscard]] std::string description() const override { return name_; }
  [[nodiscard]] int threads() const override { return 1; }
  [[nodiscard]] const Kernels& kernels() const override { return kKernels; }
  [[nodiscard]] const TypedKernels<bfloat16>& bfloat16_kernels() const override { return kBfloat16Kernels; }
  [[nodiscard]] const TypedKernels<float16>& float16_kernels() const override { return kFloat16Kernels; }
  [[nodiscard]] const InferenceKernels* inference() const override { return &cuda::inference_kernels(); }
  [[nodiscard]] const TrainingKernels* training() const override { return &cuda::training_kernels(); }
  [[nodiscard]] const InspectionKernels& inspection() const override { return cuda::inspection_kernels(); }
  [[nodiscard]] Context& context() override { return context_; }

  [[nodiscard]] void* allocate(size_t bytes) override {
    void* memory = nullptr;
    // What is kept for speed is given up before memory is said to be short.
    while (cudaMalloc(&memory, std::max<size_t>(1, bytes)) != cudaSuccess) {
      (void)cudaGetLastError();
      if (!context_.drop_workspace() && !staging_.drop()) return nullptr;
    }
    return memory;
  }
  [[nodiscard]] size_t available_bytes() const override {
    size_t free = 0, total = 0;
    return cudaMemGetInfo(&free, &total) == cudaSuccess ? free : 0;
  }
  void release_caches() override {
    (void)context_.drop_workspace();
    (void)staging_.drop();
    marks_.drop();
  }
  void release(void* memory) override {
    (void)cudaFree(memory);  // waits for the device; after a failure there is nobody to tell
  }
  [[nodiscard]] std::shared_ptr<void> allocate_shared(size_t bytes) override {
    // Given back in the order of a stream: to free it at once would wait for all the device's work, and the
    // owner may be the window's thread.
    void* memory = nullptr;
    if (cudaMallocAsync(&memory, bytes, context_.stream()) != cudaSuccess) {
      (void)cudaGetLastError();
      return nullptr;
    }
    return {memory, [](void* shared) { (void)cudaFreeAsync(shared, cudaStreamPerThread); }};
  }
  void upload(void* device, const void* host, size_t bytes) override {
    staging_.upload(context_.stream(), device, host, bytes);
  }
  void download(void* host, const void* device, size_t bytes) override {
    staging_.download(context_.stream(), host, device, bytes);
  }
  void copy(void* to, const void* from, size_t bytes) override {
    cuda::check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDeviceToDevice, context_.stream()), "a copy");
  }
  void clear(void* device, size_t bytes) override {
    cuda::check(cudaMemsetAsync(device, 0, bytes, context_.stream()), "clearing memory");
  }
  void synchronize() override { cuda::check(cudaStreamSynchronize(context_.stream()), "finishing its work"); }
  [[nodiscard]] std::unique_ptr<Stopwatch> stopwatch() override {
    return std::make_unique<cuda::EventStopwatch>(context_.stream());
  }
  [[nodiscard]] uint64_t mark() override { return marks_.mark(context_.stream()); }
  [[nodiscard]] bool reached(uint64_t mark, bool wait) override { return marks_.reached(mark, wait); }
  [[nodiscard]] std::unique_ptr<Recording> record(const std::function<void()>& work) override {
    if (cudaStreamBeginCapture(context_.stream(), cudaStreamCaptureModeRelaxed) != cudaSuccess) {
      (void)cudaGetLastError();
      return nullptr;
    }
    bool recorded = true;
    try {
      work();
    } catch (const std::exception&) {
      recorded = false;  // what is wrong shows again when the work is done without recording
    }
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    recorded = cudaStreamEndCapture(context_.stream(), &graph) == cudaSuccess && recorded;
    recorded = recorded && cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess;
    if (graph != nullptr) (void)cudaGraphDestroy(graph);
    if (!recorded) {
      (void)cudaGetLastError();
      return nullptr;
    }
    return std::make_unique<CudaRecording>(executable, context_.keep_workspace());
  }
  void replay(Recording& recording) override {
    cuda::check(cudaGraphLaunch(static_cast<CudaRecording&>(recording).graph(), context_.stream()),
                "a recorded step");
  }
  void download_later(void* host, const void* device, size_t bytes) override {
    if (!marks_.download_later(context_.stream(), host, device, bytes)) download(host, device, bytes);
  }

 private:
  cuda::CudaContext context_;
  cuda::Staging staging_;
  cuda::Marks marks_;
  std::string name_;
};

}  // namespace

std::unique_ptr<Backend> make_cuda_backend(std::string& why_not) {
  if (cuda::device_count(why_not) == 0) return nullptr;
  try {
    cudaDeviceProp properties{};
    cuda::check(cudaGetDeviceProperties(&properties, 0), "asking what it is");
    if (properties.major < kOldestMajor) {
      why_not = std::string(properties.name) + " has compute capability " + std::to_string(properties.major) +
                "." + std::to_string(properties.minor) + ", and Headlight needs " +
                std::to_string(kOldestMajor) + ".0; it runs on the CPU";
      return nullptr;
    }
    auto backend = std::make_unique<CudaBackend>(0, properties.name);
    // One kernel, so that a device in use or without fitting code is found now and not in the first lesson.
    void* memory = backend->allocate(sizeof(float));
    if (memory == nullptr) {
      why_not =
          std::string(properties.name) + " has no memory left; close what uses it, or go on with the CPU";
      return nullptr;
    }
    backend->clear(memory, sizeof(float));
    backend->kernels().scale(backend->context(), static_cast<float*>(memory), static_cast<float*>(memory),
                             1.0F, 1);
    backend->synchronize();
    backend->release(memory);
    return backend;
  } catch (const std::exception& error) {
    why_not = error.what();
    return nullptr;
  }
}

}  // namespace headlight::kernels
