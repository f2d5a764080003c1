// Icons as triangles, bars and arcs around the box's centre.
#include "app/widgets/icons.h"

#include <cmath>
#include <numbers>

namespace headlight::app {

void draw_icon(const Ui& ui, Icon icon, const Rect& box, float size, Color color) {
  ImDrawList& list = Ui::draw();
  const ImVec2 c = box.centre();
  const float r = size * ui.scale() / 2;
  const float stroke = std::max(1.f, 1.6f * ui.scale());
  const auto right_triangle = [&](float x, float h) {
    list.AddTriangleFilled({x - h * 0.75f, c.y - h}, {x + h * 0.9f, c.y}, {x - h * 0.75f, c.y + h}, color);
  };
  const auto left_triangle = [&](float x, float h) {
    list.AddTriangleFilled({x + h * 0.75f, c.y - h}, {x - h * 0.9f, c.y}, {x + h * 0.75f, c.y + h}, color);
  };
  const auto bar = [&](float x) {
    list.AddRectFilled({x - stroke / 2, c.y - r}, {x + stroke / 2, c.y + r}, color);
  };
  constexpr float pi = std::numbers::pi_v<float>;
  switch (icon) {
    case Icon::play:
    case Icon::next:
      right_triangle(c.x, r);
      break;
    case Icon::previous:
      left_triangle(c.x, r);
      break;
    case Icon::first:
      left_triangle(c.x + r * 0.35f, r);
      bar(c.x - r);
      break;
    case Icon::last:
      right_triangle(c.x - r * 0.35f, r);
      bar(c.x + r);
      break;
    case Icon::step:
      list.AddTriangle({c.x - r, c.y - r}, {c.x + r * 0.5f, c.y}, {c.x - r, c.y + r}, color, stroke * 0.8f);
      bar(c.x + r);
      break;
    case Icon::pause:
      list.AddRectFilled({c.x - r * 0.75f, c.y - r}, {c.x - r * 0.2f, c.y + r}, color);
      list.AddRectFilled({c.x + r * 0.2f, c.y - r}, {c.x + r * 0.75f, c.y + r}, color);
      break;
    case Icon::restart: {
      list.PathArcTo(c, r * 0.9f, -pi * 0.35f, pi * 1.35f, 24);
      list.PathStroke(color, 0, stroke);
      const ImVec2 tip{c.x + r * 0.9f * std::cos(pi * 1.35f), c.y + r * 0.9f * std::sin(pi * 1.35f)};
      const float h = r * 0.55f;
      list.AddTriangleFilled({tip.x - h, tip.y + h * 0.2f}, {tip.x + h * 0.9f, tip.y - h},
                             {tip.x + h * 0.7f, tip.y + h}, color);
      break;
    }
    case Icon::down:
      list.AddTriangleFilled({c.x - r, c.y - r * 0.5f}, {c.x + r, c.y - r * 0.5f}, {c.x, c.y + r * 0.75f},
                             color);
      break;
    case Icon::right:
      list.AddTriangleFilled({c.x - r * 0.5f, c.y - r}, {c.x + r * 0.75f, c.y}, {c.x - r * 0.5f, c.y + r},
                             color);
      break;
    case Icon::close:
      list.AddLine({c.x - r, c.y - r}, {c.x + r, c.y + r}, color, stroke);
      list.AddLine({c.x - r, c.y + r}, {c.x + r, c.y - r}, color, stroke);
      break;
    case Icon::plus:
      list.AddLine({c.x, c.y - r}, {c.x, c.y + r}, color, stroke);
      [[fallthrough]];
    case Icon::minus:
      list.AddLine({c.x - r, c.y}, {c.x + r, c.y}, color, stroke);
      break;
    case Icon::search:
      list.AddCircle({c.x - r * 0.2f, c.y - r * 0.2f}, r * 0.65f, color, 24, stroke);
      list.AddLine({c.x + r * 0.3f, c.y + r * 0.3f}, {c.x + r, c.y + r}, color, stroke);
      break;
    case Icon::menu:
      for (const float dx : {-0.9f, 0.f, 0.9f}) list.AddCircleFilled({c.x + r * dx, c.y}, stroke, color, 12);
      break;
    case Icon::logo: {
      list.AddCircleFilled(c, r, ui.theme().raised, 48);
      list.PathLineTo(c);
      list.PathArcTo(c, r, pi * 0.61f, pi * 1.31f, 32);
      list.PathFillConvex(ui.theme().accent);
      break;
    }
  }
}

}  // namespace headlight::app
