// Line charts.
#include "app/widgets/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/views/run_data.h"

namespace headlight::app {
namespace {

struct Axis2 {
  double x0 = 0, x1 = 1, y0 = 0, y1 = 1;
  bool log_x = false, log_y = false;
  Rect plot;

  [[nodiscard]] double unit_x(double step) const {
    if (!log_x) return (step - x0) / std::max(x1 - x0, 1e-12);
    return std::log((std::max(step, x0) + 1) / (x0 + 1)) / std::max(std::log((x1 + 1) / (x0 + 1)), 1e-12);
  }
  [[nodiscard]] float x(double step) const {
    return plot.x0 + static_cast<float>(unit_x(step)) * plot.width();
  }
  [[nodiscard]] double step(float at) const {
    const double u = std::clamp(static_cast<double>((at - plot.x0) / std::max(plot.width(), 1.f)), 0.0, 1.0);
    return log_x ? (x0 + 1) * std::pow((x1 + 1) / (x0 + 1), u) - 1 : x0 + u * (x1 - x0);
  }
  [[nodiscard]] float y(double value) const {
    const double v = log_y ? std::log(std::max(value, 1e-12)) : value;
    const double a = log_y ? std::log(std::max(y0, 1e-12)) : y0,
                 b = log_y ? std::log(std::max(y1, 1e-12)) : y1;
    const double u = std::clamp((v - a) / std::max(b - a, 1e-12), -4.0, 5.0);
    return plot.y1 - static_cast<float>(u) * plot.height();
  }
};

void spread(double& low, double& high, double value, bool log) {
  if (!std::isfinite(value) || (log && value <= 0)) return;
  low = std::min(low, value);
  high = std::max(high, value);
}

Axis2 make_axis(const ChartSpec& spec) {
  Axis2 a;
  a.log_x = spec.log_x;
  a.log_y = spec.log_y;
  double low = INFINITY, high = -INFINITY;
  double first = INFINITY, last = -INFINITY;
  for (const Series& s : spec.series) {
    if (s.dense != nullptr && s.dense->size() > 0) {
      const auto e = s.dense->extremes(0, s.dense->size());
      spread(low, high, e.low, spec.log_y);
      spread(low, high, e.high, spec.log_y);
      first = std::min(first, static_cast<double>(s.first_step));
      last = std::max(last, static_cast<double>(s.first_step) + static_cast<double>(s.dense->size()) - 1);
    }
    for (const auto& [step, value] : s.points) {
      spread(low, high, value, spec.log_y);
      first = std::min(first, static_cast<double>(step));
      last = std::max(last, static_cast<double>(step));
    }
  }
  for (const Guide& g : spec.guides) spread(low, high, g.value, spec.log_y);
  if (first > last) first = 0, last = 1;
  if (low > high) low = 0, high = 1;
  a.x0 = first;
  a.x1 = std::max({spec.last_step ? static_cast<double>(*spec.last_step) : last, last, first + 1});
  const double margin = spec.log_y ? 1.08 : (high - low) * 0.06 + (high == low ? 0.5 : 0);
  a.y0 = spec.low.value_or(spec.log_y ? low / margin : low - margin);
  a.y1 = spec.high.value_or(spec.log_y ? high * margin : high + margin);
  return a;
}

/// A dashed line through all points, its pattern going on over the corners: along x, or along the line's
/// length.
void dashed_polyline(std::span<const ImVec2> points, Color color, float width, float on, float off,
                     bool along_x) {
  constexpr float tiny = 1e-3f;  // rounding must not hold the pattern up
  ImDrawList& list = Ui::draw();
  std::vector<ImVec2> dash;
  const auto flush = [&] {
    if (dash.size() > 1) list.AddPolyline(dash.data(), static_cast<int>(dash.size()), color, 0, width);
    dash.clear();
  };
  float phase = 0;  // pixels into the pattern
  for (size_t i = 0; i + 1 < points.size(); ++i) {
    const ImVec2 p = points[i], d{points[i + 1].x - p.x, points[i + 1].y - p.y};
    const float length = along_x ? std::abs(d.x) : std::hypot(d.x, d.y);
    const auto at = [&](float t) { return ImVec2{p.x + d.x * t, p.y + d.y * t}; };
    if (length <= 0) {
      if (phase < on - tiny) dash.push_back(points[i + 1]);
      continue;
    }
    for (float done = 0; done < length;) {
      const bool drawing = phase < on - tiny;
      const float step = std::min((drawing ? on : on + off) - phase, length - done);
      if (drawing) {
        if (dash.empty()) dash.push_back(at(done / length));
        dash.push_back(at((done + step) / length));
      }
      done += std::max(step, tiny);
      phase += step;
      if (drawing && phase >= on - tiny) flush();
      if (phase >= on + off - tiny) phase = 0;
    }
  }
  flush();
}

/// The line of a dense series. Where a pixel holds several values it goes through their means, on a faint
/// band from the smallest to the largest.
void dense_line(const Ui& ui, const Axis2& a, const Series& s, std::vector<ImVec2>& line) {
  constexpr float band_opacity = 0.3f;
  const auto columns = static_cast<size_t>(std::max(a.plot.width(), 1.f));
  const auto offset = static_cast<double>(s.first_step);
  const auto size = static_cast<double>(s.dense->size());
  for (size_t c = 0; c <= columns; ++c) {
    const float x = a.plot.x0 + static_cast<float>(c);
    // The values whose places are within half a pixel.
    const double from = std::max(std::ceil(a.step(x - 0.5f) - offset), 0.0);
    const double to = std::min(c == columns ? size : std::ceil(a.step(x + 0.5f) - offset), size);
    if (from >= to) continue;
    const auto first = static_cast<size_t>(from), last = static_cast<size_t>(to);
    const auto e = s.dense->extremes(first, last);
    if (e.count == 0) continue;
    if (last - first == 1) {
      line.push_back({a.x(from + offset), a.y(e.low)});
      continue;
    }
    line.push_back({x, a.y(e.mean())});
    const float top = a.y(e.high), bottom = a.y(e.low);
    if (!s.dashed && bottom - top > 1)
      ui.fill({x - 0.5f, top, x + 0.5f, bottom}, fade(s.color, band_opacity));
  }
}

void draw_series(const Ui& ui, const Axis2& a, const Series& s) {
  ImDrawList& list = Ui::draw();
  const float width = std::max(1.f, s.width_css * ui.scale());
  std::vector<ImVec2> line;
  if (s.dense != nullptr) dense_line(ui, a, s, line);
  for (const auto& [step, value] : s.points)
    if (std::isfinite(value)) line.push_back({a.x(static_cast<double>(step)), a.y(value)});
  if (s.dashed) {
    dashed_polyline(line, s.color, width, s.on_css * ui.scale(), s.off_css * ui.scale(), s.dense != nullptr);
  } else if (line.size() > 1) {
    list.AddPolyline(line.data(), static_cast<int>(line.size()), s.color, 0, width);
  }
  if (s.markers || line.size() == 1)
    for (const auto& p : line) list.AddCircleFilled(p, ui.px(2.5f), s.color, 12);
}

/// A round number at or above x: 1, 2 or 5 times a power of ten.
double round_step(double x) {
  const double p = std::pow(10, std::floor(std::log10(std::max(x, 1e-12))));
  for (const double m : {1.0, 2.0, 5.0})
    if (m * p >= x) return m * p;
  return 10 * p;
}

std::string tick_text(double v) { return fmt::format("{:.6g}", v); }

void draw_axes(const Ui& ui, const Axis2& a) {
  const Theme& t = ui.theme();
  const float line = ui.line_height(TextStyle::mono_small);
  if (a.log_y) {
    float last = INFINITY;
    for (double p = std::pow(10, std::floor(std::log10(std::max(a.y0, 1e-12)))); p <= a.y1; p *= 10) {
      for (const double m : {1.0, 2.0, 5.0}) {
        const float y = a.y(m * p);
        if (m * p < a.y0 || m * p > a.y1 || last - y < line * 1.4f) continue;
        last = y;
        ui.horizontal(a.plot.x0, a.plot.x1, y, fade(t.line, 0.7f));
        ui.text_in({a.plot.x0 - ui.px(60), y - line / 2, a.plot.x0 - ui.px(8), y + line / 2},
                   TextStyle::mono_small, t.muted, tick_text(m * p), Align::right);
      }
    }
  } else {
    const double step =
        round_step((a.y1 - a.y0) / std::max(1.f, std::floor(a.plot.height() / (line * 2.2f))));
    for (double v = std::ceil(a.y0 / step) * step; v <= a.y1 + step * 1e-6; v += step) {
      const float y = a.y(v);
      ui.horizontal(a.plot.x0, a.plot.x1, y, fade(t.line, 0.7f));
      ui.text_in({a.plot.x0 - ui.px(60), y - line / 2, a.plot.x0 - ui.px(8), y + line / 2},
                 TextStyle::mono_small, t.muted, tick_text(std::abs(v) < step * 1e-6 ? 0 : v), Align::right);
    }
  }
  const float widest = ui.measure(TextStyle::mono_small, "000,000").x;
  const auto x_label = [&](double v) {
    const std::string text = fmt::format("{:.0f}", v);
    const float w = ui.measure(TextStyle::mono_small, text).x;
    const float x = std::clamp(a.x(v) - w / 2, a.plot.x0, std::max(a.plot.x1 - w, a.plot.x0));
    ui.text({x, a.plot.y1 + ui.px(4)}, TextStyle::mono_small, t.muted, text);
  };
  if (a.log_x) {
    for (double p = 1; p <= a.x1; p *= 10)
      if (p >= a.x0) x_label(p);
  } else {
    const double step = std::max(
        1.0, round_step((a.x1 - a.x0) / std::max(1.f, std::floor(a.plot.width() / (widest * 1.8f)))));
    for (double v = std::ceil(a.x0 / step) * step; v <= a.x1; v += step) x_label(v);
  }
}

/// Value of a series at a step; NaN where it has none.
double value_at(const Series& s, int64_t step) {
  if (s.dense != nullptr) {
    const int64_t i = step - s.first_step;
    return i >= 0 && i < static_cast<int64_t>(s.dense->size()) ? (*s.dense)[static_cast<size_t>(i)] : NAN;
  }
  double value = NAN;
  for (const auto& [at, v] : s.points)
    if (at <= step) value = v;
  return value;
}

}  // namespace

ChartResult line_chart(const Ui& ui, std::string_view id, const Rect& rect, const ChartSpec& spec) {
  const Theme& t = ui.theme();
  ChartResult result;
  Axis2 a = make_axis(spec);
  const float line = ui.line_height(TextStyle::mono_small);
  float guide_room = 0;
  for (const Guide& g : spec.guides)
    guide_room = std::max(guide_room, ui.measure(TextStyle::mono_small, g.name).x + ui.px(10));
  a.plot = rect;
  a.plot.x1 -= guide_room;
  if (spec.axes) {
    a.plot.x0 += ui.px(60);
    a.plot.y1 -= line + ui.px(4);
    a.plot.y0 += line / 2;
  }
  result.plot = a.plot;
  if (a.plot.empty()) return result;
  const Press press = ui.press(id, a.plot);

  if (spec.axes) draw_axes(ui, a);
  std::vector<float> names;
  for (const Guide& g : spec.guides) {
    const float y = std::clamp(a.y(g.value), a.plot.y0, a.plot.y1);
    ui.dashed({a.plot.x0, y}, {a.plot.x1, y}, t.track, 1, 5, 5);
    float text_y = y - line / 2;
    for (const float other : names)
      if (std::abs(other - text_y) < line) text_y = other + (text_y < other ? -line : line);
    names.push_back(text_y);
    ui.text({a.plot.x1 + ui.px(8), text_y}, TextStyle::mono_small, t.muted, g.name);
  }
  Ui::draw().PushClipRect({a.plot.x0 - ui.px(3), a.plot.y0 - ui.px(3)},
                          {a.plot.x1 + ui.px(3), a.plot.y1 + ui.px(3)}, true);
  for (const Series& s : spec.series) draw_series(ui, a, s);
  Ui::draw().PopClipRect();

  if (spec.scrubber) {
    const float x = a.x(static_cast<double>(*spec.scrubber));
    ui.vertical(std::round(x), a.plot.y0, a.plot.y1, fade(t.strong, 0.45f));
    for (const Series& s : spec.series) {
      const double v = value_at(s, *spec.scrubber);
      if (std::isfinite(v) && s.dense != nullptr)
        Ui::draw().AddCircleFilled({x, std::clamp(a.y(v), a.plot.y0, a.plot.y1)}, ui.px(4), t.strong, 16);
    }
  }
  if (press.hovered || press.held) {
    const auto step = static_cast<int64_t>(std::llround(a.step(ImGui::GetIO().MousePos.x)));
    result.hovered_step = step;
    if (press.held) result.scrubbed = step;
    const float x = a.x(static_cast<double>(step));
    ui.vertical(std::round(x), a.plot.y0, a.plot.y1, fade(t.muted, 0.5f));
    std::string text = fmt::format("{}", step);
    for (const Series& s : spec.series) {
      const double v = value_at(s, step);
      if (std::isfinite(v)) text += fmt::format("\n{} {}", s.name, number_text(v, 3));
    }
    ui.tooltip(text);
  }
  return result;
}

}  // namespace headlight::app
