// The stream, the workspace, and CUDA's error codes as sentences.
#include "kernels/cuda/context.h"

#include <new>
#include <stdexcept>
#include <string>

#include "kernels/cuda/gemm.h"

namespace headlight::kernels::cuda {

void check(cudaError_t error, const char* what) {
  if (error == cudaSuccess) return;
  throw std::runtime_error(std::string("the CUDA device failed at ") + what + ": " +
                           cudaGetErrorString(error) + "; go on with --device cpu");
}

void check_launch(cudaError_t error, const char* file, int line) {
  if (error == cudaSuccess) return;
  const std::string path(file);
  check(error,
        ("the kernel of " + path.substr(path.rfind('/') + 1) + ", line " + std::to_string(line)).c_str());
}

CudaContext::CudaContext(int device) {
  check(cudaSetDevice(device), "choosing the device");
  check(cudaDeviceGetAttribute(&processors_, cudaDevAttrMultiProcessorCount, device), "asking for its size");
  check(cudaDeviceGetAttribute(&generation_, cudaDevAttrComputeCapabilityMajor, device),
        "asking for its generation");
  int driver = 0;
  check(cudaDriverGetVersion(&driver), "asking for the driver");
  // Graphs keep such launches from CUDA 12.3 on.
  constexpr int kKeepsOverlaps = 12030;
  can_overlap_ = generation_ >= 9 && driver >= kKeepsOverlaps && CUDART_VERSION >= kKeepsOverlaps;
  gemm_ = std::make_unique<Gemm>();
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
}

CudaContext::~CudaContext() {
  (void)cudaStreamSynchronize(stream_);
  for (void* block : blocks_) (void)cudaFree(block);
  (void)cudaStreamDestroy(stream_);
}

void* CudaContext::take(size_t bytes) {
  void* block = nullptr;
  if (cudaMalloc(&block, bytes) != cudaSuccess) {
    (void)cudaGetLastError();
    throw std::bad_alloc();
  }
  blocks_.push_back(block);
  return block;
}

void* CudaContext::workspace_bytes(size_t bytes) {
  if (bytes <= workspace_bytes_) return workspace_;
  // Twice what is needed, so that what is kept below stays less than what is used.
  const size_t wanted = std::max(bytes, std::max(2 * workspace_bytes_, size_t{1} << 20));
  workspace_ = take(wanted);
  workspace_bytes_ = wanted;
  return workspace_;
}

int* CudaContext::counters(int64_t count) {
  if (count <= counted_) return counters_;
  const int64_t wanted = std::max(count, std::max(2 * counted_, int64_t{1024}));
  const auto bytes = static_cast<size_t>(wanted) * sizeof(int);
  auto* taken = static_cast<int*>(take(bytes));
  check(cudaMemsetAsync(taken, 0, bytes, stream_), "clearing counters");
  overlappable_ = false;
  counters_ = taken;
  counted_ = wanted;
  return counters_;
}

bool CudaContext::drop_workspace() {
  if (blocks_.empty() || kept_.use_count() > 1) return false;
  check(cudaStreamSynchronize(stream_), "waiting for its work");
  for (void* block : blocks_) (void)cudaFree(block);
  blocks_.clear();
  workspace_ = nullptr;
  workspace_bytes_ = 0;
  counters_ = nullptr;
  counted_ = 0;
  return true;
}

}  // namespace headlight::kernels::cuda
