// What a CUDA kernel runs on: the stream, memory for intermediate values, the device's size, and the launch
// of a kernel. Host code; device.h adds what device code needs.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include "kernels/kernels.h"

namespace headlight::kernels::cuda {

/// Throws std::runtime_error with a sentence that names `what` where `error` is one.
void check(cudaError_t error, const char* what);
/// The same for the launch at `file`, `line`.
void check_launch(cudaError_t error, const char* file, int line);

class Gemm;

/// The Context of the CUDA backend: one stream of one device.
class CudaContext final : public Context {
 public:
  /// Throws std::runtime_error with a sentence where the device cannot be used.
  explicit CudaContext(int device);
  ~CudaContext() override;

  /// The stream, to be given anything.
  [[nodiscard]] cudaStream_t stream() {
    overlappable_ = false;
    return stream_;
  }
  /// The stream, to be given a kernel of overlap.h, and whether that kernel may start before the one before
  /// it is done: only behind others of its kind, and where the device and the driver can do it.
  struct Turn {
    cudaStream_t stream;
    bool overlaps;
  };
  [[nodiscard]] Turn overlapping_turn() { return {stream_, std::exchange(overlappable_, can_overlap_)}; }
  /// Multiprocessors: what grids are sized by.
  [[nodiscard]] int processors() const { return processors_; }
  /// Whether the device is of the Hopper generation (compute capability 9.x): what sm_90a code needs.
  [[nodiscard]] bool hopper() const { return generation_ == 9; }
  /// Major compute capability: 8 and more.
  [[nodiscard]] int generation() const { return generation_; }

  [[nodiscard]] Gemm& gemm() { return *gemm_; }

  /// Memory that the launches of one kernel call share; valid until the next call. What was handed out before
  /// stays allocated, because a recorded graph may still name it. Throws std::bad_alloc.
  template <class T>
  T* workspace(int64_t count) {
    return static_cast<T*>(workspace_bytes(static_cast<size_t>(count) * sizeof(T)));
  }
  /// `count` integers that are 0, for blocks that count each other; the kernel leaves them at 0 again. Throws
  /// std::bad_alloc.
  int* counters(int64_t count);
  /// While the result lives, drop_workspace() frees nothing: a recording names the workspace.
  [[nodiscard]] std::shared_ptr<void> keep_workspace() { return kept_; }
  /// Gives the workspace back to the device; false where there is none to give. For an allocation that
  /// failed.
  bool drop_workspace();

 private:
  void* workspace_bytes(size_t bytes);
  void* take(size_t bytes);

  cudaStream_t stream_ = nullptr;
  int processors_ = 1;
  int generation_ = 0;  // major compute capability
  bool can_overlap_ = false;
  bool overlappable_ = false;  // the last thing on the stream was a kernel of overlap.h
  std::unique_ptr<Gemm> gemm_;
  std::vector<void*> blocks_;  // all that was taken
  void* workspace_ = nullptr;  // the newest one
  size_t workspace_bytes_ = 0;
  int* counters_ = nullptr;
  int64_t counted_ = 0;                                   // integers of counters_
  std::shared_ptr<int> kept_ = std::make_shared<int>(0);  // its other owners are recordings
};

inline CudaContext& on_cuda(Context& context) { return static_cast<CudaContext&>(context); }

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// Blocks of a launch, and where in the code it stands: an error names the place.
struct Grid {
  dim3 size;
  const char* file;
  int line;
  Grid(int64_t blocks, const char* file_ = __builtin_FILE(),
       int line_ = __builtin_LINE())  // NOLINT: implicit
      : size(static_cast<unsigned>(blocks)), file(file_), line(line_) {}
  Grid(dim3 blocks, const char* file_ = __builtin_FILE(), int line_ = __builtin_LINE())  // NOLINT: implicit
      : size(blocks), file(file_), line(line_) {}
};

namespace detail {
/// kernel(arguments...) as `config` says.
template <class... P, class... A>
void launch_as(cudaLaunchConfig_t config, void (*kernel)(P...), const Grid& grid, A&&... arguments) {
  static_assert(sizeof...(P) == sizeof...(A));
  if (grid.size.x == 0 || grid.size.y == 0 || grid.size.z == 0) return;
  config.gridDim = grid.size;
  check_launch(
      cudaLaunchKernelEx(&config, kernel, static_cast<std::decay_t<P>>(std::forward<A>(arguments))...),
      grid.file, grid.line);
}
}  // namespace detail

/// Starts `kernel` on the context's stream: kernel<<<grid, block, shared_bytes, stream>>>(arguments...). A
/// grid without blocks does nothing. Throws std::runtime_error where the launch is refused.
template <class... P, class... A>
void launch(Context& context, void (*kernel)(P...), Grid grid, dim3 block, size_t shared_bytes,
            A&&... arguments) {
  cudaLaunchConfig_t config{};
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = on_cuda(context).stream();
  detail::launch_as(config, kernel, grid, std::forward<A>(arguments)...);
}

/// Lets `kernel` take more than 48 KiB of dynamic shared memory; called before its launch.
template <class... P>
void allow_shared_memory(void (*kernel)(P...), size_t bytes) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes)),
        "giving a kernel its shared memory");
}

/// Blocks for a loop over `work` units with `together` of them a block, where each block takes more than one
/// turn once the device is full.
inline int64_t blocks_for(Context& context, int64_t work, int64_t together,
                          int64_t blocks_per_processor = 8) {
  return std::min(divide_up(work, together), blocks_per_processor * on_cuda(context).processors());
}

}  // namespace headlight::kernels::cuda
