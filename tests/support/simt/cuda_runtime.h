// Stands in for the CUDA toolkit's header when device code is compiled as plain C++ and run on the emulated
// device (simt.h). It has the part of the language and of the runtime that kernels/cuda uses.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <tuple>
#include <utility>

#include "tests/support/simt/simt.h"

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __constant__ static
#define __forceinline__ inline
#define __align__(n) alignas(n)
#define __launch_bounds__(...)

// --- types ------------------------------------------------------------------------------------------------
struct uint3 {
  unsigned x, y, z;
};
struct dim3 {
  unsigned x = 1, y = 1, z = 1;
  constexpr dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
struct alignas(8) int2 {
  int x, y;
};
struct alignas(16) int4 {
  int x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(16) double2 {
  double x, y;
};
constexpr int2 make_int2(int x, int y) { return {x, y}; }
constexpr int4 make_int4(int x, int y, int z, int w) { return {x, y, z, w}; }
constexpr uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
constexpr uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
constexpr float2 make_float2(float x, float y) { return {x, y}; }
constexpr float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

// --- where a thread is ------------------------------------------------------------------------------------
inline const simt::Index& threadIdx = simt::place.thread;
inline const simt::Index& blockIdx = simt::place.block;
inline const simt::Index& blockDim = simt::place.block_size;
inline const simt::Index& gridDim = simt::place.grid_size;
inline constexpr int warpSize = 32;

// --- barriers and exchange --------------------------------------------------------------------------------
inline void __syncthreads() { simt::block_barrier(); }
inline int __syncthreads_count(int condition) { return simt::block_count(condition != 0); }
inline int __syncthreads_or(int condition) { return simt::block_count(condition != 0) > 0 ? 1 : 0; }
inline void __syncwarp(unsigned mask = 0xFFFFFFFFU) { simt::warp_barrier(mask); }
inline void __threadfence() {}
inline void __threadfence_block() {}

namespace simt {
/// What lane `source(lane, first, last)` of the same group of `width` lanes passes; its own value from
/// outside.
template <class T, class Source>
T shuffle(unsigned mask, T value, int width, const Source& source) {
  const unsigned char* left = exchange(mask, &value, sizeof(T));
  const int self = lane();
  const int first = self / width * width;
  const int from = source(self, first, first + width);
  if (from < first || from >= first + width || (mask >> from & 1U) == 0) return value;
  T result;
  std::memcpy(&result, left + static_cast<size_t>(from) * kExchangeBytes, sizeof(T));
  return result;
}
}  // namespace simt

template <class T>
T __shfl_sync(unsigned mask, T value, int from, int width = 32) {
  return simt::shuffle(mask, value, width, [=](int, int first, int) { return first + (from & (width - 1)); });
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32) {
  return simt::shuffle(mask, value, width, [=](int self, int, int) { return self ^ bits; });
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return simt::shuffle(mask, value, width, [=](int self, int, int) { return self + static_cast<int>(by); });
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned by, int width = 32) {
  return simt::shuffle(mask, value, width, [=](int self, int, int) { return self - static_cast<int>(by); });
}
inline unsigned __ballot_sync(unsigned mask, int condition) {
  const unsigned char bit = condition != 0 ? 1 : 0;
  const unsigned char* left = simt::exchange(mask, &bit, 1);
  unsigned result = 0;
  for (unsigned i = 0; i < 32; ++i) {
    if ((mask >> i & 1U) != 0 && left[i * simt::kExchangeBytes] != 0) result |= 1U << i;
  }
  return result;
}
inline unsigned __reduce_max_sync(unsigned mask, unsigned value) {
  const unsigned char* left = simt::exchange(mask, &value, sizeof value);
  unsigned result = 0;
  for (unsigned i = 0; i < 32; ++i) {
    unsigned other = 0;
    std::memcpy(&other, left + i * simt::kExchangeBytes, sizeof other);
    if ((mask >> i & 1U) != 0) result = std::max(result, other);
  }
  return result;
}
inline int __any_sync(unsigned mask, int condition) { return __ballot_sync(mask, condition) != 0 ? 1 : 0; }
inline int __all_sync(unsigned mask, int condition) { return __ballot_sync(mask, condition) == mask ? 1 : 0; }

// --- arithmetic and memory --------------------------------------------------------------------------------
using std::isfinite;
using std::isnan;
using std::max;
using std::min;
inline float rsqrtf(float x) { return 1.0F / std::sqrt(x); }
inline float __expf(float x) { return std::exp(x); }
inline float __logf(float x) { return std::log(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }
inline float __frcp_rn(float x) { return 1.0F / x; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x == 0 ? 32 : __builtin_clz(static_cast<unsigned>(x)); }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline float __uint_as_float(unsigned bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}
inline unsigned __float_as_uint(float value) {
  unsigned bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
inline float __int_as_float(int bits) { return __uint_as_float(static_cast<unsigned>(bits)); }
inline int __float_as_int(float value) { return static_cast<int>(__float_as_uint(value)); }
/// c + the products of the four signed bytes of a and b.
inline int __dp4a(int a, int b, int c) {
  for (int shift = 0; shift < 32; shift += 8) {
    c += static_cast<int>(static_cast<int8_t>(a >> shift)) * static_cast<int8_t>(b >> shift);
  }
  return c;
}
template <class T>
T __ldg(const T* p) {
  return *p;
}
template <class T>
T __ldcs(const T* p) {
  return *p;
}
template <class T>
void __stcs(T* p, T value) {
  *p = value;
}
template <class T>
T atomicAdd(T* p, T value) {
  const T before = *p;
  *p = before + value;
  return before;
}
template <class T>
T atomicMax(T* p, T value) {
  const T before = *p;
  *p = std::max(before, value);
  return before;
}

// --- runtime ----------------------------------------------------------------------------------------------
enum cudaError_t {
  cudaSuccess = 0,
  cudaErrorInvalidValue = 1,
  cudaErrorMemoryAllocation = 2,
  cudaErrorInitializationError = 3,
  cudaErrorInvalidConfiguration = 9,
  cudaErrorInsufficientDriver = 35,
  cudaErrorDevicesUnavailable = 46,
  cudaErrorNoDevice = 100,
  cudaErrorInvalidDevice = 101,
  cudaErrorNoKernelImageForDevice = 209,
  cudaErrorInvalidResourceHandle = 400,
  cudaErrorNotReady = 600,
  cudaErrorLaunchFailure = 719,
};
[[nodiscard]] const char* cudaGetErrorString(cudaError_t error);
cudaError_t cudaGetLastError();
cudaError_t cudaPeekAtLastError();

struct cudaDeviceProp {
  char name[256];
  size_t totalGlobalMem;
  int major, minor;
  int multiProcessorCount;
  size_t sharedMemPerBlock, sharedMemPerBlockOptin;
};
cudaError_t cudaGetDeviceCount(int* count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device);
cudaError_t cudaSetDevice(int device);
cudaError_t cudaDriverGetVersion(int* version);
cudaError_t cudaRuntimeGetVersion(int* version);
cudaError_t cudaMemGetInfo(size_t* free, size_t* total);
cudaError_t cudaDeviceSynchronize();

enum cudaDeviceAttr {
  cudaDevAttrMultiProcessorCount,
  cudaDevAttrMaxSharedMemoryPerBlockOptin,
  cudaDevAttrComputeCapabilityMajor
};
#define CUDART_VERSION 13000
cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device);

namespace simt {
struct Stream;
struct Event;
struct Graph;
}  // namespace simt
using cudaStream_t = simt::Stream*;
using cudaEvent_t = simt::Event*;
using cudaGraph_t = simt::Graph*;
using cudaGraphExec_t = simt::Graph*;
#define cudaStreamPerThread (static_cast<cudaStream_t>(nullptr))

enum cudaMemcpyKind {
  cudaMemcpyHostToHost,
  cudaMemcpyHostToDevice,
  cudaMemcpyDeviceToHost,
  cudaMemcpyDeviceToDevice,
  cudaMemcpyDefault
};
cudaError_t cudaMalloc(void** memory, size_t bytes);
cudaError_t cudaFree(void* memory);
cudaError_t cudaMallocAsync(void** memory, size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void* memory, cudaStream_t stream);
cudaError_t cudaMallocHost(void** memory, size_t bytes);
cudaError_t cudaFreeHost(void* memory);
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void* memory, int value, size_t bytes, cudaStream_t stream);

enum : unsigned { cudaStreamDefault = 0, cudaStreamNonBlocking = 1 };
cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags = 0);

enum : unsigned { cudaEventDefault = 0, cudaEventDisableTiming = 2 };
cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventQuery(cudaEvent_t event);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to);

