// The executor's recorded runs: every step, and what the capture names of what it writes.
#include <algorithm>
#include <cstring>
#include <limits>

#include "core/base/error.h"
#include "core/run/executor.h"
#include "core/tape/op.h"

namespace headlight {

namespace {

/// Bytes of an array of E, widened.
template <class E>
std::vector<float> widened(std::span<const std::byte> bytes) {
  std::vector<float> wide(bytes.size() / sizeof(E));
  for (size_t i = 0; i < wide.size(); ++i) {
    E value;
    std::memcpy(&value, bytes.data() + i * sizeof(E), sizeof(E));
    wide[i] = kernels::to_float(value);
  }
  return wide;
}

}  // namespace

uint64_t next_run_id() {
  static std::atomic<uint64_t> next{1};
  return next.fetch_add(1);
}

std::shared_ptr<const Run> Executor::run(const RunInputs& inputs, const std::atomic<bool>* cancel) {
  return start(inputs, cancel)->finish();
}

std::unique_ptr<PendingRun> Executor::start(const RunInputs& inputs, const std::atomic<bool>* cancel) {
  if (!stopwatch_) stopwatch_ = backend_.stopwatch();
  std::unique_ptr<PendingRun> pending(new PendingRun(backend_, *stopwatch_));
  Run& run = *pending->run_;
  run.id = next_run_id();
  run.recorded_program = program_;
  run.tokens = inputs.tokens;
  run.targets = inputs.targets;
  run.edits = options_.edits;
  run.capture = options_.capture;
  run.recorded.resize(program_->buffers().size());
  run.digests.resize(program_->buffers().size());
  run.measured.resize(program_->buffers().size());
  run.left_out = captured_.left_out;
  run.captured_bytes = captured_.bytes;
  run.matched_bytes = captured_.matched_bytes;
  run.steps_run = steps_;
  run.backend = backend_.kind();
  run.step_seconds.resize(program_->steps().size());
  set_inputs(inputs);
  watcher_->begin(run.tokens);
  stopwatch_->drop();
  record(-1, *pending);
  for (int s = 0; s < steps_; ++s) {
    if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) throw Cancelled();
    stopwatch_->begin();
    run_step(s);
    stopwatch_->end();
    record(s, *pending);
  }
  run.loss = std::numeric_limits<double>::quiet_NaN();
  const auto loss = program_->find("loss");
  const bool any_target =
      std::any_of(inputs.targets.begin(), inputs.targets.end(), [](int32_t t) { return t >= 0; });
  if (any_target && loss && program_->buffer(*loss).writer < steps_) {
    pending->ask(memory_[static_cast<size_t>(*loss)], sizeof(float),
                 [&run](std::span<const std::byte> bytes) {
                   float value = 0;
                   std::memcpy(&value, bytes.data(), sizeof value);
                   run.loss = static_cast<double>(value);
                 });
  }
  pending->close();
  return pending;
}

void Executor::record(int index, PendingRun& pending) {
  if (index >= 0) {
    for (const BufferId id : program_->step(index).outputs) {
      if (id != no_buffer) keep(id, pending);
    }
    return;
  }
  for (size_t i = 0; i < program_->buffers().size(); ++i) {
    if (program_->buffers()[i].writer < 0) keep(static_cast<BufferId>(i), pending);
  }
}

void Executor::keep(BufferId id, PendingRun& pending) {
  const auto at = static_cast<size_t>(id);
  if (memory_[at] == nullptr) return;
  const ElementRange range = captured_.ranges[at];
  if (range.count > 0) {
    auto data = std::make_shared<Recorded>();
    data->first = range.first;
    if (options_.capture.keep_on_device && program_->buffer(id).type != ElementType::i32)
      data->on_device = copy_on_device(id, range);
    ask_for(id, range, *data, pending);
    pending.run_->recorded[at] = std::move(data);
  }
  watch(id, pending);
}

std::shared_ptr<const float> Executor::copy_on_device(BufferId id, const ElementRange& range) {
  const Buffer& buffer = program_->buffer(id);
  // A packed weight does not lie there as the matrix that is shown.
  if (buffer.role == Role::parameter && !options_.external.empty()) return nullptr;
  if (buffer.pitch != 0) return nullptr;  // nobody reads rows with gaps
  const size_t bytes = static_cast<size_t>(range.count) * sizeof(float);
  const std::shared_ptr<void> memory = backend_.allocate_shared(bytes);
  if (memory == nullptr) return nullptr;
  const void* from = memory_[static_cast<size_t>(id)];
  auto* to = static_cast<float*>(memory.get());
  if (buffer.type == ElementType::f32) {
    backend_.copy(to, static_cast<const float*>(from) + range.first, bytes);
  } else if (buffer.type == ElementType::bf16) {
    backend_.bfloat16_kernels().widen(backend_.context(), to,
                                      static_cast<const kernels::bfloat16*>(from) + range.first, range.count);
  } else {
    backend_.float16_kernels().widen(backend_.context(), to,
                                     static_cast<const kernels::float16*>(from) + range.first, range.count);
  }
  return {memory, to};
}

void Executor::ask_for(BufferId id, const ElementRange& range, Recorded& data, PendingRun& pending) {
  const Buffer& buffer = program_->buffer(id);
  // Memory that others own may hold a parameter in a form of theirs; rows with gaps are not one array.
  if ((buffer.role == Role::parameter && !options_.external.empty()) || buffer.pitch != 0) {
    data.values = download(id, range);
    return;
  }
  const size_t bytes = static_cast<size_t>(range.count) * element_bytes(buffer.type);
  const auto* from = static_cast<const std::byte*>(memory_[static_cast<size_t>(id)]) +
                     static_cast<size_t>(range.first) * element_bytes(buffer.type);
  switch (buffer.type) {
    case ElementType::i32:
      data.integers.resize(static_cast<size_t>(range.count));
      return pending.ask_into(data.integers, from);
    case ElementType::f32:
      data.values.resize(static_cast<size_t>(range.count));
      return pending.ask_into(data.values, from);
    case ElementType::bf16:
      return pending.ask(from, bytes, [&data](std::span<const std::byte> arrived) {
        data.values = widened<kernels::bfloat16>(arrived);
      });
    case ElementType::f16:
      return pending.ask(from, bytes, [&data](std::span<const std::byte> arrived) {
        data.values = widened<kernels::float16>(arrived);
      });
    case ElementType::u64:
      break;
  }
  fail("\"{}\" holds {} numbers, which no run records", buffer.name, element_name(buffer.type));
}

void Executor::watch(BufferId id, PendingRun& pending) {
  const auto at = static_cast<size_t>(id);
  void* memory = memory_[at];
  if (captured_.digests[at]) pending.ask(watcher_->digest(id, memory), pending.run_->digests[at]);
  if (!captured_.statistics[at]) return;
  std::shared_ptr<const BufferStatistics>& to = pending.run_->measured[at];
  const Buffer& buffer = program_->buffer(id);
  if ((buffer.role == Role::parameter && !options_.external.empty()) || buffer.pitch != 0) {
    to = std::make_shared<const BufferStatistics>(statistics(download(id)));
  } else {
    pending.ask(watcher_->statistics(id, memory), to);
  }
}

}  // namespace headlight
