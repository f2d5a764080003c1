// Two stacks of states.
#include "app/session/undo.h"

namespace headlight::app {

void UndoStack::push(const SessionState& before, std::string_view merge) {
  future_.clear();
  if (!merge.empty() && merge == last_merge_) return;
  last_merge_ = merge;
  past_.push_back(before);
  if (past_.size() > limit) past_.erase(past_.begin());
}

void UndoStack::undo(SessionState& state) {
  if (past_.empty()) return;
  future_.push_back(state);
  state = past_.back();
  past_.pop_back();
  seal();
}

void UndoStack::redo(SessionState& state) {
  if (future_.empty()) return;
  past_.push_back(state);
  state = future_.back();
  future_.pop_back();
  seal();
}

}  // namespace headlight::app