/// Recording a graph keeps what is asked of the stream as a list of closures.
enum cudaStreamCaptureMode {
  cudaStreamCaptureModeGlobal,
  cudaStreamCaptureModeThreadLocal,
  cudaStreamCaptureModeRelaxed
};
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph,
                                 unsigned long long flags = 0);
cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);

enum cudaFuncAttribute { cudaFuncAttributeMaxDynamicSharedMemorySize };

namespace simt {
/// Now, or when the graph that the stream records is replayed.
cudaError_t submit(cudaStream_t stream, std::function<cudaError_t()> work);
/// Which neighbours a launch may overlap: none, the next one, or the one before it too.
enum class Overlap { never, next, both };
/// One grid; `kernel` tells how much dynamic shared memory it may take.
cudaError_t launch(cudaStream_t stream, dim3 grid, dim3 block, size_t shared_bytes, const void* kernel,
                   Overlap overlap, const std::function<void()>& thread);
cudaError_t allow_shared(const void* kernel, int bytes);
}  // namespace simt

/// How a kernel is launched. The one attribute there is: it may start before the kernels in front of it are
/// done, and waits for them itself; with the value 0 others behind it may.
enum cudaLaunchAttributeID { cudaLaunchAttributeProgrammaticStreamSerialization };
struct cudaLaunchAttribute {
  cudaLaunchAttributeID id;
  struct {
    int programmaticStreamSerializationAllowed;
  } val;
};
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
  cudaLaunchAttribute* attrs;
  unsigned numAttrs;
};

template <class... P, class... A>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(P...), A&&... values) {
  const std::tuple<std::decay_t<P>...> arguments(std::forward<A>(values)...);
  simt::Overlap overlap = simt::Overlap::never;
  if (config->numAttrs > 0) {
    overlap = config->attrs[0].val.programmaticStreamSerializationAllowed != 0 ? simt::Overlap::both
                                                                               : simt::Overlap::next;
  }
  return simt::submit(config->stream, [=, size = *config] {
    return simt::launch(size.stream, size.gridDim, size.blockDim, size.dynamicSmemBytes,
                        reinterpret_cast<const void*>(kernel), overlap,
                        [&] { std::apply(kernel, arguments); });
  });
}
template <class... P>
cudaError_t cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute /*attribute*/, int value) {
  return simt::allow_shared(reinterpret_cast<const void*>(kernel), value);
}
