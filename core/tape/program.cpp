// See program.h.
#include "core/tape/program.h"

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/tape/op.h"

namespace headlight {

bool glob_matches(std::string_view glob, std::string_view text) {
  size_t g = 0, t = 0;
  size_t star = std::string_view::npos, star_text = 0;
  while (t < text.size()) {
    if (g < glob.size() && (glob[g] == '?' || glob[g] == text[t])) {
      ++g, ++t;
    } else if (g < glob.size() && glob[g] == '*') {
      star = g++;
      star_text = t;
    } else if (star != std::string_view::npos) {
      g = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (g < glob.size() && glob[g] == '*') ++g;
  return g == glob.size();
}

std::optional<BufferId> Program::find(std::string_view name) const {
  if (const auto it = names_.find(name); it != names_.end()) return it->second;
  if (const auto it = aliases_.find(name); it != aliases_.end()) return it->second;
  return std::nullopt;
}

BufferId Program::require(std::string_view name) const {
  if (const auto id = find(name)) return *id;
  std::vector<std::string> known;
  for (const auto& [key, id] : names_) known.push_back(key);
  for (const auto& [key, id] : aliases_) known.push_back(key);
  fail("this program has no buffer \"{}\"; the nearest is \"{}\"", name, nearest_name(name, known));
}

std::vector<BufferId> Program::match(std::string_view glob) const {
  std::vector<bool> matched(buffers_.size(), false);
  for (size_t i = 0; i < buffers_.size(); ++i) matched[i] = glob_matches(glob, buffers_[i].name);
  for (const auto& [name, id] : aliases_) {
    if (glob_matches(glob, name)) matched[static_cast<size_t>(id)] = true;
  }
  std::vector<BufferId> result;
  for (size_t i = 0; i < matched.size(); ++i) {
    if (matched[i]) result.push_back(static_cast<BufferId>(i));
  }
  return result;
}

Program::Range Program::range(Phase phase) const {
  Range range{static_cast<int>(steps_.size()), static_cast<int>(steps_.size())};
  for (int i = 0; i < static_cast<int>(steps_.size()); ++i) {
    if (steps_[static_cast<size_t>(i)].phase != phase) continue;
    if (range.first == static_cast<int>(steps_.size())) range.first = i;
    range.last = i + 1;
  }
  if (range.first == static_cast<int>(steps_.size())) range.last = range.first;
  return range;
}

BufferId ProgramBuilder::declare(std::string name, Shape shape, Role role, ElementType type) {
  const auto id = static_cast<BufferId>(program_.buffers_.size());
  if (program_.find(name)) fail("a program cannot hold two buffers named \"{}\"", name);
  program_.names_.emplace(name, id);
  program_.buffers_.push_back({std::move(name), std::move(shape), role, type});
  return id;
}

ElementType ProgramBuilder::step_element(const Op& op, const std::vector<BufferId>& inputs) const {
  const Buffer* first = nullptr;
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] == no_buffer) continue;
    const Buffer& input = buffer(inputs[i]);
    if (!is_floating(input.type)) continue;
    if (!op.follows_element(i)) {
      if (input.type != ElementType::f32)
        fail("{} takes \"{}\" in fp32, but it is {}", op.kind(), input.name, element_name(input.type));
      continue;
    }
    if (first == nullptr) first = &input;
    if (input.type != first->type) {
      fail("{} takes inputs of one element type, but \"{}\" is {} and \"{}\" is {}", op.kind(), first->name,
           element_name(first->type), input.name, element_name(input.type));
    }
  }
  return first == nullptr ? ElementType::f32 : first->type;
}

std::vector<BufferId> ProgramBuilder::append(std::shared_ptr<const Op> op, std::vector<BufferId> inputs,
                                             const std::vector<std::string>& names) {
  std::vector<const Shape*> shapes;
  shapes.reserve(inputs.size());
  for (const BufferId id : inputs) shapes.push_back(id == no_buffer ? nullptr : &buffer(id).shape);
  std::vector<Shape> output_shapes = op->output_shapes(shapes);
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i] != no_buffer && buffer(inputs[i]).pitch != op->input_pitch(i))
      fail("{} cannot read \"{}\", whose rows have a pitch of {}", op->kind(), buffer(inputs[i]).name,
           buffer(inputs[i]).pitch);
    if (inputs[i] != no_buffer && buffer(inputs[i]).spare < op->input_spare(i))
      fail("{} needs {} elements behind \"{}\", which has {}", op->kind(), op->input_spare(i),
           buffer(inputs[i]).name, buffer(inputs[i]).spare);
  }
  const ElementType element = step_element(*op, inputs);
  if (names.size() != output_shapes.size()) {
    fail("op {} has {} outputs, but {} names were given", op->kind(), output_shapes.size(), names.size());
  }
  const Role role = phase_ == Phase::backward ? Role::gradient
                    : phase_ == Phase::update ? Role::update
                                              : Role::activation;
  Step step;
  step.element = element;
  step.op = std::move(op);
  step.inputs = std::move(inputs);
  step.phase = phase_;
  step.block = block_;
  for (size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) {
      step.outputs.push_back(no_buffer);
      continue;
    }
    if (step.name.empty()) step.name = names[i];
    const BufferId id =
        declare(names[i], std::move(output_shapes[i]), role, step.op->output_type(i, element));
    program_.buffers_.back().writer = static_cast<int>(program_.steps_.size());
    program_.buffers_.back().pitch = step.op->output_pitch(i);
    program_.buffers_.back().spare = step.op->output_spare(i);
    step.outputs.push_back(id);
  }
  program_.steps_.push_back(std::move(step));
  return program_.steps_.back().outputs;
}

BufferId ProgramBuilder::apply(std::shared_ptr<const Op> op, std::vector<BufferId> inputs, std::string name) {
  return append(std::move(op), std::move(inputs), {std::move(name)})[0];
}

void ProgramBuilder::alias(std::string name, BufferId id) {
  if (program_.find(name)) fail("a program cannot hold two buffers named \"{}\"", name);
  program_.aliases_.emplace(std::move(name), id);
}

void ProgramBuilder::enter(Phase phase, int block) {
  phase_ = phase;
  block_ = block;
}

void ProgramBuilder::note_fused_away(std::vector<std::string> names) {
  program_.steps_.back().fused_away = std::move(names);
}

std::shared_ptr<const Program> ProgramBuilder::finish() {
  return std::make_shared<const Program>(std::move(program_));
}

}  // namespace headlight
