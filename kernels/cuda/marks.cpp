// Marks are events; a readback travels to a pinned block and is copied on when its mark is reached.
#include "kernels/cuda/marks.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/cuda/context.h"

namespace headlight::kernels::cuda {

namespace {
// Blocks are powers of two, so that what one readback leaves serves the next.
constexpr size_t kSmallestBlock = size_t{16} << 10;
constexpr size_t kMostPinned = size_t{64} << 20;
}  // namespace

Marks::~Marks() {
  for (const Place& place : places_) {
    (void)cudaEventSynchronize(place.event);
    (void)cudaEventDestroy(place.event);
  }
  for (cudaEvent_t event : free_events_) (void)cudaEventDestroy(event);
  for (const Readback& readback : readbacks_) (void)cudaFreeHost(readback.pinned);
  drop();
}

void Marks::drop() {
  for (const auto& [block, pinned] : free_pinned_) {
    (void)cudaFreeHost(pinned);
    pinned_bytes_ -= block;
  }
  free_pinned_.clear();
}

uint64_t Marks::mark(cudaStream_t stream) {
  cudaEvent_t event = nullptr;
  if (free_events_.empty()) {
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  } else {
    event = free_events_.back();
    free_events_.pop_back();
  }
  places_.push_back({++last_, event});
  check(cudaEventRecord(event, stream), "marking a place");
  return last_;
}

bool Marks::reached(uint64_t mark, bool wait) {
  while (reached_ < mark && !places_.empty()) {
    const Place place = places_.front();
    if (wait) {
      check(cudaEventSynchronize(place.event), "its work");
    } else {
      const cudaError_t state = cudaEventQuery(place.event);
      if (state == cudaErrorNotReady) return false;
      check(state, "its work");
    }
    places_.pop_front();
    free_events_.push_back(place.event);
    reached_ = place.number;
    deliver(reached_);
  }
  return true;
}

bool Marks::download_later(cudaStream_t stream, void* host, const void* device, size_t bytes) {
  const size_t block = std::bit_ceil(std::max(bytes, kSmallestBlock));
  void* pinned = nullptr;
  if (const auto free = free_pinned_.find(block); free != free_pinned_.end()) {
    pinned = free->second;
    free_pinned_.erase(free);
  } else {
    if (pinned_bytes_ + block > kMostPinned) drop();
    if (pinned_bytes_ + block > kMostPinned) return false;
    if (cudaMallocHost(&pinned, block) != cudaSuccess) {
      (void)cudaGetLastError();
      return false;
    }
    pinned_bytes_ += block;
  }
  readbacks_.push_back({last_, host, pinned, bytes, block});
  check(cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost, stream), "a copy from the device");
  return true;
}

void Marks::deliver(uint64_t up_to) {
  while (!readbacks_.empty() && readbacks_.front().behind < up_to) {
    const Readback& readback = readbacks_.front();
    std::memcpy(readback.host, readback.pinned, readback.bytes);
    free_pinned_.emplace(readback.block, readback.pinned);
    readbacks_.pop_front();
  }
}

}  // namespace headlight::kernels::cuda
