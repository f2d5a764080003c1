// The bars of the next token's distribution and the strip of what was generated.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/views/generate.h"
#include "app/views/run_data.h"
#include "app/widgets/flow.h"
#include "core/engine/builtin.h"

namespace headlight::app {
namespace {

constexpr float row_css = 24, bar_css = 14, number_css = 66, name_css = 104;

/// Where the columns of the list stand.
struct Columns {
  Rect name, bar, logit, probability, sampled;
};
Columns columns(const Ui& ui, Rect r) {
  Columns at;
  at.name = r.cut_left(ui.px(name_css));
  r.cut_left(ui.px(10));
  at.sampled = r.cut_right(ui.px(number_css));
  at.probability = r.cut_right(ui.px(number_css));
  at.logit = r.cut_right(ui.px(number_css - 8));
  r.cut_right(ui.px(10));
  at.bar = r;
  return at;
}

/// Diagonal stripes, cut off at the edges by arithmetic: a clip rectangle for each bar would cost a draw
/// call.
void hatch(const Rect& r, Color color, float step, float width) {
  const float h = r.height();
  for (float x = r.x0 - h; x < r.x1; x += step) {
    // From the bottom left to the top right of a square of height h.
    const float from = std::max(0.f, r.x0 - x), to = std::min(h, r.x1 - x);
    if (to > from) Ui::draw().AddLine({x + from, r.y1 - from}, {x + to, r.y1 - to}, color, width);
  }
}

/// A probability in at most five characters: "0.123", "7e-8".
std::string probability_text(double p) {
  if (p == 0 || p >= 0.0005) return number_text(p);
  std::string text = fmt::format("{:.0e}", p);
  if (const size_t zero = text.find("e-0"); zero != std::string::npos) text.erase(zero + 2, 1);
  return text;
}

Rect bar_rect(const Ui& ui, const Rect& area, double share) {
  const float middle = area.centre().y, half = ui.px(bar_css) / 2;
  const float length = area.width() * static_cast<float>(std::clamp(share, 0.0, 1.0));
  return {area.x0, middle - half, area.x0 + std::max(length, ui.px(1)), middle + half};
}

void plain_mark(const Ui& ui, const Rect& area, double share) {
  const float x = area.x0 + area.width() * static_cast<float>(std::clamp(share, 0.0, 1.0));
  const float middle = area.centre().y, half = ui.px(bar_css) / 2 + ui.px(2);
  ui.fill({x - ui.px(1), middle - half, x + ui.px(1), middle + half}, ui.theme().logits);
}

}  // namespace

void GenerateView::draw_row(const ViewContext& c, CommandQueue& commands, Rect r, const TokenRow& row) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const Press press = ui.press(fmt::format("generate_view.token.{}", row.token), r, !running_);
  if (press.hovered) ui.fill({r.x0 - ui.px(4), r.y0, r.x1, r.y1}, t.raised, 4);
  const Columns at = columns(ui, r);
  const bool kept = row.fate == TokenRow::Fate::kept;
  ui.text_in(at.name, TextStyle::mono, kept ? t.text : t.muted, row.text);

  const Rect before = bar_rect(ui, at.bar, row.probability / axis_);
  if (kept) {
    ui.fill(bar_rect(ui, at.bar, row.sampled / axis_), t.bar, 3);
  } else {
    ui.fill(before, fade(t.track, 0.25f), 3);
    hatch(before, t.track, ui.px(6), std::max(1.f, ui.scale()));
  }
  ui.outline(before, kept ? t.text : t.muted, 1, 3);
  plain_mark(ui, at.bar, row.plain / axis_);

  ui.text_in(at.logit, TextStyle::mono, t.muted, number_text(row.logit, 2), Align::right);
  ui.text_in(at.probability, TextStyle::mono, kept ? t.past : t.muted, probability_text(row.probability),
             Align::right);
  if (kept)
    ui.text_in(at.sampled, TextStyle::mono_bold, t.strong, probability_text(row.sampled), Align::right);
  else
    ui.text_in(at.sampled, TextStyle::mono, t.muted,
               greedy_                                ? "–"
               : row.fate == TokenRow::Fate::cut_by_k ? "top-k"
               : row.fate == TokenRow::Fate::cut_by_p ? "top-p"
                                                      : "min-p",
               Align::right);
  if (press.hovered)
    ui.tooltip(fmt::format(fmt::runtime(ui.tr("generate_view.row_tip")), row.text, row.token,
                           number_text(row.plain, 4), number_text(row.probability, 4),
                           number_text(row.sampled, 4)));
  if (press.clicked) commands.push("prompt.append", std::to_string(row.token));
}

