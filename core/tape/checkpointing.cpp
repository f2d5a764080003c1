// See checkpointing.h.
#include "core/tape/checkpointing.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "core/tape/op.h"

namespace headlight {

namespace {

/// Copies a program and repeats a block's forward steps where its backward steps begin.
class Checkpointer {
 public:
  explicit Checkpointer(const Program& from)
      : from_(from),
        to_(from.B(), from.T()),
        map_(from.buffers().size(), no_buffer),
        again_(from.buffers().size(), no_buffer) {
    for (size_t i = 0; i < from.buffers().size(); ++i) {
      const Buffer& buffer = from.buffers()[i];
      if (buffer.writer < 0) map_[i] = to_.declare(buffer.name, buffer.shape, buffer.role, buffer.type);
    }
  }

  std::shared_ptr<const Program> build() {
    std::set<int> repeated;
    for (const Step& step : from_.steps()) {
      const bool goes_back = step.phase == Phase::backward && step.block >= 0;
      if (goes_back && repeated.insert(step.block).second) repeat(step.block);
      copy(step);
    }
    for (const auto& [name, id] : from_.aliases()) to_.alias(name, map_[at(id)]);
    return to_.finish();
  }

 private:
  static size_t at(BufferId id) { return static_cast<size_t>(id); }

  /// True for what a forward step of the block writes.
  [[nodiscard]] bool is_of_block(BufferId id, int block) const {
    if (id == no_buffer || from_.buffer(id).writer < 0) return false;
    const Step& writer = from_.step(from_.buffer(id).writer);
    return writer.phase == Phase::forward && writer.block == block;
  }

  /// By buffer: what the block's backward steps read of its forward steps, directly or through another of
  /// them. Not what other blocks read too: that is held anyway.
  [[nodiscard]] std::vector<bool> needed_again(int block) const {
    std::vector<bool> needed(from_.buffers().size(), false), held(from_.buffers().size(), false);
    for (const Step& step : from_.steps()) {
      for (const BufferId id : step.inputs) {
        if (!is_of_block(id, block)) continue;
        if (step.block != block) held[at(id)] = true;
        if (step.block == block && step.phase == Phase::backward) needed[at(id)] = true;
      }
    }
    for (auto step = from_.steps().rbegin(); step != from_.steps().rend(); ++step) {
      if (step->phase != Phase::forward || step->block != block) continue;
      bool runs = false;
      for (const BufferId id : step->outputs) {
        if (id == no_buffer) continue;
        needed[at(id)] = needed[at(id)] && !held[at(id)];
        runs = runs || needed[at(id)];
      }
      for (const BufferId id : step->inputs) {
        if (runs && is_of_block(id, block)) needed[at(id)] = true;
      }
    }
    return needed;
  }

  void repeat(int block) {
    const std::vector<bool> needed = needed_again(block);
    to_.enter(Phase::backward, block);
    for (const Step& step : from_.steps()) {
      if (step.phase != Phase::forward || step.block != block) continue;
      const auto is_needed = [&](BufferId id) { return id != no_buffer && needed[at(id)]; };
      if (std::none_of(step.outputs.begin(), step.outputs.end(), is_needed)) continue;
      std::vector<std::string> names;
      for (size_t o = 0; o < step.outputs.size(); ++o) {
        const BufferId id = step.outputs[o];
        const bool absent = id == no_buffer || (step.op->output_is_optional(o) && !needed[at(id)]);
        names.push_back(absent ? "" : fmt::format("{}{}", from_.buffer(id).name, again_suffix));
      }
      const std::vector<BufferId> written = to_.append(step.op, inputs_of(step), names);
      to_.note_fused_away(step.fused_away);
      for (size_t o = 0; o < written.size(); ++o) {
        if (is_needed(step.outputs[o])) again_[at(step.outputs[o])] = written[o];
      }
    }
  }

  /// A step's inputs in the new program. Only the backward steps of a block read what it computes again, so
  /// that whoever comes behind takes that one.
  [[nodiscard]] std::vector<BufferId> inputs_of(const Step& step) const {
    std::vector<BufferId> inputs;
    for (const BufferId id : step.inputs) {
      inputs.push_back(id == no_buffer               ? no_buffer
                       : again_[at(id)] != no_buffer ? again_[at(id)]
                                                     : map_[at(id)]);
    }
    return inputs;
  }

  void copy(const Step& step) {
    to_.enter(step.phase, step.block);
    std::vector<std::string> names;
    for (const BufferId id : step.outputs) names.push_back(id == no_buffer ? "" : from_.buffer(id).name);
    const std::vector<BufferId> written = to_.append(step.op, inputs_of(step), names);
    to_.note_fused_away(step.fused_away);
    for (size_t o = 0; o < written.size(); ++o) {
      if (step.outputs[o] != no_buffer) map_[at(step.outputs[o])] = written[o];
    }
  }

  const Program& from_;
  ProgramBuilder to_;
  std::vector<BufferId> map_;    ///< by buffer of the old program: what it is in the new one
  std::vector<BufferId> again_;  ///< by buffer of the old program: where it is computed again
};

}  // namespace

std::shared_ptr<const Program> checkpoint_blocks(std::shared_ptr<const Program> program) {
  const Program::Range backward = program->range(Phase::backward);
  if (backward.first == backward.last) return program;
  return Checkpointer(*program).build();
}

}  // namespace headlight
