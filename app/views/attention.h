// The Attention view: every head small, the selected one large at any stage with row entropy and detectors,
// and its arcs from token to token.
#pragma once

#include "app/views/attention_model.h"
#include "app/views/view.h"
#include "app/widgets/matrix.h"

namespace headlight::app {

class AttentionView final : public View {
 public:
  [[nodiscard]] ViewId id() const override { return ViewId::attention; }
  void draw(const ViewContext& context, CommandQueue& commands) override;
  [[nodiscard]] bool animating() const override { return lit_changed_; }

 private:
  /// What the prepared data was made from.
  struct Key {
    uint64_t run = 0, pinned = 0;
    Compare compare = Compare::a;
    AttentionStage stage = AttentionStage::softmax;
    bool operator==(const Key&) const = default;
  };
  void prepare(const ViewContext& context);
  /// The row and column that all pictures light up: under the pointer, else pinned, else the last row and its
  /// strongest key.
  void find_lit(const ViewContext& context);

  void draw_header(const ViewContext& context, CommandQueue& commands, Rect& area);
  /// Switches between pictures that find no room beside each other.
  void draw_panes(const ViewContext& context, CommandQueue& commands, Rect& area, bool with_head);
  void draw_grid(const ViewContext& context, CommandQueue& commands, Rect area);
  void draw_thumbnail(const ViewContext& context, CommandQueue& commands, int64_t block, int64_t head,
                      const Rect& rect);
  void draw_strongest(const ViewContext& context, CommandQueue& commands, Rect area);
  void draw_head(const ViewContext& context, CommandQueue& commands, Rect area);
  void draw_matrix(const ViewContext& context, CommandQueue& commands, const Rect& rect);
  /// With a cache the matrix has one row: a strip, and its weights as bars by key.
  void draw_row(const ViewContext& context, CommandQueue& commands, Rect area);
  void draw_leak(const ViewContext& context, Rect area);
  void draw_entropy(const ViewContext& context, Rect area);
  /// Detector chips in rows; returns the size they take. Draws nothing when `measure_only`.
  ImVec2 draw_detectors(const ViewContext& context, const Rect& area, bool measure_only);
  void draw_arcs(const ViewContext& context, CommandQueue& commands, Rect area);

  [[nodiscard]] std::string head_name(int64_t block, int64_t head) const;
  [[nodiscard]] bool leaks() const;
  void pin(CommandQueue& commands, int64_t row, int64_t col) const;

  Key key_;
  AttentionGrid grid_;
  int64_t block_ = -1, head_ = -1;  ///< of the shown run
  AttentionHead large_;
  std::vector<std::string> labels_;  ///< tokens of the shown run as axes write them
  uint64_t labels_of_ = 0;
  MatrixMargins margins_;  ///< of labels_
  float margins_scale_ = 0;

  MatrixWindow window_;
  bool dragged_ = false;
  double scroll_row_ = 0, scroll_col_ = 0;  ///< of the grid, in thumbnails
  std::optional<int64_t> hovered_query_, hovered_key_;
  int64_t arcs_first_ = 0;
  float arcs_threshold_ = 0;  ///< of the arcs from arcs_threshold_of_ on
  int64_t arcs_threshold_of_ = -1;
  int64_t query_ = 0, key_token_ = 0;
  bool lit_changed_ = false;
  bool headings_ = true;  ///< false: the switch of panes stands where the heading would
};

}  // namespace headlight::app
