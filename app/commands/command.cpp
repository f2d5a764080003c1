// Finding and running commands; the undo stack and the engine follow from here.
#include "app/commands/command.h"

#include <GLFW/glfw3.h>
#include <fmt/format.h>

#include <algorithm>

#include "core/base/error.h"
#include "core/base/nearest.h"
#include "core/base/parse_number.h"

namespace headlight::app {

std::string chord_text(const KeyChord& chord) {
  std::string text;
  if (chord.ctrl) text += "Ctrl+";
  if (chord.shift) text += "Shift+";
  switch (chord.key) {
    case GLFW_KEY_LEFT:
      return text + "←";
    case GLFW_KEY_RIGHT:
      return text + "→";
    case GLFW_KEY_UP:
      return text + "↑";
    case GLFW_KEY_DOWN:
      return text + "↓";
    case GLFW_KEY_SPACE:
      return text + "Space";
    case GLFW_KEY_HOME:
      return text + "Home";
    case GLFW_KEY_END:
      return text + "End";
    case GLFW_KEY_ESCAPE:
      return text + "Esc";
    case GLFW_KEY_ENTER:
      return text + "Enter";
    case GLFW_KEY_EQUAL:
      return text + "+";
    case GLFW_KEY_MINUS:
      return text + "−";
    default:
      break;
  }
  if (chord.key >= GLFW_KEY_F1 && chord.key <= GLFW_KEY_F12)
    return text + fmt::format("F{}", chord.key - GLFW_KEY_F1 + 1);
  return text + static_cast<char>(chord.key);
}

ModelConfig CommandContext::config() const {
  return session.state.probe.config.value_or(snapshot.model.config);
}

TrainConfig CommandContext::train_config() const {
  return session.state.probe.train.value_or(snapshot.training.config);
}

const Program* CommandContext::program() const {
  return snapshot.run ? snapshot.run->recorded_program.get() : nullptr;
}

int CommandContext::step() const {
  return program() == nullptr ? -1 : playhead_step(session.state.playhead, *program());
}

int playhead_step(const Playhead& playhead, const Program& program) {
  const auto& steps = program.steps();
  if (steps.empty()) return -1;
  int pattern = -1;
  for (size_t i = 0; i < steps.size(); ++i) {
    if (steps[i].name == playhead.step) return static_cast<int>(i);
    if (steps[i].phase == Phase::forward && steps[i].name.ends_with("hook_pattern"))
      pattern = static_cast<int>(i);
  }
  return std::max(pattern, 0);
}

Invocation parse_invocation(std::string_view text) {
  const auto trim = [](std::string_view s) {
    while (!s.empty() && s.front() == ' ') s.remove_prefix(1);
    return s;
  };
  text = trim(text);
  const size_t end = text.find(' ');
  if (end == std::string_view::npos) return {std::string(text), {}};
  return {std::string(text.substr(0, end)), std::string(trim(text.substr(end)))};
}

CommandRegistry::CommandRegistry() {
  add_navigation_commands(*this);
  add_model_commands(*this);
  add_training_commands(*this);
  add_window_commands(*this);
  add_attention_commands(*this);
  add_tokens_commands(*this);
}

const Command* CommandRegistry::find(std::string_view id) const {
  for (const Command& command : commands_)
    if (command.id == id) return &command;
  return nullptr;
}

const Command* CommandRegistry::find(const KeyChord& chord) const {
  for (const Command& command : commands_)
    for (const KeyChord& keys : command.keys)
      if (keys == chord) return &command;
  return nullptr;
}

void CommandRegistry::run(const Invocation& invocation, CommandContext& context) const {
  const Command* command = find(invocation.id);
  if (command == nullptr) {
    std::vector<std::string> ids;
    for (const Command& c : commands_) ids.push_back(c.id);
    fail("There is no command {}; the nearest is {}.", invocation.id, nearest_name(invocation.id, ids));
  }
  if (command->can_run && !command->can_run(context)) fail("The command {} cannot run now.", command->id);
  const SessionState before = context.session.state;
  command->run(context, invocation.argument);
  SessionState& after = context.session.state;
  if (before == after) return;
  if (command->undoable) context.session.history.push(before, command->merge);
  for (Request& request : requests_between(before.probe, after.probe, context.defaults))
    context.post(std::move(request));
}

int64_t integer_argument(std::string_view command, std::string_view text, int64_t low, int64_t high) {
  const auto value = parse_int(text);
  if (!value || *value < low || *value > high)
    fail("{} takes a whole number from {} to {}, not \"{}\".", command, low, high, text);
  return *value;
}

double number_argument(std::string_view command, std::string_view text, double low, double high) {
  const auto value = parse_double(text);
  if (!value || *value < low || *value > high)
    fail("{} takes a number from {} to {}, not \"{}\".", command, low, high, text);
  return *value;
}

bool flag_argument(std::string_view command, std::string_view text, bool now) {
  if (text.empty() || text == "toggle") return !now;
  if (text == "on") return true;
  if (text == "off") return false;
  fail("{} takes on, off or toggle, not \"{}\".", command, text);
}

}  // namespace headlight::app
