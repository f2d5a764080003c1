// Two pinned halves in turn: while one travels, the other is filled or emptied. Small copies to the device
// lie one behind the other in a half, so that the few numbers a step is given wait for nothing.
#include "kernels/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "kernels/cuda/context.h"

namespace headlight::kernels::cuda {

namespace {
constexpr size_t kHalfBytes = size_t{4} << 20;
constexpr size_t kStep = 64;  // bytes that places in a half are multiples of
}  // namespace

void Staging::take() {
  for (Half& half : halves_) {
    if (half.memory == nullptr) check(cudaMallocHost(&half.memory, kHalfBytes), "taking pinned memory");
    if (half.done == nullptr) {
      check(cudaEventCreateWithFlags(&half.done, cudaEventDisableTiming), "making an event");
    }
  }
}

bool Staging::drop() {
  bool any = false;
  for (Half& half : halves_) {
    if (half.done != nullptr) {
      (void)cudaEventSynchronize(half.done);
      (void)cudaEventDestroy(half.done);
    }
    if (half.memory != nullptr) {
      (void)cudaFreeHost(half.memory);
      any = true;
    }
    half = {};
  }
  return any;
}

Staging::Half& Staging::next() {
  turn_ = 1 - turn_;
  Half& half = halves_[turn_];
  check(cudaEventSynchronize(half.done), "a copy between host and device");
  half.used = 0;
  return half;
}

void Staging::upload(cudaStream_t stream, void* device, const void* host, size_t bytes) {
  take();
  for (size_t at = 0, count = 0; at < bytes; at += count) {
    Half& half = halves_[turn_].used < kHalfBytes ? halves_[turn_] : next();
    count = std::min(kHalfBytes - half.used, bytes - at);
    char* place = static_cast<char*>(half.memory) + half.used;
    std::memcpy(place, static_cast<const char*>(host) + at, count);
    check(cudaMemcpyAsync(static_cast<char*>(device) + at, place, count, cudaMemcpyHostToDevice, stream),
          "a copy to the device");
    check(cudaEventRecord(half.done, stream), "a copy to the device");
    half.used += (count + kStep - 1) / kStep * kStep;
  }
}

void Staging::download(cudaStream_t stream, void* host, const void* device, size_t bytes) {
  take();
  // One chunk behind: a chunk is emptied while the next one travels.
  struct Pending {
    Half* half = nullptr;
    size_t at = 0, count = 0;
  } before;
  const auto empty = [&](const Pending& chunk) {
    if (chunk.half == nullptr) return;
    check(cudaEventSynchronize(chunk.half->done), "a copy from the device");
    std::memcpy(static_cast<char*>(host) + chunk.at, chunk.half->memory, chunk.count);
  };
  for (size_t at = 0; at < bytes; at += kHalfBytes) {
    const size_t count = std::min(kHalfBytes, bytes - at);
    Half& half = next();
    check(cudaMemcpyAsync(half.memory, static_cast<const char*>(device) + at, count, cudaMemcpyDeviceToHost,
                          stream),
          "a copy from the device");
    check(cudaEventRecord(half.done, stream), "a copy from the device");
    empty(before);
    before = {&half, at, count};
  }
  empty(before);
}

}  // namespace headlight::kernels::cuda
