// Horizontal bars with a name before and a number behind, and small histograms.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "app/widgets/ui.h"

namespace headlight::app {

struct Bar {
  std::string name;
  std::string index;    ///< small behind the name ("on₃"); empty: none
  double value = 0;     ///< the number shown
  double length = 0;    ///< 0 … 1 of the room
  Color color = 0;      ///< 0: the theme's bars
  bool strong = false;  ///< name in the bar's colour
};

/// Height of one bar, CSS pixels.
inline constexpr float bar_height = 22.5f;

struct BarListSpec {
  float name_css = 64;  ///< room for the name
  float number_css = 52;
  int digits = 3;
};
/// From the top of `rect` downwards, as many as fit. Returns the index of a clicked bar. Ids are "<id>.<i>".
std::optional<size_t> bar_list(const Ui& ui, std::string_view id, const Rect& rect, std::span<const Bar> bars,
                               const BarListSpec& spec);

/// Counts as bars; heights by their square root, so that rare bins are seen.
void histogram(const Ui& ui, const Rect& rect, std::span<const int64_t> counts, Color color);

}  // namespace headlight::app
