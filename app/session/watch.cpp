// From the session's state to a capture.
#include "app/session/watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace headlight::app {
namespace {

/// Weights and logits of a large vocabulary take 150 MB and more; everything else that one step reads and
/// writes finds room beside them.
constexpr size_t budget = size_t{512} << 20;

bool has_score_axes(const Shape& shape) { return shape.rank() == 4 && shape[1].letter == "H"; }

void watch(Capture& capture, const Run& run, BufferId id, int64_t head) {
  if (id == no_buffer) return;
  const Buffer& buffer = run.program().buffer(id);
  WatchedPart part{.glob = buffer.name};
  if (has_score_axes(buffer.shape)) part.head = head;
  if (std::find(capture.watched.begin(), capture.watched.end(), part) == capture.watched.end())
    capture.watched.push_back(std::move(part));
}

void watch_step(Capture& capture, const Run& run, int step, int64_t head) {
  const Program& program = run.program();
  for (const BufferId id : program.step(step).outputs) watch(capture, run, id, head);
  for (const BufferId id : program.step(step).inputs) watch(capture, run, id, head);
  // A gradient is shown beside the value that it belongs to.
  for (const BufferId id : program.step(step).outputs) {
    if (id == no_buffer) continue;
    const std::string_view name = program.buffer(id).name;
    if (name.ends_with("_grad"))
      if (const auto of = program.find(name.substr(0, name.size() - 5))) watch(capture, run, *of, head);
  }
}

std::string_view stage_hook(const SessionState& state) {
  const std::string stage = state.option("attention.stage", "softmax");
  return stage == "raw"      ? "hook_scores_raw"
         : stage == "scaled" ? "hook_scores_scaled"
         : stage == "mask"   ? "hook_attn_scores"
                             : "hook_pattern";
}

}  // namespace

int shown_block(const SessionState& state, const Run& run, int step, int block) {
  const bool unmoved = state.playhead.step.empty() && step >= 0;
  return unmoved ? std::max(run.program().step(step).block, 0) : block;
}

SetCapture wanted_capture(const SessionState& state, const Run& run, int step, int block, int head) {
  SetCapture wanted;
  Capture& capture = wanted.capture;
  capture.budget_bytes = budget;
  const Program& program = run.program();
  if (step >= 0) {
    watch_step(capture, run, step, head);
    if (const Phase phase = program.step(step).phase; phase > Phase::loss) wanted.last = phase;
  }
  if (state.layout.view == ViewId::attention) {
    const std::string_view hook = stage_hook(state);
    for (const std::string_view name : {std::string_view("hook_pattern"), hook})
      if (const auto id =
              program.find(fmt::format("blocks.{}.attn.{}", shown_block(state, run, step, block), name)))
        watch(capture, run, *id, head);
    capture.digests = {fmt::format("blocks.*.attn.{}", hook)};
  }
  if (state.layout.view == ViewId::residual) {
    for (const char* glob : {"blocks.*.hook_resid_*", "blocks.*.hook_attn_out", "blocks.*.hook_mlp_out",
                             "ln_f.*", "wte.weight", "lm_head.weight"})
      for (const BufferId id : program.match(glob))
        if (const Role role = program.buffer(id).role; role == Role::activation || role == Role::parameter)
          watch(capture, run, id, head);
  }
  if (const auto& cell = state.pins.cell) {
    const auto id = program.find(cell->buffer);
    if (id && cell->offset >= 0 && cell->offset < program.buffer(*id).shape.count()) {
      const Buffer& buffer = program.buffer(*id);
      const int64_t of = has_score_axes(buffer.shape) ? buffer.shape.index(cell->offset)[1] : head;
      watch(capture, run, *id, of);
      if (buffer.writer >= 0) {
        watch_step(capture, run, buffer.writer, of);
        const Phase phase = program.step(buffer.writer).phase;
        if (phase > Phase::loss) wanted.last = std::max(wanted.last.value_or(phase), phase);
      }
    }
  }
  return wanted;
}

bool holds(const Run& run, const SetCapture& wanted) {
  if (wanted.capture.keep_on_device && !run.capture.keep_on_device) return false;
  const Program& program = run.program();
  if (wanted.last && run.steps_run < program.range(*wanted.last).last) return false;
  for (const WatchedPart& part : wanted.capture.watched) {
    for (const BufferId id : program.match(part.glob)) {
      const Buffer& buffer = program.buffer(id);
      if (is_floating(buffer.type) && !run.has(id, part_range(part, buffer.shape))) return false;
    }
  }
  for (const std::string& glob : wanted.capture.digests) {
    for (const BufferId id : program.match(glob)) {
      if (has_score_axes(program.buffer(id).shape) && run.digest(id, 0) == nullptr && !run.has(id))
        return false;
    }
  }
  return true;
}

bool made_for(const Run& run, const SetCapture& wanted) {
  const auto within = [](const auto& some, const auto& all) {
    return std::all_of(some.begin(), some.end(),
                       [&](const auto& one) { return std::find(all.begin(), all.end(), one) != all.end(); });
  };
  return within(wanted.capture.watched, run.capture.watched) &&
         within(wanted.capture.digests, run.capture.digests) &&
         (!wanted.last || run.steps_run >= run.program().range(*wanted.last).last);
}

bool holds_step(const Run& run, int step) {
  const auto& outputs = run.program().step(step).outputs;
  return std::all_of(outputs.begin(), outputs.end(), [&](BufferId id) {
    return id == no_buffer || run.recorded[static_cast<size_t>(id)] != nullptr;
  });
}

}  // namespace headlight::app
