// See stopwatch.h.
#include "kernels/cuda/stopwatch.h"

#include "kernels/cuda/context.h"

namespace headlight::kernels::cuda {

EventStopwatch::~EventStopwatch() {
  for (cudaEvent_t event : events_) (void)cudaEventDestroy(event);
}

void EventStopwatch::record() {
  if (used_ == events_.size()) {
    cudaEvent_t event = nullptr;
    check(cudaEventCreateWithFlags(&event, cudaEventDefault), "making an event");
    events_.push_back(event);
  }
  check(cudaEventRecord(events_[used_], stream_), "timing a step");
  ++used_;
}

void EventStopwatch::begin() { record(); }
void EventStopwatch::end() { record(); }

std::vector<double> EventStopwatch::seconds() {
  std::vector<double> pieces;
  if (used_ > 0) check(cudaEventSynchronize(events_[used_ - 1]), "the steps that are timed");
  for (size_t i = 0; i + 1 < used_; i += 2) {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, events_[i], events_[i + 1]), "timing a step");
    pieces.push_back(static_cast<double>(milliseconds) / 1e3);
  }
  used_ = 0;
  return pieces;
}

}  // namespace headlight::kernels::cuda
