// See pending_run.h.
#include "core/run/pending_run.h"

#include <algorithm>
#include <exception>

namespace headlight {

PendingRun::PendingRun(kernels::Backend& backend, kernels::Stopwatch& stopwatch)
    : backend_(backend), stopwatch_(stopwatch), run_(std::make_shared<Run>()) {}

PendingRun::~PendingRun() {
  // What was asked for is written into memory of this run, also where a step of it failed.
  if (!run_) return;
  try {
    (void)backend_.reached(backend_.mark(), true);
  } catch (const std::exception&) {
    // A device that failed writes no more; it says so at its next use.
  }
}

void PendingRun::ask(const void* device, size_t bytes, std::function<void(std::span<const std::byte>)> read) {
  Arrival& arrival = arrivals_.emplace_back(std::vector<std::byte>(bytes), std::move(read));
  backend_.download_later(arrival.bytes.data(), device, bytes);
}

bool PendingRun::ready() {
  try {
    return backend_.reached(mark_, false);
  } catch (const std::exception&) {
    return true;  // nothing more will come, and finish() says why
  }
}

std::shared_ptr<const Run> PendingRun::finish() {
  (void)backend_.reached(mark_, true);
  for (Arrival& arrival : arrivals_) {
    arrival.read(arrival.bytes);
    arrival = {};  // large ones do not lie beside each other
  }
  const std::vector<double> seconds = stopwatch_.seconds();
  std::copy(seconds.begin(), seconds.end(), run_->step_seconds.begin());
  return std::exchange(run_, nullptr);
}

}  // namespace headlight
