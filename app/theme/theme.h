// Colour tokens of the window: one meaning, one colour, in three themes. Every widget and view takes its
// colours from here.
#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "app/theme/color.h"
#include "core/tape/op.h"

namespace headlight::app {

enum class ThemeKind { dark, light, high_contrast };

/// Colours of one theme. Texts reach a contrast of 4.5 : 1 on each surface that they stand on (tested).
struct Theme {
  ThemeKind kind = ThemeKind::dark;
  bool dark = true;      ///< light text on dark ground
  Color background = 0;  ///< behind the stage
  Color surface = 0;     ///< panels
  Color raised = 0;      ///< pills, chips, buttons
  Color hovered = 0;     ///< raised, under the pointer
  Color line = 0;        ///< separators
  Color track = 0;       ///< slider tracks, time bars
  Color text = 0;
  Color strong = 0;             ///< values that matter, names
  Color past = 0;               ///< steps before the playhead
  Color future = 0;             ///< steps after it
  Color muted = 0;              ///< labels
  Color accent = 0;             ///< the main action, the playhead
  Color on_accent = 0;          ///< text on it
  Color chosen = 0;             ///< ground of the chosen segment
  Color on_chosen = 0;          ///< text on it
  Color row = 0;                ///< ground of the current row and chip
  Color bar = 0;                ///< bars and histograms
  Color masked = 0, hatch = 0;  ///< ground and stripes of masked cells
  Color neutral = 0;            ///< zero of the diverging colour map
  Color warning = 0, error = 0;
  /// One for each meaning of a piece of an equation; also lines, borders, text.
  Color query = 0, key = 0, value = 0, attention = 0, mlp = 0, residual = 0, norm = 0, gradient = 0,
        logits = 0, position = 0;

  [[nodiscard]] Color meaning(EquationPart::Meaning m) const;
};

[[nodiscard]] const Theme& theme(ThemeKind kind);
[[nodiscard]] std::span<const ThemeKind> theme_kinds();
/// "dark", "light", "high-contrast": in files, commands and on the command line.
[[nodiscard]] std::string_view theme_name(ThemeKind kind);
[[nodiscard]] std::optional<ThemeKind> theme_from_name(std::string_view name);

/// What a buffer is about, from its hook name; its colour in titles, borders and lines.
[[nodiscard]] EquationPart::Meaning buffer_meaning(std::string_view hook_name);

}  // namespace headlight::app
