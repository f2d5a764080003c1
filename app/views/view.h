// What a view is: it reads the context, draws into its area and answers with commands. It keeps no session
// state; what it prepared from a run it may cache by run id.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/commands/command.h"
#include "app/views/history_series.h"
#include "app/views/run_data.h"
#include "app/widgets/ui.h"
#include "core/engine/snapshot.h"

namespace headlight::app {

/// The cell that the inspector explains and the cells that made it, worked out once when it changes. Views
/// draw lines to the sources that they show.
struct Provenance {
  CellRef cell;
  CellTerms terms;
  std::string failure;  ///< the sentence, where the cell cannot be explained
};

/// Read-only for views, but for Session::hover, which the view that has the pointer sets through `hover`.
struct ViewContext {
  const Snapshot& snapshot;
  const std::shared_ptr<const Run>& run;  ///< snapshot.run; null before the first
  const Session& session;
  const ModelConfig& config;  ///< as wanted; the run may be one behind
  const Ui& ui;
  Rect area;      ///< in pixels; the current ImGui window clips to it
  int step = -1;  ///< index of the playhead's step in run->program()
  int block = 0;  ///< selected, within the run's model
  int head = 0;
  const std::vector<std::string>& tokens;  ///< texts of run->text()
  const HistorySeries& history;            ///< snapshot.training.history as series for charts
  const Provenance* provenance = nullptr;  ///< null when no cell is hovered or pinned
  std::optional<CellPick>& hover;          ///< write the hovered cell here
  double now = 0;                          ///< seconds, for animation
  bool recording = false;         ///< what is shown here and not held was asked for and is on its way
  std::string_view failure = {};  ///< the sentence, where it was asked for and could not be recorded
  /// Place in the text of the run's first token: what lies before it is in the cache.
  [[nodiscard]] int64_t first_token() const { return run ? static_cast<int64_t>(run->past.size()) : 0; }
};

class View {
 public:
  virtual ~View() = default;
  [[nodiscard]] virtual ViewId id() const = 0;
  virtual void draw(const ViewContext& context, CommandQueue& commands) = 0;
  /// True while something moves: the next frame comes at full rate.
  [[nodiscard]] virtual bool animating() const { return false; }
};

/// All views, in the order of the tabs. The one list of them.
[[nodiscard]] std::vector<std::unique_ptr<View>> make_views();

}  // namespace headlight::app
