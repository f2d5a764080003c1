// Lays pieces side by side and breaks lines between them.
#include "app/widgets/equation.h"

namespace headlight::app {
namespace {

/// A run of characters at one height.
struct Chunk {
  std::string_view text;
  int level = 0;  ///< 1 raised, −1 lowered
};

std::vector<Chunk> chunks(std::string_view text) {
  std::vector<Chunk> result;
  size_t plain = 0;
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if ((text[i] != '_' && text[i] != '^') || text[i + 1] != '{') continue;
    const size_t close = text.find('}', i);
    if (close == std::string_view::npos) break;
    if (i > plain) result.push_back({text.substr(plain, i - plain), 0});
    result.push_back({text.substr(i + 2, close - i - 2), text[i] == '^' ? 1 : -1});
    plain = close + 1;
    i = close;
  }
  if (plain < text.size()) result.push_back({text.substr(plain), 0});
  return result;
}

}  // namespace

ImVec2 draw_equation(const Ui& ui, ImVec2 at, const Equation& equation, float width, bool measure_only) {
  const float line = ui.line_height(TextStyle::equation);
  const float small = ui.line_height(TextStyle::equation_small);
  float x = at.x, y = at.y, right = at.x;
  for (const EquationPart& part : equation) {
    const auto pieces = chunks(part.text);
    float wide = 0;
    for (const Chunk& c : pieces)
      wide += ui.measure(c.level == 0 ? TextStyle::equation : TextStyle::equation_small, c.text).x;
    if (x > at.x && x + wide > at.x + width) {
      x = at.x;
      y += line;
    }
    const Color color = ui.theme().meaning(part.meaning);
    for (const Chunk& c : pieces) {
      const TextStyle style = c.level == 0 ? TextStyle::equation : TextStyle::equation_small;
      float top = y;
      if (c.level > 0) top = y - small * 0.08f;
      if (c.level < 0) top = y + line - small * 0.92f;
      if (!measure_only) ui.text({x, top}, style, color, c.text);
      x += ui.measure(style, c.text).x;
    }
    right = std::max(right, x);
  }
  return {right - at.x, y + line - at.y};
}

}  // namespace headlight::app
