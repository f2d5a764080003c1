// Buttons, segments, toggles, the slider pill. Each takes a rectangle, reports it under its id, and returns
// what the user did; *_width says how wide it wants to be.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "app/widgets/icons.h"
#include "app/widgets/ui.h"

namespace headlight::app {

/// Height of the controls of a bar, CSS pixels.
inline constexpr float control_height = 34;

/// One of several. Returns the index that was clicked. `ids` name the segments: "<id>.<ids[i]>".
struct Segment {
  std::string_view id;
  std::string_view label;
  bool enabled = true;
};
[[nodiscard]] float segmented_width(const Ui& ui, std::span<const Segment> segments);
std::optional<size_t> segmented(const Ui& ui, std::string_view id, const Rect& rect,
                                std::span<const Segment> segments, std::optional<size_t> chosen);

/// Several that are on or off each. Returns the index that was clicked.
struct Toggle {
  std::string_view id;
  std::string_view label;
  bool on = false;
  bool enabled = true;
};
[[nodiscard]] float toggles_width(const Ui& ui, std::span<const Toggle> toggles);
std::optional<size_t> toggles(const Ui& ui, std::string_view id, const Rect& rect,
                              std::span<const Toggle> toggles);

/// A value between `low` and `high`, on a logarithmic scale when `logarithmic`; returns the new value while
/// it is dragged, scrolled or set back to `reset` by a double click.
struct SliderSpec {
  double low = 0, high = 1;
  bool logarithmic = false;
  double reset = 1;
  int digits = 2;
};
std::optional<double> slider_pill(const Ui& ui, std::string_view id, const Rect& rect, double value,
                                  const SliderSpec& spec);

/// A button with an icon, a label or both. `main`: in the accent colour.
struct ButtonSpec {
  std::optional<Icon> icon = std::nullopt;
  std::string_view label = {};
  bool main = false;
  bool enabled = true;
  std::string_view tooltip = {};
};
[[nodiscard]] float button_width(const Ui& ui, const ButtonSpec& spec);
bool button(const Ui& ui, std::string_view id, const Rect& rect, const ButtonSpec& spec);

/// A pill with a name, a muted detail in numbers and an arrow when it opens something.
struct PillSpec {
  std::string_view label = {};
  std::string_view detail = {};
  bool opens = false;
};
[[nodiscard]] float pill_width(const Ui& ui, const PillSpec& spec);
bool pill(const Ui& ui, std::string_view id, const Rect& rect, const PillSpec& spec);

}  // namespace headlight::app
