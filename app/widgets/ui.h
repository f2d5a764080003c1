// What every widget and view draws with: theme, fonts, language, scale, the draw list, hit tests. One object
// for a frame, made by App; no widget keeps state of its own.
#pragma once

#include <imgui.h>

#include <string>
#include <string_view>

#include "app/base/rect.h"
#include "app/i18n/strings.h"
#include "app/render/heat_map.h"
#include "app/theme/fonts.h"
#include "app/theme/theme.h"
#include "app/widgets/controls.h"

namespace headlight::app {

/// What the pointer does to a control in this frame.
struct Press {
  bool hovered = false;
  bool held = false;     ///< button down since it was pressed here
  bool clicked = false;  ///< released here
  bool right_clicked = false;
  bool double_clicked = false;
};

enum class Align { left, centre, right };

class Ui {
 public:
  struct Parts {
    Fonts& fonts;
    const Strings& strings;
    Controls& controls;
    HeatMaps& heat_maps;
  };
  /// `scale`: pixels for one CSS pixel (zoom × display density).
  Ui(Parts parts, ThemeKind theme, Language language, float scale, ColorMap magnitudes, bool motion);

  /// CSS pixels to whole pixels.
  [[nodiscard]] float px(float css) const { return std::round(css * scale_); }
  [[nodiscard]] float scale() const { return scale_; }
  [[nodiscard]] const Theme& theme() const { return theme_; }
  [[nodiscard]] Language language() const { return language_; }
  /// The colour map for magnitudes that the user chose.
  [[nodiscard]] ColorMap magnitudes() const { return magnitudes_; }
  /// False: animations jump to their end.
  [[nodiscard]] bool motion() const { return motion_; }
  [[nodiscard]] Controls& controls() const { return parts_.controls; }
  [[nodiscard]] Fonts& fonts() const { return parts_.fonts; }
  [[nodiscard]] const Strings& strings() const { return parts_.strings; }
  /// The text of this key in the current language.
  [[nodiscard]] const std::string& tr(std::string_view key) const {
    return parts_.strings.get(language_, key);
  }
  /// Draw list of the current ImGui window.
  [[nodiscard]] static ImDrawList& draw() { return *ImGui::GetWindowDrawList(); }

  // Text. Colours come from theme().
  [[nodiscard]] ImVec2 measure(TextStyle style, std::string_view text) const;
  [[nodiscard]] float line_height(TextStyle style) const { return parts_.fonts.font(style)->FontSize; }
  /// Top left corner at `at`; returns the width.
  float text(ImVec2 at, TextStyle style, Color color, std::string_view text) const;
  /// In the middle of the height of `rect`, cut with "…" (and reported to Controls) where too long.
  float text_in(const Rect& rect, TextStyle style, Color color, std::string_view text,
                Align align = Align::left) const;
  /// Broken into lines at spaces; returns the height. Draws nothing when `color` is 0.
  float paragraph(const Rect& rect, TextStyle style, Color color, std::string_view text) const;
  /// Rises to the right at `degrees` from `at`, the left end of its baseline's middle.
  void rotated_text(ImVec2 at, float degrees, TextStyle style, Color color, std::string_view text) const;

  // Shapes.
  void fill(const Rect& r, Color color, float radius_css = 0) const;
  void outline(const Rect& r, Color color, float width_css = 1, float radius_css = 0) const;
  void horizontal(float x0, float x1, float y, Color color) const;
  void vertical(float x, float y0, float y1, Color color) const;
  void dashed(ImVec2 a, ImVec2 b, Color color, float width_css, float on_css, float off_css) const;

  /// A heat map; `cells` says which columns (x) and rows (y) of the plane fill `rect`.
  void heat_map(const Rect& rect, HeatMap map, const Rect& cells) const;

  // Input.
  /// Makes `rect` a control. A disabled one is registered but takes no press.
  Press press(std::string_view id, const Rect& rect, bool enabled = true) const;
  /// Shown beside the pointer while the control of the last press() is hovered.
  void tooltip(std::string_view text) const;

 private:
  Parts parts_;
  const Theme& theme_;
  Language language_;
  float scale_;
  ColorMap magnitudes_;
  bool motion_;
};

/// The longest head of `text` that fits `width` with "…" behind it.
[[nodiscard]] std::string elide(const Fonts& fonts, TextStyle style, std::string_view text, float width);

}  // namespace headlight::app
