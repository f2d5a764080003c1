// The type scale: named text styles, each a face at a size, built into one atlas for the current zoom. Built
// when the zoom changes or a text brings characters that are not in the atlas yet.
#pragma once

#include <imgui.h>

#include <array>
#include <filesystem>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace headlight::app {

/// Sizes are CSS pixels at zoom 1; in the comment where each is used.
enum class TextStyle {
  body,            ///< Inter 15: pills, buttons
  body_medium,     ///< Inter medium 15: tabs, segments
  body_semibold,   ///< Inter semibold 15: the main action
  label,           ///< Inter 13: labels of switches
  small,           ///< Inter 14: tree rows, captions
  caption,         ///< Inter 13: hints
  heading,         ///< Inter semibold 14: titles of pictures
  section,         ///< Inter semibold 12, spaced: titles of panels, in capitals
  group,           ///< Inter 12, spaced: groups of the tree, in capitals
  title,           ///< Inter bold 19: the name of the program
  operation,       ///< Inter semibold 17: the operator between two matrices
  mono,            ///< Noto Sans Mono 13: numbers
  mono_small,      ///< Noto Sans Mono 12: axis labels
  mono_large,      ///< Noto Sans Mono 14: names of buffers, arcs' tokens
  mono_index,      ///< Noto Sans Mono 10: indices behind names
  mono_bold,       ///< Noto Sans Mono bold 13: results
  equation,        ///< DejaVu Sans 26
  equation_small,  ///< DejaVu Sans 17: its superscripts and subscripts
  display,         ///< DejaVu Sans 22: titles of views
};
inline constexpr size_t text_style_count = 19;

/// Owns the contents of ImGui's font atlas.
class Fonts {
 public:
  /// Looks for the faces; a missing file falls back to the next face of its chain.
  Fonts();

  /// Builds the atlas of the current ImGui context for this scale (zoom × display density) unless it stands
  /// already. True when it was built: the renderer then uploads it. Call between frames.
  bool build(float scale);
  /// Notes the characters of a text (tokens, file names) that the atlas lacks; the next build() adds them.
  void need(std::string_view utf8);

  [[nodiscard]] ImFont* font(TextStyle style) const { return fonts_[static_cast<size_t>(style)]; }
  [[nodiscard]] float scale() const { return scale_; }
  /// One sentence for each face that had to be replaced, naming the package that holds it.
  [[nodiscard]] const std::vector<std::string>& missing() const { return missing_; }
  /// Size in pixels of one line of text.
  [[nodiscard]] ImVec2 measure(TextStyle style, std::string_view text) const;

 private:
  struct Face {
    std::filesystem::path file;  ///< empty: ImGui's built-in font
    std::vector<char> bytes;
    float line_per_em = 1;  ///< (ascender − descender) / em: ImGui's sizes are line heights
  };
  enum FaceId {
    inter,
    inter_medium,
    inter_semibold,
    inter_bold,
    noto_mono,
    noto_mono_bold,
    dejavu,
    face_count
  };

  void load(FaceId id, std::string_view package, std::initializer_list<const char*> files);
  void add(TextStyle style, FaceId face, float em_px, float spacing_px);

  std::array<Face, face_count> faces_;
  std::array<ImFont*, text_style_count> fonts_{};
  std::vector<std::string> missing_;
  std::vector<ImWchar> ranges_;
  std::set<ImWchar> extra_;
  float scale_ = 0;
  bool stale_ = true;
};

}  // namespace headlight::app
