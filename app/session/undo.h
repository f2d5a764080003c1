// Undo by copies of the session state. Changes that belong together (a dragged slider, typing, stepping) are
// merged into one entry.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "app/session/state.h"

namespace headlight::app {

class UndoStack {
 public:
  static constexpr size_t limit = 500;

  /// Notes that the state was `before` until now. Entries with the same non-empty `merge` key in a row count
  /// as one.
  void push(const SessionState& before, std::string_view merge);
  /// Ends a row: the next push starts a new entry.
  void seal() { last_merge_.clear(); }
  [[nodiscard]] bool can_undo() const { return !past_.empty(); }
  [[nodiscard]] bool can_redo() const { return !future_.empty(); }
  /// Swaps `state` with the entry before or after it. Nothing happens where there is none.
  void undo(SessionState& state);
  void redo(SessionState& state);

 private:
  std::vector<SessionState> past_, future_;
  std::string last_merge_;
};

}  // namespace headlight::app
