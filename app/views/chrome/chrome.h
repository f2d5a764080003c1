// The window around the stage: top bar, tabs, tree of steps, inspector, bottom panels, overlays, toasts. Each
// draws into its rectangle and answers with commands, as views do.
#pragma once

#include <deque>
#include <future>
#include <map>
#include <string>
#include <vector>

#include "app/views/run_data.h"
#include "app/views/view.h"

namespace headlight::app {

/// Height in pixels that the bar needs in the width of the context's area: more rows where it is narrow.
[[nodiscard]] float topbar_height(const ViewContext& context);
void draw_topbar(const ViewContext& context, CommandQueue& commands);

void draw_tabs(const ViewContext& context, CommandQueue& commands);

/// The slider over all steps, and "13 / 98"; nothing where there is no run or no room.
void draw_playhead(const ViewContext& context, CommandQueue& commands, Rect area);
/// The step under a pointer at `x`: the first at the track's left end, the last at its right.
[[nodiscard]] int step_at(float x, const Rect& track, int steps);

/// One line of the tree.
struct TreeRow {
  enum class Kind { group, step, fused } kind = Kind::step;
  std::string group;  ///< key of the group it belongs to ("block.0", "backward")
  std::string label;
  std::string shape;
  int step = -1;
  int depth = 0;
};
/// Groups EMBED, BLOCK n, OUT, LOSS, BACKWARD, UPDATE with their steps. Pure; cached by program.
[[nodiscard]] std::vector<TreeRow> tree_rows(const Program& program);
/// Whether a group's steps are shown: forward and loss unless toggled, backward and update only when toggled
/// or when the playhead is inside.
[[nodiscard]] bool group_open(const Layout& layout, std::string_view group, std::string_view playhead_group);

class StepTree {
 public:
  void draw(const ViewContext& context, CommandQueue& commands);

 private:
  std::shared_ptr<const Program> program_;
  std::vector<TreeRow> rows_;
  std::vector<StepChange> changes_;  ///< by step, against the pinned run; empty without one
  uint64_t changes_of_[2] = {0, 0};  ///< ids of the two runs
  std::vector<bool> held_;           ///< by step: the run holds its outputs
  uint64_t held_of_ = 0;
  int scrolled_to_ = -1;
};

/// "held 212 MB of 640 MB · 37 buffers left out", and what is meant by it; empty where nothing is missing.
struct HeldText {
  std::string line, about;
};
[[nodiscard]] HeldText held_text(const Ui& ui, const Run& run);

class Inspector {
 public:
  void draw(const ViewContext& context, CommandQueue& commands);
  /// True while statistics are worked out.
  [[nodiscard]] bool working() const { return underway_.valid(); }

 private:
  /// Of which elements statistics are shown.
  struct Part {
    BufferId buffer = no_buffer;
    ElementRange range;
    auto operator<=>(const Part&) const = default;
  };
  /// Null while those of a large buffer are worked out beside the window.
  const BufferStatistics* statistics_of(const std::shared_ptr<const Run>& run, const Part& part);

  uint64_t run_ = 0;
  std::map<Part, BufferStatistics> statistics_;
  std::future<BufferStatistics> underway_;
  Part underway_part_;
  uint64_t underway_run_ = 0;
};

/// The model's own distribution of the next token, softmax(logits) whatever the sampler's temperature, over
/// all candidates: the `count` most probable, largest first, in `probability`.
[[nodiscard]] std::vector<Candidate> model_distribution(const std::vector<Candidate>& candidates,
                                                        size_t count);

/// Bars of the next token.
class NextToken {
 public:
  void draw(const ViewContext& context, CommandQueue& commands);

 private:
  std::vector<Candidate> top_;  ///< worked out once for each snapshot: a vocabulary may have 50,000 tokens
  uint64_t version_ = 0;
  size_t room_ = 0;
};

void draw_training_panel(const ViewContext& context, CommandQueue& commands);

/// Token chips or the text being edited, and the training strip below them.
class PromptPanel {
 public:
  void draw(const ViewContext& context, CommandQueue& commands);

 private:
  void draw_chips(const ViewContext& context, CommandQueue& commands, const Rect& area);
  /// Whole prompt or last token with a cache, at the right end of the title's line.
  void draw_extent(const ViewContext& context, CommandQueue& commands, Rect& line);
  void draw_editor(const ViewContext& context, CommandQueue& commands, const Rect& area);
  void draw_strip(const ViewContext& context, CommandQueue& commands, const Rect& area);

  std::string text_;
  std::string original_;  ///< prompt when editing began
  bool editing_ = false;
  int caret_ = 0;        ///< where to put it when the field takes the focus, in characters
  std::string unknown_;  ///< sentence about what the vocabulary lacks of text_
  int focus_frames_ = 0;
};

/// Palette, help and model menu: windows above everything.
class Overlays {
 public:
  void draw(const ViewContext& context, const CommandRegistry& registry, const CommandContext& state,
            CommandQueue& commands, Session& session);

 private:
  void draw_palette(const ViewContext& context, const CommandRegistry& registry, const CommandContext& state,
                    CommandQueue& commands, Session& session);
  void draw_help(const ViewContext& context, const CommandRegistry& registry, Session& session);
  void draw_models(const ViewContext& context, CommandQueue& commands, Session& session);
  void draw_devices(const ViewContext& context, CommandQueue& commands, Session& session);

  Overlay shown_ = Overlay::none;
  std::string query_;
  size_t chosen_ = 0;
};

/// Sentences that come and go at the lower right of the area they are given.
class Toasts {
 public:
  void add(Notice::Level level, std::string text, double now);
  /// Takes the notices that were not shown yet.
  void take(const Snapshot& snapshot, double now);
  void draw(const Ui& ui, const Rect& area, double now);
  [[nodiscard]] bool any() const { return !shown_.empty(); }
  [[nodiscard]] const std::string& newest() const { return newest_; }

 private:
  struct Toast {
    Notice::Level level;
    std::string text;
    double until;
  };
  std::deque<Toast> shown_;
  std::string newest_;
  uint64_t last_id_ = 0;
};

/// Fuzzy match for the palette: letters of `query` in order inside `text`, ignoring case; higher is better,
/// negative: no match.
[[nodiscard]] int fuzzy_score(std::string_view query, std::string_view text);

}  // namespace headlight::app
