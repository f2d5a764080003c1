// A run whose steps the backend was given, while its values are still on their way: what lets training go on
// between a probe's start and its picture. Made by Executor::start().
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/run/run.h"
#include "core/run/watcher.h"
#include "kernels/backend.h"

namespace headlight {

/// One at a time of an executor; it ends before the executor is used again. Called from the backend's thread.
class PendingRun {
 public:
  /// Waits for what is on its way.
  ~PendingRun();
  PendingRun(const PendingRun&) = delete;
  PendingRun& operator=(const PendingRun&) = delete;

  /// True once finish() would not wait.
  [[nodiscard]] bool ready();
  /// The recording, once all of it is there. Called once. Throws what a failed device throws.
  [[nodiscard]] std::shared_ptr<const Run> finish();

 private:
  friend class Executor;
  PendingRun(kernels::Backend& backend, kernels::Stopwatch& stopwatch);

  /// The memory of `bytes` bytes arrives; then `read` is called with them.
  void ask(const void* device, size_t bytes, std::function<void(std::span<const std::byte>)> read);
  /// Elements straight into a vector that the run owns.
  template <class T>
  void ask_into(std::vector<T>& values, const void* device) {
    backend_.download_later(values.data(), device, values.size() * sizeof(T));
  }
  template <class T>
  void ask(Looked<T> looked, std::shared_ptr<const T>& to) {
    ask(looked.result, looked.bytes, [&to, read = std::move(looked.read)](std::span<const std::byte> bytes) {
      to = std::make_shared<const T>(read(bytes));
    });
  }
  /// Everything is asked for.
  void close() { mark_ = backend_.mark(); }

  struct Arrival {
    std::vector<std::byte> bytes;
    std::function<void(std::span<const std::byte>)> read;
  };
  kernels::Backend& backend_;
  kernels::Stopwatch& stopwatch_;
  std::shared_ptr<Run> run_;
  std::deque<Arrival> arrivals_;
  uint64_t mark_ = 0;
};

}  // namespace headlight
