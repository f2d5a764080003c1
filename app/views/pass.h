// The Pass view: the current step large. Its equation, what it does in a sentence, and its matrices from
// inputs to output.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "app/views/pass_layout.h"
#include "app/views/pass_model.h"
#include "app/views/pass_stage.h"
#include "app/views/view.h"

namespace headlight::app {

class PassView final : public View {
 public:
  [[nodiscard]] ViewId id() const override { return ViewId::pass; }
  void draw(const ViewContext& context, CommandQueue& commands) override;
  [[nodiscard]] bool animating() const override { return moving_; }

 private:
  /// What the prepared scene was made from.
  struct Key {
    uint64_t run = 0, pinned = 0;
    Compare compare = Compare::a;
    int step = -1;
    int64_t head = 0;
    const Tokenizer* tokenizer = nullptr;
    bool operator==(const Key&) const = default;
  };
  struct FlowKey {
    CellRef cell;
    uint64_t run = 0;
    int step = -1;
    int64_t head = 0;
    bool operator==(const FlowKey&) const = default;
  };

  void prepare(const ViewContext& context);
  void draw_controls(const ViewContext& context, CommandQueue& commands, Rect& line) const;
  void draw_captions(const ViewContext& context, Rect& area) const;
  void draw_waiting(const ViewContext& context) const;
  /// Fades and slides what was drawn since vertex `first` when the step has just changed.
  void move(const ViewContext& context, int first);

  Key key_;
  PassScene scene_;
  std::shared_ptr<const Run> run_;  ///< keeps the scene's planes alive
  PassLabels labels_;
  uint64_t labels_run_ = 0;
  const Tokenizer* labels_tokenizer_ = nullptr;
  std::vector<PassMargins> margins_;
  float margins_scale_ = 0;
  Language margins_language_ = Language::english;
  FlowKey flow_key_;
  PassFlows flows_;
  std::optional<int64_t> token_;  ///< position of the token under consideration
  std::map<int, MatrixWindow> windows_;

  std::string moved_to_;  ///< step that the last motion led to
  int moved_index_ = -1;
  double moved_at_ = -1;
  float direction_ = 1;
  bool moving_ = false;
};

/// The lines under the equation: where the step stands and what its row says, what it does, what is special
/// here.
struct PassCaption {
  std::string place;               ///< "Block 1, head 2 of 4 · row 13, “sat”, gives …"
  std::string sentence;            ///< what this kind of step does
  std::vector<std::string> notes;  ///< exceptions: off, fused, edited
};
[[nodiscard]] PassCaption pass_caption(const Strings& strings, Language language, const PassScene& scene,
                                       const Run& run, std::span<const std::string> tokens,
                                       std::optional<int64_t> token, const Tokenizer* tokenizer);

}  // namespace headlight::app
