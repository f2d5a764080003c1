// Pieces that several views share: rows of titles, scales beside them, the choice between A, B and A − B.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "app/views/view.h"

namespace headlight::app {

/// A view's first line: its name and muted facts, then controls that flow into further rows where they do not
/// fit.
class HeaderFlow {
 public:
  /// Cuts its rows off the top of `area`.
  HeaderFlow(const Ui& ui, Rect& area);
  void title(std::string_view name, std::string_view facts);
  /// Room for a control of this width.
  [[nodiscard]] Rect place(float width);
  void gap(float css) { x_ += ui_.px(css); }

 private:
  const Ui& ui_;
  Rect& area_;
  Rect row_;
  float x_ = 0;
};

/// A | B | A − B and the button that pins this run as B.
void compare_controls(const ViewContext& context, CommandQueue& commands, std::string_view id,
                      HeaderFlow& header);

/// Name of a picture and a muted note behind it; returns what is left of the row at the right.
Rect picture_title(const Ui& ui, Rect row, std::string_view title, std::string_view note = {});
/// The scale on one line, at the right end of `row`: number, colours, number. Left out where it finds no
/// room. `clipped`: some values lie beyond its ends.
void scale_line(const Ui& ui, const Rect& row, const HeatStyle& style, int digits = 2, bool clipped = false);

/// "1 block", "12 blocks": the texts count.<what>.one and count.<what>.many.
[[nodiscard]] std::string counted(const Ui& ui, std::string_view what, int64_t count);

/// A tooltip over a part that is no control or a disabled one.
void tooltip_over(const Ui& ui, const Rect& rect, std::string_view text);

/// Black or white, whichever reads better on a colour.
[[nodiscard]] Color ink_on(Color ground);

}  // namespace headlight::app
