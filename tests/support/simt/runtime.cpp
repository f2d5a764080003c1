// The emulated device's runtime: memory, streams, events and graphs as host functions. Everything is done
// when the call returns, except while a stream records a graph.
#include <chrono>
#include <cstdlib>
#include <map>
#include <optional>
#include <vector>

#include "cuda_runtime.h"

namespace simt {

struct Graph {
  std::vector<std::function<cudaError_t()>> work;
};
struct Stream {
  Graph* recording = nullptr;
  // Kernels that may overlap, one behind the other: what memory held before the first of them.
  std::optional<Snapshot> before_overlaps;
};
struct Event {
  bool timed = true;
  bool recorded = false;
  std::chrono::steady_clock::time_point when;
};

namespace {

constexpr int kProcessors = 3;
constexpr size_t kSharedAlways = size_t{48} << 10;
constexpr size_t kSharedAllowed = size_t{227} << 10;
constexpr size_t kTotalMemory = size_t{2} << 30;

int devices = 1;
int capability[2] = {9, 0};
cudaError_t driver_error = cudaSuccess;
std::string last_failure;
std::map<const void*, size_t> shared_limits;

bool inside(const void* memory, size_t bytes) { return bytes == 0 || is_device_memory(memory, bytes); }

// Something else than a kernel that may overlap stands on the stream now.
void end_overlaps(cudaStream_t stream) {
  if (stream != nullptr) stream->before_overlaps.reset();
}

cudaError_t failed(std::string sentence) {
  last_failure = std::move(sentence);
  return cudaErrorLaunchFailure;
}

}  // namespace

void set_devices(int count, int error) {
  devices = count;
  driver_error = static_cast<cudaError_t>(error);
}

void set_capability(int major, int minor) {
  capability[0] = major;
  capability[1] = minor;
}

cudaError_t submit(cudaStream_t stream, std::function<cudaError_t()> work) {
  if (stream != nullptr && stream->recording != nullptr) {
    stream->recording->work.push_back(std::move(work));
    return cudaSuccess;
  }
  return work();
}

cudaError_t launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared_bytes, const void* kernel,
                   Overlap overlap, const std::function<void()>& thread) {
  const auto allowed = shared_limits.find(kernel);
  if (shared_bytes > (allowed == shared_limits.end() ? kSharedAlways : allowed->second) || grid.y > 65535 ||
      grid.z > 65535 || grid.x == 0 || grid.y == 0 || grid.z == 0) {
    return cudaErrorInvalidConfiguration;
  }
  std::vector<Region> unready;
  if (overlap == Overlap::both) {
    if (!stream->before_overlaps) return failed("a kernel overlaps something that is no kernel of its kind");
    unready = changed_since(*stream->before_overlaps);
  } else {
    end_overlaps(stream);
    if (overlap == Overlap::next) stream->before_overlaps = snapshot();
  }
  std::string failure = run_grid({grid.x, grid.y, grid.z}, {block.x, block.y, block.z}, shared_bytes, thread,
                                 overlap == Overlap::both ? &unready : nullptr);
  return failure.empty() ? cudaSuccess : failed(std::move(failure));
}

cudaError_t allow_shared(const void* kernel, int bytes) {
  if (bytes < 0 || static_cast<size_t>(bytes) > kSharedAllowed) return cudaErrorInvalidValue;
  shared_limits[kernel] = static_cast<size_t>(bytes);
  return cudaSuccess;
}

}  // namespace simt

using simt::submit;

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "no error";
    case cudaErrorMemoryAllocation:
      return "out of memory";
    case cudaErrorInvalidValue:
      return "invalid argument";
    case cudaErrorInvalidConfiguration:
      return "invalid configuration argument";
    case cudaErrorInsufficientDriver:
      return "CUDA driver version is insufficient for CUDA runtime version";
    case cudaErrorDevicesUnavailable:
      return "CUDA-capable device(s) is/are busy or unavailable";
    case cudaErrorNoDevice:
      return "no CUDA-capable device is detected";
    case cudaErrorNoKernelImageForDevice:
      return "no kernel image is available for execution on the device";
    case cudaErrorLaunchFailure:
      return simt::last_failure.c_str();
    default:
      return "an error";
  }
}
cudaError_t cudaGetLastError() { return cudaSuccess; }
cudaError_t cudaPeekAtLastError() { return cudaSuccess; }

