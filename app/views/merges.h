// The Tokens view: a text as bytes, and how merges make tokens of them, one at a time; learned on the text,
// or the opened model's own.
#pragma once

#include <string>
#include <vector>

#include "app/session/state.h"
#include "app/views/merges_model.h"
#include "app/views/view.h"
#include "app/widgets/field.h"

namespace headlight::app {

/// What is shown: everything that prepare_merges() depends on.
struct MergeRequest {
  std::shared_ptr<const Tokenizer> tokenizer;  ///< the model's, when its merges are shown; null: learn
  std::string text;
  int64_t step = 0;
  bool operator==(const MergeRequest&) const = default;
};
/// From the options "tokens.text" (not set: the prompt), "tokens.merges" and "tokens.step".
[[nodiscard]] MergeRequest merge_request(const SessionState& state, const Snapshot& snapshot);
[[nodiscard]] MergeScene prepare_merges(const MergeRequest& request);

class MergesView final : public View {
 public:
  [[nodiscard]] ViewId id() const override { return ViewId::tokens; }
  void draw(const ViewContext& context, CommandQueue& commands) override;

 private:
  // Each takes its place off the top of `rest`.
  void draw_header(const ViewContext& c, CommandQueue& commands, Rect& rest);
  /// The text as chips, at most `rows` rows of them.
  void draw_text(const ViewContext& c, Rect& rest, int rows) const;
  /// The merges so far as pills that lead to them.
  void draw_taken(const ViewContext& c, CommandQueue& commands, Rect rest) const;
  void draw_pairs(const ViewContext& c, Rect rest) const;

  MergeRequest prepared_;
  MergeScene scene_;
  bool ready_ = false;
  FieldEdit edit_;
};

}  // namespace headlight::app