void GenerateView::draw_distribution(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const Distribution& d = distribution_;
  ui.text_in(area.cut_top(ui.px(20)), TextStyle::heading, t.text, ui.tr("generate_view.next"));
  if (d.rows.empty()) {
    area.cut_top(ui.px(8));
    ui.paragraph(area, TextStyle::small, t.muted, ui.tr("generate_view.none"));
    return;
  }
  axis_ = axis_end(d.rows);

  // What the shapes mean.
  Flow legend(ui, area, 20, 16, 0);
  const auto entry = [&](std::string_view key, auto shape) {
    const std::string& text = ui.tr(key);
    Rect r = legend.next(ui.px(30) + ui.measure(TextStyle::label, text).x + 1);
    Rect box = r.cut_left(ui.px(22)).middle(ui.px(22), ui.px(10));
    shape(box);
    r.cut_left(ui.px(8));
    ui.text_in(r, TextStyle::label, t.muted, text);
  };
  entry("generate_view.legend.plain", [&](const Rect& r) {
    ui.fill({r.centre().x - ui.px(1), r.y0 - ui.px(2), r.centre().x + ui.px(1), r.y1 + ui.px(2)}, t.logits);
  });
  entry("generate_view.legend.before", [&](const Rect& r) { ui.outline(r, t.text, 1, 3); });
  entry("generate_view.legend.sampled", [&](const Rect& r) { ui.fill(r, t.bar, 3); });
  entry(greedy_ ? "generate_view.legend.not_first" : "generate_view.legend.cut", [&](const Rect& r) {
    ui.fill(r, fade(t.track, 0.25f), 3);
    hatch(r, t.track, ui.px(6), std::max(1.f, ui.scale()));
    ui.outline(r, t.muted, 1, 3);
  });
  area.y0 = legend.bottom() + ui.px(6);

  // Heads of the columns and the axis of the bars.
  const Columns head = columns(ui, area.cut_top(ui.px(22)));
  ui.text_in(head.logit, TextStyle::label, t.muted, "logit", Align::right);
  ui.text_in(head.probability, TextStyle::label, t.muted, "p(τ)", Align::right);
  ui.text_in(head.sampled, TextStyle::label, t.muted, ui.tr("generate_view.drawn_head"), Align::right);
  const float row_height = ui.px(row_css);
  const auto room = static_cast<size_t>(std::max(0.f, area.height() / row_height));
  if (room == 0) return;
  const bool all = d.rest == 0 && d.rows.size() <= room;
  const size_t shown = all ? d.rows.size() : std::min(d.rows.size(), room - 1);
  const float bottom = area.y0 + row_height * static_cast<float>(shown);
  for (int i = 0; i <= 4; ++i) {
    const float x = std::round(head.bar.x0 + head.bar.width() * static_cast<float>(i) / 4);
    ui.vertical(x, head.bar.y1 - ui.px(3), bottom, fade(t.line, 0.8f));
    if (i % 2 != 0 || head.bar.width() < ui.px(120)) continue;
    const std::string text = fmt::format("{:g}", axis_ * i / 4);
    const float w = ui.measure(TextStyle::mono_small, text).x;
    const float left = i == 0 ? x : i == 4 ? x - w : x - w / 2;
    ui.text({left, head.bar.y0}, TextStyle::mono_small, t.muted, text);
  }
  for (size_t i = 0; i < shown; ++i) draw_row(c, commands, area.cut_top(row_height), d.rows[i]);
  if (all) return;

  // The others in one line.
  double rest_probability = d.rest_probability, rest_sampled = d.rest_sampled;
  for (size_t i = shown; i < d.rows.size(); ++i) {
    rest_probability += d.rows[i].probability;
    rest_sampled += d.rows[i].sampled;
  }
  const int64_t others = d.rest + static_cast<int64_t>(d.rows.size() - shown);
  const Columns at = columns(ui, area.cut_top(row_height));
  ui.text_in({at.name.x0, at.name.y0, at.bar.x1, at.name.y1}, TextStyle::label, t.muted,
             fmt::format(fmt::runtime(ui.tr("generate_view.others")), grouped_text(others)));
  ui.text_in(at.probability, TextStyle::mono, t.muted, probability_text(rest_probability), Align::right);
  ui.text_in(at.sampled, TextStyle::mono, t.muted, probability_text(rest_sampled), Align::right);
}

