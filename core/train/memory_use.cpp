// See memory_use.h.
#include "core/train/memory_use.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "core/base/out_of_memory.h"
#include "core/model/parameters.h"
#include "core/run/memory_plan.h"
#include "core/train/training_program.h"

namespace headlight {

namespace {

size_t weight_bytes(const ModelConfig& config) {
  size_t bytes = 0;
  for (const ParameterSpec& spec : parameter_specs(config)) {
    bytes += static_cast<size_t>(spec.shape.count()) * sizeof(float);
  }
  return bytes;
}

/// The parts of a program's arena. Gradients of parameters are written by the backward pass and read by the
/// update, so that all of them lie in the arena at its fullest moment.
MemoryUse arena_of(const Program& program, bool update_in_place) {
  const std::vector<bool> none(program.buffers().size(), false);
  MemoryUse use;
  use.activations = plan_memory(program, lasting_buffers(program), none, update_in_place).bytes;
  const Program::Range update = program.range(Phase::update);
  if (update.first == update.last) return use;
  for (const BufferId id : program.step(update.first).inputs) use.gradients += program.buffer(id).bytes();
  use.activations -= std::min(use.activations, use.gradients);
  return use;
}

bool fits(const ModelConfig& config, const TrainConfig& train, bool joint, size_t available) {
  return memory_of_training(config, train, joint).total() <= available;
}

/// The largest value of `field` below its present one, halving, that fits; 0 where none does.
int64_t halved_until_it_fits(const ModelConfig& config, TrainConfig train, int64_t TrainConfig::*field,
                             bool joint, size_t available) {
  while (train.*field > 1) {
    train.*field /= 2;
    if (fits(config, train, joint, available)) return train.*field;
  }
  return 0;
}

}  // namespace

MemoryUse memory_of_run(const ModelConfig& config, const Program& program) {
  MemoryUse use = arena_of(program, false);
  use.parameters = weight_bytes(config);
  const Program::Range update = program.range(Phase::update);
  if (update.first != update.last) use.moments = 2 * use.parameters;
  return use;
}

MemoryUse memory_of_training(const ModelConfig& config, const TrainConfig& train, bool joint) {
  MemoryUse use = arena_of(*training_program(config, train, joint), true);
  use.activations += arena_of(*evaluation_program(config, train), false).activations;
  use.parameters = weight_bytes(config);
  use.moments = 2 * use.parameters;
  return use;
}

std::string what_would_fit(const ModelConfig& config, const TrainConfig& train, bool joint, size_t available,
                           size_t cpu_available) {
  std::vector<std::string> choices;
  if (const int64_t B = halved_until_it_fits(config, train, &TrainConfig::B, joint, available); B > 0)
    choices.push_back(fmt::format("batch={}", B));
  if (const int64_t T = halved_until_it_fits(config, train, &TrainConfig::T, joint, available); T > 0)
    choices.push_back(fmt::format("context={}", T));
  TrainConfig mixed = train, repeating = train;
  mixed.precision = ElementType::bf16;
  repeating.checkpoint = true;
  const bool may_mix = train.precision == ElementType::f32, may_repeat = !train.checkpoint;
  const bool mixed_fits = may_mix && fits(config, mixed, joint, available);
  const bool repeating_fits = may_repeat && fits(config, repeating, joint, available);
  if (mixed_fits) choices.emplace_back("precision=bf16");
  if (repeating_fits) choices.emplace_back("checkpoint=true");
  if (may_mix && may_repeat && !mixed_fits && !repeating_fits) {
    mixed.checkpoint = true;
    if (fits(config, mixed, joint, available)) choices.emplace_back("precision=bf16 with checkpoint=true");
  }
  if (cpu_available > 0 && fits(config, train, false, cpu_available)) choices.emplace_back("the CPU");
  if (choices.empty())
    return "no batch or context of this model fits; choose a smaller n_embd, n_layer or vocab_size";
  std::string text = choices[0];
  for (size_t i = 1; i < choices.size(); ++i) text += (i + 1 == choices.size() ? " or " : ", ") + choices[i];
  return text + " would fit";
}

void check_training_fits(const ModelConfig& config, const TrainConfig& train, const kernels::Backend& backend,
                         size_t held) {
  size_t available = backend.available_bytes();
  if (available == 0) return;  // not known: the allocation itself decides
  available += held;
  const bool joint = has_joint_steps(backend);
  const MemoryUse use = memory_of_training(config, train, joint);
  if (use.total() <= available) return;
  const size_t on_cpu = backend.kind() == "cpu" ? 0 : kernels::make_cpu_backend(1)->available_bytes();
  throw OutOfMemory(
      fmt::format("training with batch={} and context={} needs {}, but there are {} available; {}", train.B,
                  train.T, bytes_text(use.total()), bytes_text(available),
                  what_would_fit(config, train, joint, available, on_cpu)));
}

std::string what_prompt_would_fit(const ModelConfig& config, int64_t T, const ProgramOptions& options,
                                  size_t available) {
  const auto run_fits = [&](int64_t tokens, const ProgramOptions& how) {
    const MemoryUse use = memory_of_run(config, *build_program(config, 1, tokens, how));
    return use.total() - use.parameters <= available;
  };
  ProgramOptions repeating = options;
  repeating.checkpointing = true;
  const std::string or_repeat =
      options.backward && !options.checkpointing && run_fits(T, repeating) ? "checkpoint=true or " : "";
  for (T /= 2; T > 0; T /= 2) {
    if (run_fits(T, options)) return fmt::format("{}a prompt of {} tokens would fit", or_repeat, T);
  }
  return or_repeat + "a smaller model would fit";
}

std::string memory_text(const MemoryUse& use) {
  std::string text = "weights " + bytes_text(use.parameters);
  if (use.moments > 0) text += " + moments " + bytes_text(use.moments);
  if (use.gradients > 0) text += " + gradients " + bytes_text(use.gradients);
  return text + " + activations " + bytes_text(use.activations) + " = " + bytes_text(use.total());
}

}  // namespace headlight
