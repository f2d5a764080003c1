// A CPU backend whose memory runs out when a test says so: at one allocation, from one on, or above a number
// of bytes. Everything else is the CPU's.
#pragma once

#include <atomic>
#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "kernels/backend.h"

namespace headlight::test {

/// What a test sets and reads, from any thread.
struct MemoryLimit {
  std::atomic<int64_t> calls{0};            ///< allocations asked for so far
  std::atomic<int64_t> fail_at{-1};         ///< the call, counted from 0, that is refused; −1: none
  std::atomic<bool> fail_after{false};      ///< all later calls are refused, too
  std::atomic<size_t> bytes{SIZE_MAX};      ///< that can be held at a time
  std::atomic<size_t> held{0};              ///< bytes that are held now
  std::atomic<int64_t> caches_released{0};  ///< calls of release_caches
  /// The next allocation is number 0.
  void restart() { calls = 0; }
};

class LimitedBackend final : public kernels::Backend {
 public:
  explicit LimitedBackend(std::shared_ptr<MemoryLimit> limit, std::string kind = "cpu")
      : limit_(std::move(limit)), kind_(std::move(kind)) {}

  [[nodiscard]] std::string kind() const override { return kind_; }
  [[nodiscard]] std::string description() const override {
    return kind_ == "cpu" ? "CPU ×1" : "Pretended GPU";
  }
  [[nodiscard]] int threads() const override { return cpu_->threads(); }
  [[nodiscard]] const kernels::Kernels& kernels() const override { return cpu_->kernels(); }
  [[nodiscard]] const kernels::TypedKernels<kernels::bfloat16>& bfloat16_kernels() const override {
    return cpu_->bfloat16_kernels();
  }
  [[nodiscard]] const kernels::TypedKernels<kernels::float16>& float16_kernels() const override {
    return cpu_->float16_kernels();
  }
  [[nodiscard]] const kernels::InferenceKernels* inference() const override { return cpu_->inference(); }
  [[nodiscard]] const kernels::InspectionKernels& inspection() const override { return cpu_->inspection(); }
  [[nodiscard]] kernels::Context& context() override { return cpu_->context(); }

  [[nodiscard]] void* allocate(size_t bytes) override {
    const int64_t call = limit_->calls++, refused = limit_->fail_at;
    const bool unlucky = refused >= 0 && (call == refused || (limit_->fail_after && call > refused));
    if (unlucky || bytes > available_now()) return nullptr;
    void* memory = cpu_->allocate(bytes);
    if (memory == nullptr) return nullptr;
    limit_->held += bytes;
    sizes_[memory] = bytes;
    return memory;
  }
  void release(void* memory) override {
    limit_->held -= sizes_.at(memory);
    sizes_.erase(memory);
    cpu_->release(memory);
  }
  [[nodiscard]] size_t available_bytes() const override {
    return limit_->bytes == SIZE_MAX ? 0 : available_now();
  }
  void release_caches() override { ++limit_->caches_released; }
  void upload(void* device, const void* host, size_t bytes) override { cpu_->upload(device, host, bytes); }
  void download(void* host, const void* device, size_t bytes) override {
    cpu_->download(host, device, bytes);
  }
  void copy(void* to, const void* from, size_t bytes) override { cpu_->copy(to, from, bytes); }
  void clear(void* device, size_t bytes) override { cpu_->clear(device, bytes); }
  void synchronize() override { cpu_->synchronize(); }
  [[nodiscard]] std::unique_ptr<kernels::Stopwatch> stopwatch() override { return cpu_->stopwatch(); }

 private:
  [[nodiscard]] size_t available_now() const {
    const size_t limit = limit_->bytes, held = limit_->held;
    return limit > held ? limit - held : 0;
  }
  std::shared_ptr<MemoryLimit> limit_;
  std::string kind_;
  std::unique_ptr<kernels::Backend> cpu_ = kernels::make_cpu_backend(1);
  std::map<void*, size_t> sizes_;
};

}  // namespace headlight::test
