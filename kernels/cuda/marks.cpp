// Marks are events; a readback travels to a small pinned block and is copied on when its mark is reached.
#include "kernels/cuda/marks.h"

#include <cstring>

#include "kernels/cuda/context.h"

namespace headlight::kernels::cuda {

namespace {
constexpr size_t kBlockBytes = size_t{16} << 10;
}

size_t Marks::largest() { return kBlockBytes; }

Marks::~Marks() {
  for (const Place& place : places_) {
    (void)cudaEventSynchronize(place.event);
    (void)cudaEventDestroy(place.event);
  }
  for (cudaEvent_t event : free_events_) (void)cudaEventDestroy(event);
  for (const Readback& readback : readbacks_) (void)cudaFreeHost(readback.pinned);
  for (void* pinned : free_pinned_) (void)cudaFreeHost(pinned);
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

void Marks::download_later(cudaStream_t stream, void* host, const void* device, size_t bytes) {
  void* pinned = nullptr;
  if (free_pinned_.empty()) {
    check(cudaMallocHost(&pinned, kBlockBytes), "taking pinned memory");
  } else {
    pinned = free_pinned_.back();
    free_pinned_.pop_back();
  }
  readbacks_.push_back({last_, host, pinned, bytes});
  check(cudaMemcpyAsync(pinned, device, bytes, cudaMemcpyDeviceToHost, stream), "a copy from the device");
}

void Marks::deliver(uint64_t up_to) {
  while (!readbacks_.empty() && readbacks_.front().behind < up_to) {
    const Readback& readback = readbacks_.front();
    std::memcpy(readback.host, readback.pinned, readback.bytes);
    free_pinned_.push_back(readback.pinned);
    readbacks_.pop_front();
  }
}

}  // namespace headlight::kernels::cuda
