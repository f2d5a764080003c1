// The KV-cache duel in the Generate view: the same tokens with a cache of keys and values and without, their
// milliseconds and memory as they come.
#include <fmt/format.h>

#include <array>

#include "app/views/generate.h"
#include "app/views/run_data.h"
#include "app/widgets/chart.h"
#include "app/widgets/flow.h"
#include "core/engine/builtin.h"

namespace headlight::app {
namespace {

constexpr float card_css = 150, gap_css = 24, chart_least_css = 150;

std::string milliseconds_text(double ms) {
  return ms >= 100  ? fmt::format("{:.0f} ms", ms)
         : ms >= 10 ? fmt::format("{:.1f} ms", ms)
                    : fmt::format("{:.2f} ms", ms);
}

std::string megabytes_text(double mb) {
  return mb >= 100 ? fmt::format("{:.0f} MB", mb)
         : mb >= 1 ? fmt::format("{:.1f} MB", mb)
                   : fmt::format("{:.0f} kB", mb * 1e3);
}

/// A short whole or dashed line: the second cue beside the colour.
void sample_line(const Ui& ui, const Rect& r, Color color, bool dashed) {
  const float y = r.centre().y;
  if (dashed) {
    ui.dashed({r.x0, y}, {r.x1, y}, color, 3, 6, 4);
  } else {
    ui.fill({r.x0, y - ui.px(1.5f), r.x1, y + ui.px(1.5f)}, color);
  }
}

/// One way: its name, the newest token's time large, and what it computed and holds.
void draw_card(const Ui& ui, Rect r, std::string_view name, Color color, bool dashed, const DuelSide& side) {
  const Theme& t = ui.theme();
  ui.fill(r, t.surface, 10);
  r = r.inset(ui.px(18), ui.px(14));
  Rect title = r.cut_top(ui.line_height(TextStyle::heading));
  sample_line(ui, title.cut_left(ui.px(30)), color, dashed);
  title.cut_left(ui.px(10));
  ui.text_in(title, TextStyle::heading, t.text, name);
  r.cut_top(ui.px(8));
  Rect big = r.cut_top(ui.line_height(TextStyle::display));
  const std::string last = milliseconds_text(side.last_ms);
  big.cut_left(ui.text_in(big, TextStyle::display, t.strong, last) + ui.px(10));
  ui.text_in(big, TextStyle::small, t.muted, ui.tr("generate_view.duel_per_token"));
  r.cut_top(ui.px(8));
  const auto row = [&](std::string_view key, const std::string& value) {
    Rect line = r.cut_top(ui.px(23));
    ui.text_in(line.cut_right(ui.measure(TextStyle::mono, value).x + 1), TextStyle::mono, t.text, value,
               Align::right);
    line.cut_right(ui.px(8));
    ui.text_in(line, TextStyle::label, t.past, ui.tr(key));
  };
  row("generate_view.duel_total", milliseconds_text(side.total_ms));
  row("generate_view.duel_computed",
      fmt::format("{} · {}", grouped_text(side.computed), grouped_text(side.all_computed)));
  row("generate_view.duel_memory",
      fmt::format("{} + {}", megabytes_text(side.kept_mb), megabytes_text(side.work_mb)));
}

}  // namespace

void GenerateView::draw_duel(const ViewContext& c, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const DuelPicture& d = duel_;

  // What is happening, in one sentence.
  Rect line = area.cut_top(ui.line_height(TextStyle::heading));
  line.cut_left(ui.text_in(line, TextStyle::heading, t.text, ui.tr("generate_view.duel_title")) + ui.px(12));
  ui.text_in(line, TextStyle::label, t.muted,
             fmt::format(fmt::runtime(ui.tr("generate_view.duel_progress")), d.done, d.asked, d.prompt));
  area.cut_top(ui.px(6));
  const bool same = d.differs_at == 0;
  const std::string verdict =
      d.done == 0 ? ui.tr("generate_view.duel_waiting")
      : same      ? fmt::format(fmt::runtime(ui.tr("generate_view.duel_same")), d.done,
                                number_text(d.times_faster, 1))
                  : fmt::format(fmt::runtime(ui.tr("generate_view.duel_differs")), d.differs_at);
  area.cut_top(ui.paragraph(area, TextStyle::body, same ? t.text : t.error, verdict) + ui.px(14));

  const bool wide = area.width() >= ui.px(620);
  const float gap = ui.px(gap_css), half = std::floor((area.width() - gap) / 2);
  const std::string &with = ui.tr("generate_view.duel_cached"), &without = ui.tr("generate_view.duel_plain");
  Rect cards = area.cut_top(ui.px(wide ? card_css : 2 * card_css + 12));
  if (wide) {
    draw_card(ui, cards.cut_left(half), with, t.key, false, d.cached);
    cards.cut_left(gap);
    draw_card(ui, cards, without, t.gradient, true, d.plain);
  } else {
    draw_card(ui, cards.cut_top(ui.px(card_css)), with, t.key, false, d.cached);
    cards.cut_top(ui.px(12));
    draw_card(ui, cards, without, t.gradient, true, d.plain);
  }
  area.cut_top(ui.px(18));

  // The tokens that both wrote, the newest at the end.
  const Tokenizer* tokenizer = c.snapshot.model.tokenizer.get();
  Rect words = area.cut_top(ui.px(27));
  std::vector<std::pair<std::string, float>> chips;
  float room = words.width();
  for (auto token = c.snapshot.duel.tokens.rbegin(); token != c.snapshot.duel.tokens.rend(); ++token) {
    std::string text = chip_text(display_token(tokenizer, token->token));
    const float width = ui.measure(TextStyle::mono, text).x + 2 * ui.px(8);
    if (width > room) break;
    room -= width + ui.px(4);
    chips.emplace_back(std::move(text), width);
  }
  for (auto chip = chips.rbegin(); chip != chips.rend(); ++chip) {
    const Rect r = words.cut_left(chip->second);
    ui.fill(r, t.raised, 6);
    ui.text_in(r, TextStyle::mono, t.text, chip->first, Align::centre);
    words.cut_left(ui.px(4));
  }
  area.cut_top(ui.px(18));

  const auto chart = [&](std::string_view id, Rect r, std::string_view key, const auto& points) {
    ui.text_in(r.cut_top(ui.px(20)), TextStyle::heading, t.text, ui.tr(key));
    r.cut_top(ui.px(6));
    const std::array<Series, 2> series = {
        {{.name = with, .color = t.key, .width_css = 2.5f, .markers = true, .points = points(d.cached)},
         {.name = without,
          .color = t.gradient,
          .width_css = 2.5f,
          .dashed = true,
          .markers = true,
          .points = points(d.plain)}}};
    line_chart(ui, id, r, {.series = series, .last_step = std::max<int64_t>(d.asked, 2), .low = 0.0});
  };
  if (d.done == 0 || area.height() < ui.px(chart_least_css)) return;
  const auto times = [](const DuelSide& side) { return std::span(side.milliseconds); };
  const auto bytes = [](const DuelSide& side) { return std::span(side.megabytes); };
  if (wide) {
    chart("generate_view.duel_time", area.cut_left(half), "generate_view.duel_time", times);
    area.cut_left(gap);
    chart("generate_view.duel_bytes", area, "generate_view.duel_bytes", bytes);
  } else if (area.height() >= 2 * ui.px(chart_least_css)) {
    chart("generate_view.duel_time", area.cut_top(std::floor(area.height() / 2) - ui.px(8)),
          "generate_view.duel_time", times);
    area.cut_top(ui.px(16));
    chart("generate_view.duel_bytes", area, "generate_view.duel_bytes", bytes);
  } else {
    chart("generate_view.duel_time", area, "generate_view.duel_time", times);
  }
}

}  // namespace headlight::app
