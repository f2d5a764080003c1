// Line charts over steps: several series told apart by colour and dash, linear or logarithmic axes, guides
// with their names, a readout under the pointer and a scrubber.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "app/render/series_pyramid.h"
#include "app/widgets/ui.h"

namespace headlight::app {

/// One line. Either dense (one value for each step from `first_step` on) or sparse points.
struct Series {
  std::string name = {};
  Color color = 0;
  float width_css = 1.5f;
  bool dashed = false;
  float on_css = 5, off_css = 4;  ///< the dashes: a dense line's run along x, so that noise keeps them apart
  bool markers = false;           ///< a dot at each sparse point: the second cue
  const SeriesPyramid* dense = nullptr;
  int64_t first_step = 0;
  std::span<const std::pair<int64_t, double>> points = {};  ///< sparse, by step
};

/// A horizontal line with its name at the right.
struct Guide {
  double value = 0;
  std::string name;
};

struct ChartSpec {
  std::span<const Series> series = {};
  std::span<const Guide> guides = {};
  bool log_y = false, log_x = false;
  std::optional<int64_t> last_step = {};      ///< right end; empty: the last point
  std::optional<int64_t> scrubber = {};       ///< step of the vertical line
  bool axes = true;                           ///< numbers at the axes
  std::optional<double> low = {}, high = {};  ///< ends of the y axis; empty: from the data and the guides
};

struct ChartResult {
  std::optional<int64_t> hovered_step;
  std::optional<int64_t> scrubbed;  ///< step that the pointer drags the scrubber to
  Rect plot;
};

ChartResult line_chart(const Ui& ui, std::string_view id, const Rect& rect, const ChartSpec& spec);

}  // namespace headlight::app
