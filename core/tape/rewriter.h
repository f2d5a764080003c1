// What rewrites of a program are made with: a copy of it in which other steps stand in place of some. Used by
// rewrite.cpp, rewrite_decoding.cpp and rewrite_training.cpp.
#pragma once

#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "core/tape/op.h"
#include "core/tape/program.h"

namespace headlight {

/// Copies a program step by step into a new one and lets a rule put another step in place of a run of steps.
class Rewriter {
 public:
  explicit Rewriter(const Program& from)
      : from_(from), to_(from.B(), from.T()), map_(from.buffers().size(), no_buffer) {
    for (size_t i = 0; i < from.buffers().size(); ++i) {
      const Buffer& buffer = from.buffers()[i];
      if (buffer.writer < 0) map_[i] = to_.declare(buffer.name, buffer.shape, buffer.role, buffer.type);
    }
  }

  void copy(int i) { replace(i, i + 1, from_.step(i).op, from_.step(i).inputs, from_.step(i).outputs); }

  /// Steps [first, last) become `op` on old `inputs`, writing old `outputs` (no_buffer: under a name of
  /// `extra`).
  void replace(int first, int last, std::shared_ptr<const Op> op, const std::vector<BufferId>& inputs,
               const std::vector<BufferId>& outputs, const std::vector<std::string>& extra = {}) {
    std::vector<int> members(static_cast<size_t>(last - first));
    std::iota(members.begin(), members.end(), first);
    join(members, std::move(op), inputs, outputs, extra);
  }

  /// The same for steps that need not follow each other: `op` stands where the copy has come to, in the phase
  /// and block of the first of them.
  void join(const std::vector<int>& members, std::shared_ptr<const Op> op,
            const std::vector<BufferId>& inputs, const std::vector<BufferId>& outputs,
            const std::vector<std::string>& extra = {}) {
    const Step& step = from_.step(members.front());
    to_.enter(step.phase, step.block);
    std::vector<BufferId> mapped;
    for (const BufferId id : inputs)
      mapped.push_back(id == no_buffer ? no_buffer : map_[static_cast<size_t>(id)]);
    std::vector<std::string> names;
    size_t next_extra = 0;
    for (const BufferId id : outputs) {
      names.push_back(id != no_buffer             ? from_.buffer(id).name
                      : next_extra < extra.size() ? extra[next_extra++]
                                                  : "");
    }
    const std::vector<BufferId> written = to_.append(std::move(op), mapped, names);
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (outputs[i] != no_buffer) map_[static_cast<size_t>(outputs[i])] = written[i];
    }
    std::vector<std::string> gone;
    for (const int s : members) {
      const Step& member = from_.step(s);
      gone.insert(gone.end(), member.fused_away.begin(), member.fused_away.end());
      for (const BufferId id : member.outputs) {
        if (id != no_buffer && map_[static_cast<size_t>(id)] == no_buffer)
          gone.push_back(from_.buffer(id).name);
      }
    }
    to_.note_fused_away(std::move(gone));
  }

  /// A step of its own in front of what replaces step `like`; reads old `inputs`.
  BufferId insert(const Step& like, std::shared_ptr<const Op> op, const std::vector<BufferId>& inputs,
                  std::string name) {
    to_.enter(like.phase, like.block);
    std::vector<BufferId> mapped;
    for (const BufferId id : inputs) mapped.push_back(map_[static_cast<size_t>(id)]);
    return to_.apply(std::move(op), std::move(mapped), std::move(name));
  }
  /// What reads the old buffer from now on reads the new one. Returns what it read before.
  BufferId redirect(BufferId old_buffer, BufferId new_buffer) {
    return std::exchange(map_[static_cast<size_t>(old_buffer)], new_buffer);
  }

  [[nodiscard]] std::shared_ptr<const Program> finish() {
    for (const auto& [name, id] : from_.aliases()) {
      if (map_[static_cast<size_t>(id)] != no_buffer) to_.alias(name, map_[static_cast<size_t>(id)]);
    }
    return to_.finish();
  }

 private:
  const Program& from_;
  ProgramBuilder to_;
  std::vector<BufferId> map_;
};

/// Whether a step outside [first, last) reads the buffer.
inline bool used_outside(const Program& program, BufferId id, int first, int last) {
  for (int s = 0; s < static_cast<int>(program.steps().size()); ++s) {
    if (s >= first && s < last) continue;
    for (const BufferId input : program.step(s).inputs) {
      if (input == id) return true;
    }
  }
  return false;
}

}  // namespace headlight
