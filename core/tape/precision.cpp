// See precision.h.
#include "core/tape/precision.h"

#include <map>
#include <utility>

#include "core/base/error.h"
#include "core/ops/ops.h"
#include "core/tape/op.h"

namespace headlight {

namespace {

/// Copies a program step by step; each step computes in the type that `element_of` gives it, and inputs of
/// another type are cast once, in front of their first reader.
class Mixer {
 public:
  Mixer(const Program& from, ElementType element)
      : from_(from), element_(element), to_(from.B(), from.T()), map_(from.buffers().size(), no_buffer) {
    for (size_t i = 0; i < from.buffers().size(); ++i) {
      const Buffer& buffer = from.buffers()[i];
      if (buffer.writer < 0) map_[i] = to_.declare(buffer.name, buffer.shape, buffer.role, buffer.type);
    }
  }

  std::shared_ptr<const Program> build() {
    for (const Step& step : from_.steps()) copy(step);
    for (const auto& [name, id] : from_.aliases()) to_.alias(name, map_[static_cast<size_t>(id)]);
    return to_.finish();
  }

 private:
  [[nodiscard]] const Buffer& mapped(BufferId id) const { return to_.buffer(map_[static_cast<size_t>(id)]); }
  [[nodiscard]] bool follows(const Step& step, size_t input) const {
    return step.inputs[input] != no_buffer && step.op->follows_element(input) &&
           is_floating(from_.buffer(step.inputs[input]).type);
  }

  /// The type that a step computes in: 16 bit as soon as it reads a weight or something of 16 bits. The
  /// update and what the loss phase stores are fp32.
  [[nodiscard]] ElementType element_of(const Step& step) const {
    if (step.phase == Phase::update) return ElementType::f32;
    if (step.phase == Phase::loss) {
      for (size_t o = 0; o < step.outputs.size(); ++o) {
        if (step.outputs[o] != no_buffer && step.op->output_type(o, element_) == element_)
          return ElementType::f32;
      }
    }
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      if (!follows(step, i)) continue;
      const Buffer& input = mapped(step.inputs[i]);
      if (input.role == Role::parameter || input.type == element_) return element_;
    }
    return ElementType::f32;
  }

  /// The new program's buffer for `id` in `type`.
  BufferId in_type(BufferId id, ElementType type) {
    const BufferId there = map_[static_cast<size_t>(id)];
    if (to_.buffer(there).type == type) return there;
    const auto [it, is_new] = casts_.try_emplace({id, type}, no_buffer);
    if (is_new) {
      it->second = to_.apply(ops::cast(type), {there},
                             fmt::format("{}@{}", from_.buffer(id).name, element_name(type)));
    }
    return it->second;
  }

  void copy(const Step& step) {
    to_.enter(step.phase, step.block);
    const ElementType type = element_of(step);
    std::vector<BufferId> inputs;
    for (size_t i = 0; i < step.inputs.size(); ++i) {
      const BufferId id = step.inputs[i];
      inputs.push_back(id == no_buffer    ? no_buffer
                       : follows(step, i) ? in_type(id, type)
                                          : map_[static_cast<size_t>(id)]);
    }
    std::vector<std::string> names;
    for (const BufferId id : step.outputs) names.push_back(id == no_buffer ? "" : from_.buffer(id).name);
    const std::vector<BufferId> written = to_.append(step.op, std::move(inputs), names);
    to_.note_fused_away(step.fused_away);
    for (size_t o = 0; o < written.size(); ++o) {
      if (step.outputs[o] != no_buffer) map_[static_cast<size_t>(step.outputs[o])] = written[o];
    }
  }

  const Program& from_;
  ElementType element_;
  ProgramBuilder to_;
  std::vector<BufferId> map_;
  std::map<std::pair<BufferId, ElementType>, BufferId> casts_;
};

}  // namespace

std::shared_ptr<const Program> with_precision(std::shared_ptr<const Program> program, ElementType element) {
  if (element == ElementType::f32) return program;
  return Mixer(*program, element).build();
}

}  // namespace headlight
