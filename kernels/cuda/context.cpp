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
  gemm_ = std::make_unique<Gemm>();
  check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "making a stream");
}

CudaContext::~CudaContext() {
  (void)cudaStreamSynchronize(stream_);
  for (void* block : blocks_) (void)cudaFree(block);
  (void)cudaStreamDestroy(stream_);
}

void* CudaContext::workspace_bytes(size_t bytes) {
  if (bytes <= bytes_) return blocks_.back();
  // Twice what is needed, so that what is kept below stays less than what is used.
  const size_t wanted = std::max(bytes, std::max(2 * bytes_, size_t{1} << 20));
  void* block = nullptr;
  if (cudaMalloc(&block, wanted) != cudaSuccess) {
    (void)cudaGetLastError();
    throw std::bad_alloc();
  }
  blocks_.push_back(block);
  bytes_ = wanted;
  return block;
}

bool CudaContext::drop_workspace() {
  if (blocks_.empty() || kept_.use_count() > 1) return false;
  check(cudaStreamSynchronize(stream_), "waiting for its work");
  for (void* block : blocks_) (void)cudaFree(block);
  blocks_.clear();
  bytes_ = 0;
  return true;
}

}  // namespace headlight::kernels::cuda
