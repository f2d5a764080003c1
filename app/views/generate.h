// The Generate view: the prompt with what was generated, the distribution of the next token before and after
// temperature and cuts, and how sure the model was of each token that it wrote.
#pragma once

#include <string>
#include <vector>

#include "app/views/generate_duel_model.h"
#include "app/views/generate_model.h"
#include "app/views/view.h"
#include "app/widgets/field.h"

namespace headlight::app {

class GenerateView final : public View {
 public:
  [[nodiscard]] ViewId id() const override { return ViewId::generate; }
  void draw(const ViewContext& context, CommandQueue& commands) override;
  [[nodiscard]] bool animating() const override { return running_; }

 private:
  // Each takes its place off the top of `rest`.
  void draw_header(const ViewContext& c, CommandQueue& commands, Rect& rest);
  void draw_sampler(const ViewContext& c, CommandQueue& commands, Rect& rest);
  void draw_prompt(const ViewContext& c, CommandQueue& commands, Rect& rest, int most_rows);
  void draw_facts(const ViewContext& c, Rect& rest);
  /// The random number of the newest token and the share of [0, 1) that it fell into.
  void draw_last_draw(const ViewContext& c, Rect& rest);
  /// The KV-cache duel (generate_duel.cpp), in place of the distribution while there is one.
  void draw_duel(const ViewContext& c, Rect area);
  /// The bars, as many as find room in `area`.
  void draw_distribution(const ViewContext& c, CommandQueue& commands, Rect area);
  void draw_row(const ViewContext& c, CommandQueue& commands, Rect r, const TokenRow& row);
  /// Probability and entropy of each generated token.
  void draw_strip(const ViewContext& c, Rect area);

  Distribution distribution_;
  TokenTrail trail_;
  DuelPicture duel_;
  uint64_t prepared_version_ = 0;
  bool greedy_ = false;  ///< of the frame
  double axis_ = 1;      ///< value at the right end of the bars
  bool running_ = false;
  FieldEdit edit_;
};

}  // namespace headlight::app