void GenerateView::draw_strip(const ViewContext& c, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  area.cut_top(ui.px(18));
  ui.text_in(area.cut_top(ui.line_height(TextStyle::section)), TextStyle::section, t.muted,
             upper(ui.tr("generate_view.strip")));
  area.cut_top(ui.px(6));
  const std::vector<TokenMark>& marks = trail_.marks();
  std::vector<size_t> own;
  for (size_t i = 0; i < marks.size(); ++i)
    if (marks[i].origin != TokenMark::Origin::prompt) own.push_back(i);
  if (own.empty()) {
    ui.paragraph(area, TextStyle::small, t.muted, ui.tr("generate_view.strip_empty"));
    return;
  }
  const float axis = ui.px(40);
  const float least = ui.px(12), widest = ui.px(28);
  const float width = area.width() - axis;
  const auto fits = static_cast<size_t>(std::max(1.f, width / least));
  const size_t from = own.size() > fits ? own.size() - fits : 0;
  const float step = std::clamp(width / static_cast<float>(own.size() - from), least, widest);
  const float names = ui.px(44);
  const Rect labels = area.cut_bottom(names);
  // Each of the two pictures has its title above it.
  const float line = ui.line_height(TextStyle::label);
  const float half = std::floor((area.height() - ui.px(6)) / 2);
  Rect top = area.cut_top(half);
  area.cut_top(ui.px(6));
  Rect bottom = area;

  const double most = std::log(static_cast<double>(std::max<int64_t>(distribution_.vocabulary, 2)));
  const auto frame = [&](Rect& r, std::string_view high, std::string_view about) {
    const Rect title = r.cut_top(line + ui.px(3));
    ui.text_in({title.x0 + axis, title.y0, title.x1, title.y1}, TextStyle::label, t.muted, about);
    const float digit = ui.line_height(TextStyle::mono_small);
    ui.text_in({r.x0, r.y0 - digit / 2, r.x0 + axis - ui.px(6), r.y0 + digit / 2}, TextStyle::mono_small,
               t.muted, high, Align::right);
    ui.text_in({r.x0, r.y1 - digit, r.x0 + axis - ui.px(6), r.y1}, TextStyle::mono_small, t.muted, "0",
               Align::right);
    ui.horizontal(r.x0 + axis, r.x1, r.y0, fade(t.line, 0.7f));
    ui.horizontal(r.x0 + axis, r.x1, r.y1 - 1, t.line);
  };
  frame(top, "1", ui.tr("generate_view.strip_probability"));
  frame(bottom, number_text(most, 2), ui.tr("generate_view.strip_entropy"));
  const Tokenizer* tokenizer = c.snapshot.model.tokenizer.get();
  std::vector<std::string> texts;
  bool turned = false;  // all names, as soon as one of them is too long
  for (size_t i = from; i < own.size(); ++i) {
    const size_t at = own[i];
    texts.push_back(at < c.snapshot.prompt_tokens.size()
                        ? axis_text(display_token(tokenizer, c.snapshot.prompt_tokens[at]))
                        : std::string());
    turned = turned || ui.measure(TextStyle::mono_small, texts.back()).x > step;
  }
  for (size_t i = from; i < own.size(); ++i) {
    const TokenMark& mark = marks[own[i]];
    const float origin = top.x0 + axis, place = static_cast<float>(i - from);
    const float x = std::round(origin + step * place), end = std::round(origin + step * (place + 1));
    const float gap = std::min(ui.px(3), step * 0.25f);
    const bool chosen = mark.origin == TokenMark::Origin::chosen;
    const Rect whole{x, top.y0, end, labels.y1};
    const Press press = ui.press(fmt::format("generate_view.strip.{}", own[i]), whole);
    if (press.hovered) ui.fill({x, top.y0, end, bottom.y1}, fade(t.raised, 0.8f));
    const auto bar = [&](const Rect& r, double share, Color color) {
      const float h = std::max(ui.px(1), r.height() * static_cast<float>(std::clamp(share, 0.0, 1.0)));
      ui.fill({x, r.y1 - h, end - gap, r.y1}, color, 2);
      if (chosen) ui.outline({x, r.y1 - h, end - gap, r.y1}, t.key, 1, 2);
    };
    bar(top, mark.probability, t.accent);
    bar(bottom, mark.entropy / most, t.bar);
    const std::string& text = texts[i - from];
    const float mark_width = ui.measure(TextStyle::mono_small, text).x;
    if (!turned)
      ui.text({x + (step - gap - mark_width) / 2, labels.y0 + ui.px(2)}, TextStyle::mono_small, t.muted,
              text);
    else
      // Turned about its right end, which stands under the bar.
      ui.rotated_text(
          {x + (step - gap) / 2 - mark_width * 0.56f, labels.y0 + ui.px(6) + mark_width * 0.83f}, 56,
          TextStyle::mono_small, t.muted,
          mark_width <= names * 1.1f ? text : elide(ui.fonts(), TextStyle::mono_small, text, names * 1.1f));
    if (press.hovered)
      ui.tooltip(fmt::format("{} · {}\n{} {}\n{} {} {}", own[i], text,
                             ui.tr(chosen ? "generate_view.chosen_with" : "generate_view.drawn_with"),
                             number_text(mark.probability), ui.tr("generate_view.entropy"),
                             number_text(mark.entropy), ui.tr("nats")));
  }
}

}  // namespace headlight::app
