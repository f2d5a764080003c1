// Names of a chart's lines with a piece of each line, so that colour is not the only cue.
#pragma once

#include <span>

#include "app/widgets/chart.h"

namespace headlight::app {

/// Lays the entries from left to right, in as many rows as they need; returns the height used.
float chart_legend(const Ui& ui, const Rect& rect, std::span<const Series> series);

}  // namespace headlight::app
