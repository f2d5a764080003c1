// Which values of a run the views show: what the engine has to record where a model is too large for all of
// it.
#pragma once

#include <optional>

#include "app/session/state.h"
#include "core/engine/engine.h"
#include "core/run/run.h"

namespace headlight::app {

/// The block whose heads are shown: the selected one; before anybody moved the playhead, which then stands in
/// the last block, that of its step, as in the tree and the inspector.
[[nodiscard]] int shown_block(const SessionState& state, const Run& run, int step, int block);

/// What somebody looks at: the inputs and outputs of the playhead's step, the selected head in the Attention
/// view, the stream in the Residual view, the pinned cell and its sources; of matrices too large for a frame
/// the rows around the pinned cell's token. `step`: index in run.program(); `block`, `head`: selected, within
/// the run's model.
[[nodiscard]] SetCapture wanted_capture(const SessionState& state, const Run& run, int step, int block,
                                        int head);
/// The lens, while the Residual view is shown.
[[nodiscard]] ReadLens wanted_lens(const SessionState& state);
/// Row of the token that a cell is about, by its axis T or Tq; nothing where the buffer has none.
[[nodiscard]] std::optional<int64_t> token_of_cell(const Buffer& buffer, int64_t offset);
/// True where the run holds all of it.
[[nodiscard]] bool holds(const Run& run, const SetCapture& wanted);
/// True where the run was made when this was asked for: what it does not hold went over the budget.
[[nodiscard]] bool made_for(const Run& run, const SetCapture& wanted);
/// True where the run holds values of every output of the step, whole or in part.
[[nodiscard]] bool holds_step(const Run& run, int step);

}  // namespace headlight::app