cudaError_t cudaGetDeviceCount(int* count) {
  *count = simt::driver_error == cudaSuccess ? simt::devices : 0;
  return simt::driver_error;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  if (device < 0 || device >= simt::devices) return cudaErrorInvalidDevice;
  *properties = {};
  std::strncpy(properties->name, "emulated device", sizeof properties->name - 1);
  properties->totalGlobalMem = simt::kTotalMemory;
  properties->major = simt::capability[0];
  properties->minor = simt::capability[1];
  properties->multiProcessorCount = simt::kProcessors;
  properties->sharedMemPerBlock = simt::kSharedAlways;
  properties->sharedMemPerBlockOptin = simt::kSharedAllowed;
  return cudaSuccess;
}
cudaError_t cudaSetDevice(int device) {
  return device >= 0 && device < simt::devices ? cudaSuccess : cudaErrorInvalidDevice;
}
cudaError_t cudaDriverGetVersion(int* version) {
  *version = simt::driver_error == cudaSuccess ? 13000 : 0;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}
cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  *total = simt::kTotalMemory;
  *free = simt::kTotalMemory - std::min(simt::kTotalMemory, simt::allocated_bytes());
  return cudaSuccess;
}
cudaError_t cudaDeviceSynchronize() { return cudaSuccess; }
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int /*device*/) {
  switch (attribute) {
    case cudaDevAttrMultiProcessorCount:
      *value = simt::kProcessors;
      break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      *value = static_cast<int>(simt::kSharedAllowed);
      break;
    case cudaDevAttrComputeCapabilityMajor:
      *value = simt::capability[0];
      break;
  }
  return cudaSuccess;
}

cudaError_t cudaMalloc(void** memory, size_t bytes) {
  *memory = simt::allocate(bytes);
  return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFree(void* memory) {
  return memory == nullptr || simt::release(memory) ? cudaSuccess : cudaErrorInvalidValue;
}
cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t /*stream*/) {
  return cudaMalloc(memory, bytes);
}
cudaError_t cudaFreeAsync(void* memory, cudaStream_t /*stream*/) { return cudaFree(memory); }
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  *memory = std::malloc(std::max<size_t>(1, bytes));
  return *memory == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}
cudaError_t cudaFreeHost(void* memory) {
  std::free(memory);
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  if ((to_device && !simt::inside(to, bytes)) || (from_device && !simt::inside(from, bytes))) {
    return cudaErrorInvalidValue;
  }
  return submit(stream, [=] {
    simt::end_overlaps(stream);
    if (bytes > 0) std::memmove(to, from, bytes);
    return cudaSuccess;
  });
}
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream) {
  if (!simt::inside(memory, bytes)) return cudaErrorInvalidValue;
  return submit(stream, [=] {
    simt::end_overlaps(stream);
    if (bytes > 0) std::memset(memory, value, bytes);
    return cudaSuccess;
  });
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned /*flags*/) {
  *stream = new simt::Stream;
  return cudaSuccess;
}
cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  delete stream;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return stream != nullptr && stream->recording != nullptr ? cudaErrorInvalidValue : cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t /*stream*/, cudaEvent_t /*event*/, unsigned /*flags*/) {
  return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  *event = new simt::Event;
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}
cudaError_t cudaEventDestroy(cudaEvent_t event) {
  delete event;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return submit(stream, [=] {
    event->recorded = true;
    event->when = std::chrono::steady_clock::now();
    return cudaSuccess;
  });
}
cudaError_t cudaEventQuery(cudaEvent_t /*event*/) { return cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t /*event*/) { return cudaSuccess; }
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  if (!from->timed || !to->timed || !from->recorded || !to->recorded) return cudaErrorInvalidResourceHandle;
  *milliseconds = std::chrono::duration<float, std::milli>(to->when - from->when).count();
  return cudaSuccess;
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode /*mode*/) {
  if (stream == nullptr || stream->recording != nullptr) return cudaErrorInvalidValue;
  stream->recording = new simt::Graph;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  if (stream == nullptr || stream->recording == nullptr) return cudaErrorInvalidValue;
  *graph = std::exchange(stream->recording, nullptr);
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long /*flags*/) {
  *executable = new simt::Graph(*graph);
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  if (stream != nullptr && stream->recording != nullptr) return cudaErrorInvalidValue;
  simt::end_overlaps(stream);
  for (const auto& work : executable->work) {
    if (const cudaError_t error = work(); error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  delete executable;
  return cudaSuccess;
}
cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
