// Equations as the ops give them: pieces in their meanings' colours, `_{…}` and `^{…}` lowered and raised.
#pragma once

#include "app/widgets/ui.h"
#include "core/tape/op.h"

namespace headlight::app {

/// Size in pixels, at most `width` wide: an equation that is wider breaks between its pieces. Draws with its
/// top left corner at `at` unless `measure_only`.
ImVec2 draw_equation(const Ui& ui, ImVec2 at, const Equation& equation, float width,
                     bool measure_only = false);

}  // namespace headlight::app
