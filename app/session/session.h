// The session: the undoable state, its history, and what passes with the moment (playing, hover, open
// panels).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/session/state.h"
#include "app/session/undo.h"
#include "core/engine/engine.h"

namespace headlight::app {

/// Which overlay is open.
enum class Overlay { none, palette, help, models, devices };

struct Session {
  SessionState state;
  UndoStack history;
  std::vector<std::string> recent;  ///< folders and text files, newest first

  // Of the moment: neither saved nor undone.
  bool playing = false;
  double steps_per_second = 2;
  std::optional<CellPick> hover;  ///< the cell under the pointer, set by the view that has it
  std::optional<int64_t>
      training_step;  ///< where the scrubber of the training curves stands; empty: at the end
  bool editing_prompt = false;
  size_t prompt_caret = 0;  ///< byte at which editing starts
  Overlay overlay = Overlay::none;
  bool fullscreen = false;
  bool quit = false;

  /// Puts a path in front of the recent ones.
  void remember(const std::string& path);
  /// The cell that the inspector explains: hovered, else pinned.
  [[nodiscard]] const CellPick* cell() const;
};

/// What the model brought along when it was opened; an empty optional of Probe means this.
struct ProbeDefaults {
  ModelConfig config;
  std::string prompt;
  TrainConfig train;
};

/// What to ask of the engine when the wanted probe changes from `before` to `after`.
[[nodiscard]] std::vector<Request> requests_between(const Probe& before, const Probe& after,
                                                    const ProbeDefaults& defaults);
/// The same for a start from nothing.
[[nodiscard]] std::vector<Request> requests_for(const Probe& probe);

}  // namespace headlight::app
