// Signs on buttons, drawn as shapes: crisp at any zoom and independent of fonts.
#pragma once

#include "app/widgets/ui.h"

namespace headlight::app {

enum class Icon {
  play,
  pause,
  next,
  previous,
  first,
  last,
  step,
  restart,
  down,
  right,
  close,
  logo,
  plus,
  minus,
  search,
  menu
};

/// In the middle of `box`, `size` CSS pixels high.
void draw_icon(const Ui& ui, Icon icon, const Rect& box, float size, Color color);

}  // namespace headlight::app
