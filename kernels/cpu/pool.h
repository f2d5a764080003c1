// The CPU backend's threads: persistent workers that take chunks of a loop in turn with the caller. Chunks
// have a fixed shape, so what is computed does not depend on how many threads there are or who took which
// chunk.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace headlight::kernels::cpu {

/// Runs loops on `threads` threads: the caller and threads − 1 workers at nice 10. One run at a time.
/// Workers spin briefly after a loop, then sleep until the next one: an idle pool uses no CPU.
class Pool {
 public:
  explicit Pool(int threads);
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  [[nodiscard]] int threads() const { return static_cast<int>(workers_.size()) + 1; }

  /// Calls body(chunk, slot) once for each chunk in [0, chunks) and waits for all. slot is 0 for the caller
  /// and 1 … threads − 1 for the workers: what a thread owns can be indexed by it. The body does not throw.
  template <class Body>
  void run(int64_t chunks, const Body& body) {
    if (chunks <= 1 || workers_.empty()) {
      for (int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk, 0);
      return;
    }
    share({[](const void* function, int64_t chunk, int slot) {
             (*static_cast<const Body*>(function))(chunk, slot);
           },
           &body, chunks});
  }

 private:
  struct Job {
    void (*call)(const void* body, int64_t chunk, int slot) = nullptr;
    const void* body = nullptr;
    int64_t chunks = 0;
  };

  void share(const Job& job);
  void work(const Job& job, uint32_t epoch, int slot);
  void serve(int slot);

  std::vector<std::thread> workers_;
  // A job is its epoch. The upper half of next_ is the epoch, the lower half the next chunk: a worker that
  // woke too late cannot take a chunk of a job that it has not read.
  alignas(64) std::atomic<uint64_t> next_{0};
  alignas(64) std::atomic<int64_t> done_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};
  alignas(64) std::mutex mutex_;  // guards job_, sleeping_ and stop_
  std::condition_variable wake_;
  std::condition_variable finished_;
  Job job_;
  int sleeping_ = 0;
  std::atomic<bool> stop_{false};
};

}  // namespace headlight::kernels::cpu
