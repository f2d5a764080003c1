// See executor.h.
#include "core/run/executor.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <new>

#include "core/base/error.h"
#include "core/run/buffer_edit.h"
#include "core/tape/op.h"

namespace headlight {

namespace {

/// Throws unless every id lies in [least, V): kernels look up rows by them.
void check_ids(std::string_view what, const std::vector<int32_t>& ids, int64_t least, int64_t V) {
  const auto bad = std::find_if(ids.begin(), ids.end(), [&](int32_t id) { return id < least || id >= V; });
  if (bad == ids.end()) return;
  fail("{} {} at place {} is not one of the model's {} tokens; ids go from {} to {}", what, *bad,
       bad - ids.begin(), V, least, V - 1);
}

/// `count` values of an array of E in a backend's memory from `first` on, widened.
template <class E>
std::vector<float> download_as(kernels::Backend& backend, const void* device, const ElementRange& range) {
  std::vector<E> values(static_cast<size_t>(range.count));
  backend.download(values.data(), static_cast<const E*>(device) + range.first, values.size() * sizeof(E));
  if constexpr (std::is_same_v<E, float>) {
    return values;
  } else {
    std::vector<float> wide(values.size());
    std::transform(values.begin(), values.end(), wide.begin(),
                   [](E value) { return kernels::to_float(value); });
    return wide;
  }
}

/// The same of elements `range` of a buffer of E, counted as if its rows lay side by side.
template <class E>
std::vector<float> download_rows(kernels::Backend& backend, const Buffer& buffer, const void* device,
                                 const ElementRange& range) {
  if (buffer.pitch == 0) return download_as<E>(backend, device, range);
  const int64_t width = buffer.shape.last(), first = range.first / width;
  const int64_t last = (range.first + range.count + width - 1) / width;
  const std::vector<float> pitched =
      download_as<E>(backend, device, {first * buffer.pitch, (last - first) * buffer.pitch});
  std::vector<float> values;
  values.reserve(static_cast<size_t>(range.count));
  for (int64_t i = range.first; i < range.first + range.count; ++i)
    values.push_back(pitched[static_cast<size_t>((i / width - first) * buffer.pitch + i % width)]);
  return values;
}

/// The reverse, rounded to E.
template <class E>
void upload_as(kernels::Backend& backend, void* device, std::span<const float> values) {
  std::vector<E> narrow(values.size());
  std::transform(values.begin(), values.end(), narrow.begin(), kernels::from_float<E>);
  backend.upload(device, narrow.data(), narrow.size() * sizeof(E));
}

}  // namespace

Executor::Executor(std::shared_ptr<const Program> program, kernels::Backend& backend, Parameters& parameters,
                   Options options)
    : program_(std::move(program)), backend_(backend), parameters_(parameters), options_(std::move(options)) {
  const auto& steps = program_->steps();
  steps_ = static_cast<int>(
      std::find_if(steps.begin(), steps.end(), [&](const Step& step) { return step.phase > options_.last; }) -
      steps.begin());
  edits_at_.resize(program_->steps().size());
  for (size_t e = 0; e < options_.edits.size(); ++e) {
    const Edit& edit = options_.edits[e];
    if (!is_buffer_edit(edit)) continue;
    const std::vector<BufferId> targets = edited_buffers(*program_, edit.target);
    if (targets.empty()) (void)program_->require(edit.target);
    for (const BufferId id : targets) {
      if (program_->buffer(id).pitch != 0)
        fail("\"{}\" has gaps behind its rows and cannot be edited; edit it in a program without joint steps",
             program_->buffer(id).name);
      check_edit(edit, program_->buffer(id));
      // Once for each step, also where the target names several of its outputs: apply_edits goes through
      // them.
      std::vector<size_t>& at = edits_at_[static_cast<size_t>(program_->buffer(id).writer)];
      if (at.empty() || at.back() != e) at.push_back(e);
    }
  }
  plan_recording();
  bind();
}

void Executor::set_capture(Capture capture) {
  options_.capture = std::move(capture);
  const std::vector<bool> before = wanted_;
  plan_recording();
  if (wanted_ == before) return;
  release_arena();
  bind();
}

void Executor::plan_recording() {
  captured_ = plan_capture(*program_, options_.capture, steps_);
  watcher_.reset();
  watcher_ = std::make_unique<Watcher>(backend_, *program_, captured_);
  // What is written anyway needs no other plan of the memory.
  wanted_.assign(program_->buffers().size(), false);
  for (int s = 0; s < steps_; ++s) {
    const Step& step = program_->step(s);
    for (size_t o = 0; o < step.outputs.size(); ++o) {
      const auto at = static_cast<size_t>(step.outputs[o]);
      if (step.outputs[o] == no_buffer || !step.op->output_is_optional(o)) continue;
      wanted_[at] = captured_.ranges[at].count > 0 || captured_.digests[at] || captured_.statistics[at];
    }
  }
}

void Executor::bind() {
  const size_t n = program_->buffers().size();
  plan_ =
      plan_memory(*program_, lasting_buffers(*program_, steps_), wanted_, options_.update_in_place, steps_);
  if (plan_.bytes > 0) {
    arena_ = DeviceMemory(backend_, plan_.bytes,
                          fmt::format("a run of {} × {} tokens", program_->B(), program_->T()));
  }
  memory_.assign(n, nullptr);
  const bool updates = program_->range(Phase::update).first < steps_;
  for (size_t i = 0; i < n; ++i) {
    const Buffer& buffer = program_->buffers()[i];
    if (buffer.role == Role::parameter || buffer.role == Role::state) {
      for (const ExternalBuffers* external : options_.external) {
        if (memory_[i] == nullptr) memory_[i] = external->memory(buffer.name);
      }
      if (memory_[i] != nullptr) continue;
      if (buffer.role == Role::state)
        fail("the program wants a cache \"{}\" that nobody gave it", buffer.name);
    }
    if (buffer.role == Role::parameter || (buffer.role == Role::moment && updates)) {
      const bool is_moment = buffer.role == Role::moment;
      const Parameters::Entry* entry = parameters_.find(
          is_moment ? std::string_view(buffer.name).substr(0, buffer.name.size() - 2) : buffer.name);
      if (entry == nullptr)
        fail("the program wants a parameter \"{}\" that the model does not have", buffer.name);
      if (entry->value == nullptr)
        fail(
            "{} is held in packed form alone, so only the decoder that packed it can run; open the model "
            "again",
            entry->spec.name);
      if (is_moment) parameters_.ensure_moments();
      memory_[i] = !is_moment ? entry->value : buffer.name.ends_with("_m") ? entry->first : entry->second;
    }
  }
  for (size_t i = 0; i < n; ++i) {
    if (plan_.in_place_of[i] != no_buffer) {
      memory_[i] = memory_[static_cast<size_t>(plan_.in_place_of[i])];
    } else if (plan_.offsets[i] != MemoryPlan::elsewhere && plan_.offsets[i] != MemoryPlan::absent) {
      memory_[i] = static_cast<std::byte*>(arena_.get()) + plan_.offsets[i];
    }
  }
}

Executor::~Executor() { release_arena(); }

void Executor::release_arena() {
  // A recording of steps holds the arena's addresses.
  recording_.reset();
  arena_.reset();
}

void Executor::set_inputs(const RunInputs& inputs) {
  if (const auto logits = program_->find("unembed.hook_out")) {
    const int64_t V = program_->buffer(*logits).shape.last();
    check_ids("token", inputs.tokens, 0, V);
    if (program_->find("targets")) check_ids("target", inputs.targets, -1, V);
  }
  const auto give = [&](std::string_view name, const void* data, size_t bytes) {
    const auto id = program_->find(name);
    if (!id) return;
    const Buffer& buffer = program_->buffer(*id);
    if (buffer.bytes() != bytes) {
      fail("\"{}\" takes {} numbers, but {} were given", name, buffer.shape.count(),
           bytes / (buffer.bytes() / static_cast<size_t>(buffer.shape.count())));
    }
    backend_.upload(memory_[static_cast<size_t>(*id)], data, bytes);
  };
  give("tokens", inputs.tokens.data(), inputs.tokens.size() * sizeof(int32_t));
  give("positions", inputs.positions.data(), inputs.positions.size() * sizeof(int32_t));
  give("counts", inputs.counts.data(), inputs.counts.size() * sizeof(int32_t));
  give("targets", inputs.targets.data(), inputs.targets.size() * sizeof(int32_t));
  give("dropout_seed", &inputs.dropout_seed, sizeof(uint64_t));
  const float one = 1.0F;
  give("loss_grad", &one, sizeof(float));
  if (inputs.open_gate) give("update_gate", &one, sizeof(float));
  const auto t = static_cast<double>(inputs.adam_step);
  const float schedule[3] = {static_cast<float>(inputs.learning_rate),
                             static_cast<float>(1.0 - std::pow(inputs.beta1, t)),
                             static_cast<float>(1.0 - std::pow(inputs.beta2, t))};
  give("adamw_schedule", schedule, sizeof(schedule));
}

void Executor::run_step(int index) {
  const Step& step = program_->step(index);
  // Small fixed arrays would save two allocations a step; at ~1 µs against ~20 µs for the smallest kernels
  // they do not pay for a limit on the number of inputs (squared_norms takes one for each parameter).
  std::vector<void*> inputs, outputs;
  std::vector<const Shape*> input_shapes, output_shapes;
  for (const BufferId id : step.inputs) {
    inputs.push_back(id == no_buffer ? nullptr : memory_[static_cast<size_t>(id)]);
    input_shapes.push_back(id == no_buffer ? nullptr : &program_->buffer(id).shape);
  }
  for (const BufferId id : step.outputs) {
    outputs.push_back(id == no_buffer ? nullptr : memory_[static_cast<size_t>(id)]);
    output_shapes.push_back(id == no_buffer ? nullptr : &program_->buffer(id).shape);
  }
  try {
    step.op->run({inputs, outputs, input_shapes, output_shapes, backend_, step.element});
  } catch (const std::bad_alloc&) {
    throw OutOfMemory(
        fmt::format("step {} found no memory to work in; choose a smaller batch or context", step.name));
  }
  if (!edits_at_[static_cast<size_t>(index)].empty()) apply_edits(index);
}

void Executor::apply_edits(int index) {
  for (const size_t e : edits_at_[static_cast<size_t>(index)]) {
    const Edit& edit = options_.edits[e];
    for (const BufferId id : program_->step(index).outputs) {
      if (id == no_buffer || memory_[static_cast<size_t>(id)] == nullptr) continue;
      const std::vector<BufferId> targets = edited_buffers(*program_, edit.target);
      if (std::find(targets.begin(), targets.end(), id) == targets.end()) continue;
      const Buffer& buffer = program_->buffer(id);
      std::vector<float> values = download(id);
      edit_values(edit, buffer, values);
      upload(id, values);
    }
  }
}

void Executor::upload(BufferId id, std::span<const float> values) {
  void* device = memory_[static_cast<size_t>(id)];
  switch (program_->buffer(id).type) {
    case ElementType::bf16:
      return upload_as<kernels::bfloat16>(backend_, device, values);
    case ElementType::f16:
      return upload_as<kernels::float16>(backend_, device, values);
    case ElementType::f32:
    case ElementType::i32:
    case ElementType::u64:
      break;
  }
  upload_as<float>(backend_, device, values);
}

void Executor::run_phase(Phase phase) {
  const Program::Range range = program_->range(phase);
  run_steps(range.first, range.last);
}

void Executor::run_steps(int first, int last) {
  for (int s = first; s < last; ++s) run_step(s);
}

void Executor::run_whole(const std::atomic<bool>* cancel) {
  const auto last = static_cast<int>(program_->steps().size());
  // The first time makes what is made once: workspaces, plans of libraries.
  if (whole_runs_ == 1) recording_ = backend_.record([&] { run_steps(0, last); });
  if (recording_) {
    backend_.replay(*recording_);
  } else {
    for (int s = 0; s < last; ++s) {
      if (cancel != nullptr && cancel->load(std::memory_order_relaxed)) throw Cancelled();
      run_step(s);
    }
  }
  ++whole_runs_;
}

std::string Executor::first_non_finite(const RunInputs& inputs) {
  const auto bad_cell = [&](BufferId id, bool masked) -> std::string {
    const Buffer& buffer = program_->buffer(id);
    if (memory_[static_cast<size_t>(id)] == nullptr || !is_floating(buffer.type)) return "";
    const std::vector<float> values = download(id);
    for (size_t i = 0; i < values.size(); ++i) {
      if (std::isfinite(values[i]) || (masked && values[i] < 0)) continue;
      const std::vector<int64_t> index = buffer.shape.index(static_cast<int64_t>(i));
      return fmt::format("{}[{}] = {}", buffer.name, fmt::join(index, ", "), values[i]);
    }
    return "";
  };
  set_inputs(inputs);
  for (size_t i = 0; i < program_->buffers().size(); ++i) {
    if (program_->buffers()[i].role != Role::parameter) continue;
    if (std::string cell = bad_cell(static_cast<BufferId>(i), false); !cell.empty()) return cell;
  }
  for (int s = 0; s < std::min(steps_, program_->range(Phase::update).first); ++s) {
    run_step(s);
    const Step& step = program_->step(s);
    for (const BufferId id : step.outputs) {
      if (id == no_buffer) continue;
      if (std::string cell = bad_cell(id, step.op->kind() == "mask"); !cell.empty()) return cell;
    }
  }
  return "the sum of the squared gradients, which overflows";
}

std::vector<float> Executor::download(BufferId id) const {
  return download(id, {0, program_->buffer(id).shape.count()});
}

std::vector<float> Executor::download(BufferId id, const ElementRange& range) const {
  const Buffer& buffer = program_->buffer(id);
  const void* device = memory_[static_cast<size_t>(id)];
  if (buffer.role == Role::parameter) {
    std::vector<float> values(options_.external.empty() ? 0 : static_cast<size_t>(buffer.shape.count()));
    for (const ExternalBuffers* external : options_.external) {
      if (!external->unpack(buffer.name, values)) continue;
      const auto first = values.begin() + range.first;
      return {first, first + range.count};
    }
  }
  switch (buffer.type) {
    case ElementType::bf16:
      return download_rows<kernels::bfloat16>(backend_, buffer, device, range);
    case ElementType::f16:
      return download_rows<kernels::float16>(backend_, buffer, device, range);
    case ElementType::f32:
      return download_rows<float>(backend_, buffer, device, range);
    case ElementType::i32:
    case ElementType::u64:
      break;
  }
  fail("\"{}\" holds {} numbers, not floating-point ones", buffer.name, element_name(buffer.type));
}

void Executor::download_later(BufferId id, std::span<float> host) const {
  backend_.download_later(host.data(), memory_[static_cast<size_t>(id)], host.size_bytes());
}

double Executor::scalar(std::string_view name) const {
  return static_cast<double>(download(program_->require(name))[0]);
}

}  // namespace headlight
