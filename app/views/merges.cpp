// See merges.h.
#include "app/views/merges.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "app/views/run_data.h"
#include "app/views/view_parts.h"
#include "app/widgets/bars.h"
#include "app/widgets/buttons.h"
#include "app/widgets/flow.h"

namespace headlight::app {
namespace {

constexpr float two_columns_css = 600, side_css = 380, chip_css = 56, pill_css = 28;

}  // namespace

MergeRequest merge_request(const SessionState& state, const Snapshot& snapshot) {
  MergeRequest request;
  request.text = state.option("tokens.text", snapshot.prompt);
  if (request.text.empty()) request.text = snapshot.prompt;
  if (state.option("tokens.merges", "learn") == "model" && byte_pairs(snapshot) != nullptr) {
    request.tokenizer = snapshot.model.tokenizer;
  }
  const std::string step = state.option("tokens.step", "0");
  std::from_chars(step.data(), step.data() + step.size(), request.step);
  return request;
}

MergeScene prepare_merges(const MergeRequest& request) {
  const auto* own = dynamic_cast<const BpeTokenizer*>(request.tokenizer.get());
  return own != nullptr ? prepare_own_merges(*own, request.text, request.step)
                        : prepare_learning(request.text, request.step);
}

void MergesView::draw_header(const ViewContext& c, CommandQueue& commands, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  Flow flow(ui, rest, control_height, 12, 8);
  const std::string& title = ui.tr("view.tokens");
  ui.text_in(flow.next(ui.measure(TextStyle::display, title).x + ui.px(4)), TextStyle::display, t.text,
             title);

  const bool has_own = byte_pairs(c.snapshot) != nullptr;
  const std::string own = fmt::format(fmt::runtime(ui.tr("tokens.own")), c.snapshot.model.name);
  const std::array<Segment, 2> whose = {{{"learn", ui.tr("tokens.learn"), true}, {"model", own, has_own}}};
  if (const auto i = segmented(ui, "tokens.merges", flow.next(segmented_width(ui, whose)), whose,
                               prepared_.tokenizer ? 1 : 0)) {
    commands.push("tokens.merges", std::string(whose[*i].id));
  }
  if (const Control* control = ui.controls().find("tokens.merges.model"); control != nullptr && !has_own) {
    tooltip_over(ui, control->rect, ui.tr("tokens.no_own"));
  }
  Rect box = flow.next(std::min(ui.px(440), rest.width()));
  box = box.inset(0, (box.height() - ui.px(field_height)) / 2);
  if (const auto typed = field(ui, "tokens.text", box, edit_,
                               {.value = prepared_.text,
                                .hint = ui.tr("tokens.text_hint"),
                                .tooltip = ui.tr("tokens.text_tip"),
                                .align = Align::left})) {
    commands.push("tokens.text", *typed);
  }
  rest.y0 = flow.bottom() + ui.px(14);

  // The count that falls while the vocabulary grows: what byte pairs are for.
  const std::string facts = fmt::format(
      fmt::runtime(ui.tr("tokens.facts")), scene_.step, scene_.steps, scene_.bytes, scene_.tokens,
      number_text(
          scene_.tokens > 0 ? static_cast<double>(scene_.bytes) / static_cast<double>(scene_.tokens) : 0, 2));
  ui.text_in(rest.cut_top(ui.line_height(TextStyle::operation)), TextStyle::operation, t.text, facts);
  rest.cut_top(ui.px(14));
}

void MergesView::draw_text(const ViewContext& c, Rect& rest, int rows) const {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  picture_title(ui, rest.cut_top(ui.line_height(TextStyle::heading)), ui.tr("tokens.cut"),
                ui.tr("tokens.cut_note"));
  rest.cut_top(ui.px(10));
  const float gap = ui.px(3), between = ui.px(14), height = ui.px(chip_css), step = height + ui.px(10);
  float x = rest.x0, y = rest.y0;
  int row = 0;
  for (size_t p = 0; p < scene_.pieces.size(); ++p) {
    for (size_t i = 0; i < scene_.pieces[p].size(); ++i) {
      const MergeToken& token = scene_.pieces[p][i];
      const std::string id = std::to_string(token.id);
      const float width =
          std::max(ui.measure(TextStyle::display, token.text).x, ui.measure(TextStyle::mono_small, id).x) +
          2 * ui.px(7);
      if (x > rest.x0 && x + width > rest.x1) {
        x = rest.x0;
        y += step;
        row += 1;
        if (row == rows) {
          ui.text_in({x, y, rest.x1, y + ui.px(20)}, TextStyle::body, t.muted, "…");
          rest.y0 = y + ui.px(20);
          return;
        }
      }
      Rect r{x, y, std::min(x + width, rest.x1), y + height};
      x += width + gap;
      const Press press = ui.press(fmt::format("tokens.chip.{}.{}", p, i), r);
      ui.fill(r, token.fresh ? t.accent : press.hovered ? t.hovered : t.raised, 6);
      if (token.next) ui.outline(r, t.key, 2, 6);
      const Color ink = token.fresh ? t.on_accent : t.text;
      Rect below = r;
      ui.text_in(below.cut_top(height * 0.64f), TextStyle::display, ink, token.text, Align::centre);
      ui.text_in(below, TextStyle::mono_small, token.fresh ? t.on_accent : t.muted, id, Align::centre);
      if (press.hovered) ui.tooltip(fmt::format("{}\nid {} · {}", token.text, token.id, token.bytes));
    }
    x += between - gap;
  }
  rest.y0 = y + step;
}

void MergesView::draw_taken(const ViewContext& c, CommandQueue& commands, Rect rest) const {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  if (rest.height() < ui.px(60)) return;
  picture_title(ui, rest.cut_top(ui.line_height(TextStyle::heading)), ui.tr("tokens.taken"),
                ui.tr("tokens.taken_note"));
  rest.cut_top(ui.px(10));
  if (scene_.merges.empty()) {
    ui.paragraph(rest, TextStyle::body, t.muted,
                 ui.tr(scene_.steps > 0 ? "tokens.none_yet" : "tokens.none_at_all"));
    return;
  }
  // Rows are filled from the front; of many merges the last ones are shown.
  Flow flow(ui, rest, pill_css, 6, 6);
  std::vector<std::pair<Rect, int>> places;
  std::vector<std::string> texts;
  for (size_t i = 0; i < scene_.merges.size(); ++i) {
    const TakenMerge& merge = scene_.merges[i];
    const std::string number =
        merge.rank < 0 ? std::to_string(i + 1) : fmt::format("#{}", grouped_text(merge.rank));
    texts.push_back(fmt::format("{}  {} + {} → {}", number, merge.left, merge.right, merge.merged));
    const Rect place = flow.next(ui.measure(TextStyle::mono_large, texts.back()).x + 2 * ui.px(8));
    places.emplace_back(place, flow.rows() - 1);
  }
  const int fitting = std::max(1, static_cast<int>((rest.height() + ui.px(6)) / ui.px(pill_css + 6)));
  const int hidden = std::max(0, flow.rows() - fitting);
  const float lift = static_cast<float>(hidden) * ui.px(pill_css + 6);
  for (size_t i = 0; i < texts.size(); ++i) {
    auto [r, row] = places[i];
    if (row < hidden) continue;
    r.y0 -= lift;
    r.y1 -= lift;
    const bool newest = i + 1 == texts.size();
    const Press press = ui.press(fmt::format("tokens.taken.{}", i + 1), r);
    ui.fill(r, newest ? t.accent : press.hovered ? t.hovered : t.raised, 6);
    ui.text_in(r, TextStyle::mono_large, newest ? t.on_accent : t.past, texts[i], Align::centre);
    if (press.hovered) {
      ui.tooltip(fmt::format(fmt::runtime(ui.tr("tokens.taken_tip")), scene_.merges[i].count));
    }
    if (press.clicked) commands.push("tokens.step", std::to_string(i + 1));
  }
}

void MergesView::draw_pairs(const ViewContext& c, Rect rest) const {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const bool own = prepared_.tokenizer != nullptr;
  picture_title(ui, rest.cut_top(ui.line_height(TextStyle::heading)),
                ui.tr(own ? "tokens.by_rank" : "tokens.by_count"));
  rest.cut_top(ui.px(4));
  rest.cut_top(ui.paragraph(rest, TextStyle::label, t.muted,
                            ui.tr(own ? "tokens.by_rank_note" : "tokens.by_count_note")));
  rest.cut_top(ui.px(10));
  if (scene_.pairs.empty()) return;
  const auto ranks = own ? static_cast<double>(byte_pairs(c.snapshot)->model().merges.size()) : 0;
  // One scale for all steps: the bars shorten as the frequent pairs are used up.
  const auto largest = static_cast<double>(std::max<int64_t>(scene_.most, 1));
  const float row = ui.px(27);
  for (size_t i = 0; i < scene_.pairs.size() && rest.height() >= row; ++i) {
    const MergePair& pair = scene_.pairs[i];
    const bool winner = i == 0 && !scene_.last;
    Rect r = rest.cut_top(row);
    const std::string name = fmt::format("{} + {}", pair.left, pair.right);
    const std::string number = !own            ? std::to_string(pair.count)
                               : pair.rank < 0 ? std::string("–")
                                               : fmt::format("#{}", grouped_text(pair.rank));
    ui.text_in(r.cut_left(ui.px(128)), TextStyle::mono_large, winner ? t.key : t.text, name);
    r.cut_left(ui.px(8));
    ui.text_in(r.cut_right(ui.px(72)), TextStyle::mono_large, winner ? t.key : t.past, number, Align::right);
    r.cut_right(ui.px(8));
    // Counts as they are; ranks on a logarithmic scale, the earliest merge the longest.
    const double length = !own ? static_cast<double>(pair.count) / largest
                          : pair.rank < 0
                              ? 0
                              : 1 - std::log1p(static_cast<double>(pair.rank)) / std::log1p(ranks);
    const Rect bar =
        Rect{r.x0, r.y0, r.x0 + std::max(ui.px(2), static_cast<float>(length) * r.width()), r.y1}.inset(
            0, ui.px(6));
    if (pair.rank >= 0 || !own) ui.fill(bar, winner ? t.key : t.bar, 3);
  }
}

void MergesView::draw(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  const MergeRequest request = merge_request(c.session.state, c.snapshot);
  if (!ready_ || !(request == prepared_)) {
    prepared_ = request;
    scene_ = prepare_merges(request);
    ready_ = true;
    for (const auto& piece : scene_.pieces) {
      for (const MergeToken& token : piece) ui.fonts().need(token.text);
    }
  }
  Rect rest = c.area;
  draw_header(c, commands, rest);
  if (rest.height() < ui.px(40)) return;
  if (rest.width() >= ui.px(two_columns_css)) {
    Rect right = rest.cut_right(std::min(ui.px(side_css), rest.width() * 0.38f));
    rest.cut_right(ui.px(36));
    draw_pairs(c, right);
  } else {
    const Rect below = rest.cut_bottom(rest.height() * 0.4f);
    draw_pairs(c, below);
  }
  const int rows = std::max(1, static_cast<int>(rest.height() * 0.66f / ui.px(chip_css + 10)));
  draw_text(c, rest, rows);
  rest.cut_top(ui.px(14));
  draw_taken(c, commands, rest);
}

}  // namespace headlight::app
