// One registry of commands behind menus, keys, the palette, `--exec`, undo and tests. A command changes the
// session or asks something of the engine; nothing else does either.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "app/session/session.h"
#include "core/engine/engine.h"
#include "core/engine/snapshot.h"

namespace headlight::app {

/// A key of the keyboard (GLFW code) with modifiers.
struct KeyChord {
  int key = 0;
  bool ctrl = false, shift = false;
  bool operator==(const KeyChord&) const = default;
};
/// "Ctrl+P", "←".
[[nodiscard]] std::string chord_text(const KeyChord& chord);

/// What commands act on.
struct CommandContext {
  Session& session;
  const Snapshot& snapshot;
  const ProbeDefaults& defaults;
  /// Takes requests for the engine that are not a change of the session's state (train, generate, save).
  std::function<void(Request)> post;
  std::function<void(const std::string&)> copy;  ///< to the clipboard

  /// The config that the user wants: the session's, else the model's own.
  [[nodiscard]] ModelConfig config() const;
  [[nodiscard]] TrainConfig train_config() const;
  [[nodiscard]] const Program* program() const;
  /// Index of the playhead's step in the current program; −1 when there is no run.
  [[nodiscard]] int step() const;
};

struct Command {
  std::string id = {};        ///< "view.attention"; its title is the text "command.<id>"
  std::string argument = {};  ///< what follows the id ("HEADS", "TEXT"); empty: nothing does
  std::vector<KeyChord> keys = {};
  /// Changes of the state with the same key in a row are one entry of undo; empty: each is one.
  std::string merge = {};
  bool repeats = false;  ///< holding the key repeats it
  bool undoable = true;  ///< false: its change of the state is not kept for undo (undo itself)
  std::function<bool(const CommandContext&)> can_run = {};  ///< null: always
  /// Throws Error on an argument that does not fit.
  std::function<void(CommandContext&, std::string_view argument)> run = {};
};

/// An id and its argument, as pushed by views and read from `--exec`.
struct Invocation {
  std::string id;
  std::string argument;
};
/// "switch.heads 4".
[[nodiscard]] Invocation parse_invocation(std::string_view text);

/// What views and widgets return: commands to run after the frame is drawn.
class CommandQueue {
 public:
  void push(std::string id, std::string argument = {}) {
    queued_.push_back({std::move(id), std::move(argument)});
  }
  [[nodiscard]] std::vector<Invocation> take() { return std::exchange(queued_, {}); }
  [[nodiscard]] bool empty() const { return queued_.empty(); }

 private:
  std::vector<Invocation> queued_;
};

class CommandRegistry {
 public:
  /// All commands.
  CommandRegistry();

  [[nodiscard]] std::span<const Command> all() const { return commands_; }
  /// Null when there is none.
  [[nodiscard]] const Command* find(std::string_view id) const;
  [[nodiscard]] const Command* find(const KeyChord& chord) const;
  /// Runs one: state changes are put on the undo stack and the requests that follow from them are posted.
  /// Throws Error on an unknown id (with the nearest), one that cannot run now, or a bad argument.
  void run(const Invocation& invocation, CommandContext& context) const;

  void add(Command command) { commands_.push_back(std::move(command)); }

 private:
  std::vector<Command> commands_;
};

// One function for each group of commands.
void add_navigation_commands(CommandRegistry& registry);
void add_model_commands(CommandRegistry& registry);
void add_training_commands(CommandRegistry& registry);
void add_window_commands(CommandRegistry& registry);
void add_attention_commands(CommandRegistry& registry);
void add_tokens_commands(CommandRegistry& registry);

/// Index of the playhead's step: the step of that name, else the last pattern of the forward pass, else step
/// 0.
[[nodiscard]] int playhead_step(const Playhead& playhead, const Program& program);

/// Numbers and switches in arguments. Throw Error naming the command and what fits.
[[nodiscard]] int64_t integer_argument(std::string_view command, std::string_view text, int64_t low,
                                       int64_t high);
[[nodiscard]] double number_argument(std::string_view command, std::string_view text, double low,
                                     double high);
[[nodiscard]] bool flag_argument(std::string_view command, std::string_view text, bool now);

}  // namespace headlight::app
