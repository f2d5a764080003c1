// The Training view: loss against ln V and the entropy floor, perplexity, gradient norms by part, learning
// rate and speed; controls, settings, text, parameters by part and what the model wrote on the way.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "app/views/training_model.h"
#include "app/views/view.h"
#include "app/widgets/chart.h"
#include "app/widgets/field.h"

namespace headlight::app {

/// Of the training loss: the accent, but where validation's orange would be too near.
[[nodiscard]] inline Color train_loss_color(const Theme& theme) {
  return theme.kind == ThemeKind::high_contrast ? theme.bar : theme.accent;
}

class TrainingView final : public View {
 public:
  [[nodiscard]] ViewId id() const override { return ViewId::training; }
  void draw(const ViewContext& context, CommandQueue& commands) override;

 private:
  // Each takes its place off the top of `rest`.
  void draw_header(const ViewContext& c, CommandQueue& commands, Rect& rest);
  void draw_losses(const ViewContext& c, CommandQueue& commands, Rect& rest);
  void draw_settings(const ViewContext& c, CommandQueue& commands, Rect& rest);
  void draw_corpus(const ViewContext& c, CommandQueue& commands, Rect& rest);
  void draw_parameters(const ViewContext& c, Rect& rest);
  void draw_memory(const ViewContext& c, Rect& rest);
  void draw_newest_sample(const ViewContext& c, Rect& rest);
  void draw_samples(const ViewContext& c, Rect& rest);
  // These fill theirs.
  void draw_loss_chart(const ViewContext& c, CommandQueue& commands, Rect area);
  void draw_gradient_chart(const ViewContext& c, CommandQueue& commands, Rect area);
  void draw_rate_chart(const ViewContext& c, CommandQueue& commands, Rect area);
  void draw_speed_chart(const ViewContext& c, CommandQueue& commands, Rect area);

  /// A chart of the history; the scrubber and what the pointer shows are the same in all of them.
  void plot(const ViewContext& c, CommandQueue& commands, std::string_view id, Rect area, ChartSpec spec);
  /// The same below its title, with the value at the step that is looked at, and its legend.
  void draw_chart(const ViewContext& c, CommandQueue& commands, std::string_view id, Rect area,
                  std::string_view title, std::string_view value, ChartSpec spec, bool legend);

  TrainingModel model_;
  uint64_t prepared_version_ = 0;
  std::optional<int64_t> prepared_step_;

  std::optional<int64_t> hovered_step_, hovered_now_;  ///< last frame's and this one's, by any of the charts
  FieldEdit edit_;
  std::vector<float> sample_heights_;  ///< of the samples' texts, oldest first, for this width and scale
  float sample_width_ = 0, sample_scale_ = 0;
  std::string first_sample_;
};

}  // namespace headlight::app
