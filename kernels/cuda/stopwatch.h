// Times pieces of the stream's work with events. Made by the CUDA backend for the executor.
#pragma once

#include <cuda_runtime.h>

#include <vector>

#include "kernels/backend.h"

namespace headlight::kernels::cuda {

class EventStopwatch final : public Stopwatch {
 public:
  explicit EventStopwatch(cudaStream_t stream) : stream_(stream) {}
  ~EventStopwatch() override;

  void begin() override;
  void end() override;
  [[nodiscard]] std::vector<double> seconds() override;
  void drop() override { used_ = 0; }

 private:
  void record();

  cudaStream_t stream_;
  std::vector<cudaEvent_t> events_;  // begin and end of each piece; kept for the next pieces
  size_t used_ = 0;                  // of them, by the pieces so far
};

}  // namespace headlight::kernels::cuda
