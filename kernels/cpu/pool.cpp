// The thread pool: how a job is published, how chunks are taken, how threads wait.
#include "kernels/cpu/pool.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>

namespace headlight::kernels::cpu {

namespace {

// Long enough to bridge the gap between two kernels of a training step, short enough not to matter when idle.
constexpr std::chrono::microseconds kSpin{60};

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}

template <class Condition>
bool spin_until(const Condition& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  do {
    for (int i = 0; i < 32; ++i) {
      if (condition()) return true;
      relax();
    }
  } while (std::chrono::steady_clock::now() < deadline);
  return condition();
}

}  // namespace

Pool::Pool(int threads) {
  workers_.reserve(static_cast<size_t>(threads > 1 ? threads - 1 : 0));
  for (int slot = 1; slot < threads; ++slot) workers_.emplace_back([this, slot] { serve(slot); });
}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    stop_.store(true, std::memory_order_release);
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::share(const Job& job) {
  uint32_t epoch = 0;
  int sleeping = 0;
  {
    const std::lock_guard lock(mutex_);
    job_ = job;
    epoch = epoch_.load(std::memory_order_relaxed) + 1;
    done_.store(0, std::memory_order_relaxed);
    next_.store(static_cast<uint64_t>(epoch) << 32, std::memory_order_release);
    epoch_.store(epoch, std::memory_order_release);
    sleeping = sleeping_;
  }
  for (int64_t i = 0; i < sleeping && i < job.chunks - 1; ++i) wake_.notify_one();
  work(job, epoch, 0);
  const auto finished = [&] { return done_.load(std::memory_order_acquire) == job.chunks; };
  if (spin_until(finished)) return;
  std::unique_lock lock(mutex_);
  finished_.wait(lock, finished);
}

void Pool::work(const Job& job, uint32_t epoch, int slot) {
  uint64_t ticket = next_.load(std::memory_order_acquire);
  while (static_cast<uint32_t>(ticket >> 32) == epoch &&
         static_cast<int64_t>(ticket & 0xFFFFFFFFU) < job.chunks) {
    if (!next_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
    job.call(job.body, static_cast<int64_t>(ticket & 0xFFFFFFFFU), slot);
    if (done_.fetch_add(1, std::memory_order_acq_rel) + 1 == job.chunks && slot != 0) {
      // Under the lock, so that the caller is either before its check or already waiting.
      const std::lock_guard lock(mutex_);
      finished_.notify_one();
    }
    ticket = next_.load(std::memory_order_acquire);
  }
}

void Pool::serve(int slot) {
  // The window's thread goes first. Where this is refused, the worker runs at the usual priority.
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), 10);
  uint32_t seen = 0;
  const auto changed = [&] {
    return stop_.load(std::memory_order_acquire) || epoch_.load(std::memory_order_acquire) != seen;
  };
  for (;;) {
    spin_until(changed);
    Job job;
    {
      std::unique_lock lock(mutex_);
      ++sleeping_;
      wake_.wait(lock, changed);
      --sleeping_;
      if (stop_.load(std::memory_order_relaxed)) return;
      seen = epoch_.load(std::memory_order_relaxed);
      job = job_;
    }
    work(job, seen, slot);
  }
}

}  // namespace headlight::kernels::cpu
