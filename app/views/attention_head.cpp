// The selected head of the Attention view: its matrix, leak meter, row entropy, detectors, arcs.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "app/views/attention.h"
#include "app/views/view_parts.h"
#include "app/widgets/arcs.h"

namespace headlight::app {
namespace {

// CSS pixels.
constexpr float title_css = 26, largest_cell_css = 44;
constexpr float entropy_css = 92, entropy_bars_css = 58, leak_css = 52;
constexpr float chip_css = 28, chip_row_css = 34, side_chips_css = 190;
/// A matrix below this size says less than the numbers around it.
constexpr float smallest_matrix_css = 190;
/// No matrix is drawn below this one: nobody could hit a cell.
constexpr float least_matrix_css = 16;
/// Tokens in one picture of arcs; longer prompts show a part.
constexpr int64_t most_arc_tokens = 96;
/// The lightest curve of the query that is lit.
constexpr float lightest_of_query = 0.02f;

bool pointer_dragged() {
  const ImGuiIO& io = ImGui::GetIO();
  return io.MouseDragMaxDistanceSqr[0] > io.MouseDragThreshold * io.MouseDragThreshold;
}

}  // namespace

void AttentionView::draw_head(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const std::string title = fmt::format(fmt::runtime(ui.tr("attention.head")), head_name(block_, head_));
  std::string note = ui.tr(window_.zoom > 1 ? "attention.zoomed" : "attention.zoom");
  const bool has_note = grid_.T >= 32 || window_.zoom > 1 || large_.enlarged;
  if (large_.enlarged && !c.failure.empty()) {
    note = c.failure;
  } else if (large_.enlarged) {
    note = c.recording ? fmt::format(fmt::runtime(ui.tr("attention.recording")), head_name(block_, head_))
                       : ui.tr("attention.enlarged");
  }
  const Rect title_row = area.cut_top(ui.px(title_css));
  HeatStyle scale = large_.style;
  scale.map = grid_.is_signed ? ColorMap::diverging : ui.magnitudes();
  scale_line(ui, picture_title(ui, title_row, title, has_note ? note : ""), scale, 2);
  if (large_.map.plane.empty()) {
    ui.paragraph(area, TextStyle::small, t.muted, ui.tr("attention.missing.head"));
    return;
  }

  if (margins_scale_ != ui.scale()) {
    MatrixSpec labels;
    labels.row_labels = labels.col_labels = labels_;
    margins_ = matrix_margins(ui, labels);
    margins_scale_ = ui.scale();
  }
  if (grid_.runs.shown->with_cache()) return draw_row(c, commands, area);
  const bool measured = !large_.entropy.empty(), with_chips = !grid_.heads.empty();
  if (leaks() && area.height() >= ui.px(leak_css)) draw_leak(c, area.cut_top(ui.px(leak_css)));
  const auto T = static_cast<float>(grid_.T);
  const auto cell_in = [&](float width, float height) {
    const float cell = std::min(
        {(width - margins_.left - margins_.right) / T, (height - margins_.top) / T, ui.px(largest_cell_css)});
    return cell >= 3 ? std::floor(cell) : cell;
  };
  // The chips stand below the matrix, or beside it where that leaves it larger. Row entropy gives way to a
  // small matrix.
  const float narrow = ui.px(side_chips_css), entropy = measured ? ui.px(entropy_css) : 0;
  const ImVec2 below = with_chips ? draw_detectors(c, area, true) : ImVec2{};
  const ImVec2 beside =
      with_chips ? draw_detectors(c, {area.x0, area.y0, area.x0 + narrow, area.y1}, true) : ImVec2{};
  float cell = cell_in(area.width(), area.height() - below.y - entropy);
  float aside = 0;
  bool with_entropy = measured;
  if (cell * T < ui.px(smallest_matrix_css)) {
    with_entropy = false;
    cell = cell_in(area.width(), area.height() - below.y);
    const float other = cell_in(area.width() - beside.x - ui.px(16), area.height());
    if (with_chips && other > cell) {
      cell = other;
      aside = beside.x + ui.px(16);
    }
    // Short prompts stay small although there is room.
    with_entropy = measured && cell * T + margins_.top + entropy + (aside > 0 ? 0 : below.y) <= area.height();
  }
  const float side = cell * T;
  if (side < ui.px(least_matrix_css)) return;
  const Rect rect{area.x0 + margins_.left, area.y0 + margins_.top, area.x0 + margins_.left + side,
                  area.y0 + margins_.top + side};
  draw_matrix(c, commands, rect);

  float y = rect.y1;
  if (with_entropy) {
    const float wanted =
        ui.measure(TextStyle::mono_small, ui.tr("attention.entropy.difference")).x + ui.px(60);
    const Rect bars{rect.x0, y, std::min(std::max(rect.x1, rect.x0 + wanted), area.x1), y + entropy};
    draw_entropy(c, bars);
    y = bars.y1;
  }
  if (!with_chips) return;
  if (aside > 0)
    draw_detectors(c, {rect.x1 + margins_.right + ui.px(16), rect.y0 - ui.px(6), area.x1, area.y1}, false);
  else
    draw_detectors(c, {area.x0, y, area.x1, area.y1}, false);
}

void AttentionView::draw_matrix(const ViewContext& c, CommandQueue& commands, const Rect& rect) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const size_t at = grid_.index(block_, head_);
  const HeadPlane& head = large_.map;
  const BufferPlane& source = grid_.sources[at];
  if (large_.enlarged) {
    HeatMap map{head.key, head.plane, head.owner, large_.style};
    map.style.map = grid_.is_signed ? ColorMap::diverging : ui.magnitudes();
    map.style.theme = t.kind;
    map.style.gap = 0;
    ui.heat_map(rect, std::move(map),
                {0, 0, static_cast<float>(head.plane.cols), static_cast<float>(head.plane.rows)});
    return;
  }
  const Rect bounds = rect;
  const ImGuiIO& io = ImGui::GetIO();
  // A drag pans; the click at its end pins nothing.
  if (ImGui::IsMouseDown(ImGuiMouseButton_Left) && bounds.contains(io.MouseClickedPos[0]) &&
      pointer_dragged() && window_.zoom > 1) {
    const double seen = static_cast<double>(grid_.T) / window_.zoom;
    window_.col -= static_cast<double>(io.MouseDelta.x / bounds.width()) * seen;
    window_.row -= static_cast<double>(io.MouseDelta.y / bounds.height()) * seen;
    dragged_ = true;
  }
  MatrixSpec spec;
  spec.map = {head.key, head.plane, head.owner, large_.style};
  spec.map.style.map = grid_.is_signed ? ColorMap::diverging : ui.magnitudes();
  spec.col_labels = labels_;
  spec.row_labels = std::span(labels_).subspan(static_cast<size_t>(grid_.first));
  spec.lit_row = query_ - grid_.first;
  spec.lit_col = key_token_;
  spec.outlined_row = query_ - grid_.first;
  spec.outlined_columns = grid_.causal ? query_ + 1 : grid_.T;
  std::vector<MatrixMark> marks;
  if (const auto& pick = c.session.state.pins.cell) {
    const auto id = grid_.runs.shown->program().find(pick->buffer);
    const auto cell = id && *id == source.buffer ? source.cell(pick->offset) : std::nullopt;
    if (cell) marks.push_back({cell->row, cell->col, t.strong, 2.5f});
  }
  spec.marks = marks;
  const MatrixResult m = matrix(ui, "attention.matrix", rect, spec, &window_);
  if (m.hovered) {
    const auto [row, col] = *m.hovered;
    hovered_query_ = row + grid_.first;
    hovered_key_ = col;
    // The inspector explains cells of the current run.
    const auto own = c.run->program().find(source.name);
    if (own && c.run->program().buffer(*own).shape == grid_.runs.shown->program().buffer(source.buffer).shape)
      c.hover = CellPick{source.name, source.offset(row, col)};
    ui.tooltip(fmt::format("{} → {}\n{}", labels_[static_cast<size_t>(row + grid_.first)],
                           labels_[static_cast<size_t>(col)], number_text(head.plane.at(row, col))));
    if (ImGui::IsMouseDoubleClicked(ImGuiMouseButton_Left)) window_ = {};
  }
  if (m.clicked && !dragged_) pin(commands, m.clicked->row + grid_.first, m.clicked->col);
  if (!ImGui::IsMouseDown(ImGuiMouseButton_Left)) dragged_ = false;
}

void AttentionView::draw_leak(const ViewContext& c, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const double leak = grid_.heads[grid_.index(block_, head_)].leak;
  double all = 0;
  for (const HeadSummary& h : grid_.heads) all += h.leak / static_cast<double>(grid_.heads.size());
  const bool leaking = leak > 0;
  const Color color = leaking ? t.warning : t.value;
  Rect box{area.x0, area.y0, area.x1, area.y1 - ui.px(8)};
  const Press press = ui.press("attention.leak", box);
  ui.fill(box, t.raised, 8);
  box = box.inset(ui.px(12), ui.px(6));
  const std::string value = fmt::format("{:.1f} %", 100 * leak);
  const float wide = ui.measure(TextStyle::operation, value).x + 1;
  Rect text = box.cut_top(box.height() - ui.px(7));
  ui.text_in(text.cut_left(wide), TextStyle::operation, color, value);
  text.cut_left(ui.px(10));
  const std::string average = fmt::format("{} {:.1f} %", ui.tr("attention.leak.all"), 100 * all);
  const float wide_all = ui.measure(TextStyle::caption, average).x + 1;
  const std::string& label = ui.tr(leaking ? "attention.leak" : "attention.leak.none");
  if (text.width() - wide_all - ui.px(12) >= ui.measure(TextStyle::body_medium, label).x) {
    ui.text_in(text.cut_right(wide_all), TextStyle::caption, t.muted, average, Align::right);
    text.cut_right(ui.px(12));
  }
  ui.text_in(text,
             ui.measure(TextStyle::body_medium, label).x <= text.width() ? TextStyle::body_medium
                                                                         : TextStyle::caption,
             t.text, label);
  ui.fill(box.inset(0, ui.px(1)), t.track, 2);
  Rect bar = box.inset(0, ui.px(1));
  bar.x1 = bar.x0 + bar.width() * static_cast<float>(std::clamp(leak, 0.0, 1.0));
  ui.fill(bar, color, 2);
  if (press.hovered) ui.tooltip(ui.tr("attention.leak.about"));
}

void AttentionView::draw_entropy(const ViewContext& c, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const bool minus = !large_.entropy_minus.empty();
  area.cut_top(ui.px(12));
  const float line = ui.line_height(TextStyle::mono_small);
  const Rect title = area.cut_top(line);
  ui.text(title.min(), TextStyle::mono_small, t.muted,
          ui.tr(minus ? "attention.entropy.difference" : "attention.entropy"));
  area.cut_top(ui.px(4));
  const Rect plot = area.cut_top(ui.px(entropy_bars_css));
  const Press press = ui.press("attention.entropy", plot);

  const int64_t T = grid_.T;
  const auto value = [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    return static_cast<double>(minus ? large_.entropy[at] - large_.entropy_minus[at] : large_.entropy[at]);
  };
  const bool causal = grid_.runs.shown->config.mask == AttentionMask::causal;
  double most = std::max(even_entropy(T - 1, T, causal), 0.1);
  if (minus) {
    most = 0.1;
    for (int64_t i = 0; i < T; ++i) most = std::max(most, std::abs(value(i)));
  }
  const float base = minus ? plot.centre().y : plot.y1;
  const auto height = [&](double v) {
    return static_cast<float>(v / most) * (minus ? plot.height() / 2 : plot.height());
  };
  // One bar a row, or one for every pixel where there are more rows than pixels.
  const int64_t bars = std::min<int64_t>(T, std::max<int64_t>(1, static_cast<int64_t>(plot.width() / 2)));
  const float pitch = plot.width() / static_cast<float>(bars);
  const float gap = pitch >= 6 ? std::max(2.f, std::round(pitch * 0.15f)) : pitch >= 3 ? 1.f : 0.f;
  const auto row_of = [&](int64_t bar) { return bar * T / bars; };
  std::vector<ImVec2> ghost;
  for (int64_t b = 0; b < bars; ++b) {
    const int64_t i = row_of(b);
    const bool lit = query_ >= i && query_ < std::max(row_of(b + 1), i + 1);
    const float x = plot.x0 + static_cast<float>(b) * pitch;
    const float h = height(value(lit ? query_ : i));
    ui.fill({x, std::min(base, base - h), x + pitch - gap, std::max(base, base - h)}, lit ? t.query : t.bar);
    if (!minus) {
      const float y = base - height(even_entropy(i, T, causal));
      if (ghost.empty() || ghost.back().y != y) ghost.push_back({x, y});
      ghost.push_back({x + pitch, y});
    }
  }
  if (!ghost.empty())
    Ui::draw().AddPolyline(ghost.data(), static_cast<int>(ghost.size()), fade(t.muted, 0.75f), 0,
                           std::max(1.f, ui.scale()));
  ui.horizontal(plot.x0, plot.x1, base, t.line);
  const std::string now = number_text(value(query_), 2);
  ui.text_in({title.x0, title.y0, plot.x1, title.y1}, TextStyle::mono_small, t.query, now, Align::right);
  if (press.hovered) {
    const float u = (ImGui::GetIO().MousePos.x - plot.x0) / plot.width();
    const int64_t row = std::clamp<int64_t>(static_cast<int64_t>(u * static_cast<float>(T)), 0, T - 1);
    hovered_query_ = row;
    ui.tooltip(fmt::format(fmt::runtime(ui.tr("attention.entropy.about")), row,
                           labels_[static_cast<size_t>(row)], number_text(value(row), 2),
                           number_text(even_entropy(row, T, causal), 2)));
  }
}

ImVec2 AttentionView::draw_detectors(const ViewContext& c, const Rect& area, bool measure_only) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  struct Detector {
    const char* id;
    std::optional<double> DetectorScores::*score;
  };
  constexpr std::array<Detector, 3> detectors = {{{"induction", &DetectorScores::induction},
                                                  {"previous", &DetectorScores::previous},
                                                  {"first", &DetectorScores::first}}};
  const size_t at = grid_.index(block_, head_);
  float x = area.x0, y = area.y0 + ui.px(6), right = x;
  for (const Detector& d : detectors) {
    const auto score = grid_.heads[at].scores.*d.score;
    const auto even = grid_.even.*d.score;
    std::string value = score ? number_text(*score, 2) : "—";
    bool lit = stands_out(score, even);
    if (!grid_.minus.empty()) {
      const auto other = grid_.minus[at].scores.*d.score;
      const double change = score && other ? *score - *other : 0;
      value = score && other ? fmt::format("{}{}", change > 0 ? "+" : "", number_text(change, 2)) : "—";
      lit = std::abs(change) >= 0.2;
    }
    const std::string& name = ui.tr(fmt::format("attention.{}", d.id));
    const float width = ui.measure(TextStyle::label, name).x + ui.px(8) +
                        ui.measure(TextStyle::mono, value).x + 2 * ui.px(12) + 2;
    if (x > area.x0 && x + width > area.x1) {
      x = area.x0;
      y += ui.px(chip_row_css);
    }
    const Rect r{x, y, std::min(x + width, area.x1), y + ui.px(chip_css)};
    x += width + ui.px(8);
    right = std::max(right, r.x1);
    if (measure_only) continue;
    if (r.y1 > area.y1 + 1) break;
    const Press press = ui.press(fmt::format("attention.detector.{}", d.id), r);
    ui.fill(r, t.raised, 7);
    // The score again, as a length.
    if (score) {
      const Rect track{r.x0 + ui.px(12), r.y1 - ui.px(4), r.x1 - ui.px(12), r.y1 - ui.px(2)};
      const auto share = static_cast<float>(std::clamp(*score, 0.0, 1.0));
      ui.fill({track.x0, track.y0, track.x0 + share * track.width(), track.y1}, lit ? t.key : t.bar, 1);
    }
    Rect inside = r.inset(ui.px(12), 0);
    const Color ink = lit ? t.key : t.muted;
    ui.text_in(inside.cut_right(ui.measure(TextStyle::mono, value).x + 1), TextStyle::mono, ink, value,
               Align::right);
    inside.cut_right(ui.px(8));
    ui.text_in(inside, TextStyle::label, ink, name);
    if (press.hovered) {
      std::string about = ui.tr(fmt::format("attention.{}.about", d.id));
      about += '\n';
      about += score ? fmt::format(fmt::runtime(ui.tr("attention.even")), number_text(even.value_or(0), 2))
                     : ui.tr("attention.no_query");
      ui.tooltip(about);
    }
  }
  return {right - area.x0, y + ui.px(chip_row_css) - area.y0};
}

void AttentionView::draw_arcs(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const int64_t T = grid_.T, count = std::min(T, most_arc_tokens);
  const bool hovering = ImGui::IsWindowHovered() && area.contains(ImGui::GetIO().MousePos);
  if (!hovering) arcs_first_ = query_ - count + 1 + count / 8;
  if (hovering && T > count) arcs_first_ -= static_cast<int64_t>(std::lround(ImGui::GetIO().MouseWheel * 8));
  arcs_first_ = std::clamp<int64_t>(arcs_first_, 0, T - count);
  if (arcs_threshold_of_ != arcs_first_ && large_.has_weights()) {
    arcs_threshold_of_ = arcs_first_;
    arcs_threshold_ = arc_threshold(large_, arcs_first_, count);
  }
  std::string note =
      fmt::format("{}≥ {}", grid_.minus.empty() ? "" : "|A − B| ", number_text(arcs_threshold_, 2));
  if (T > count) note += fmt::format(" · {}–{} ∕ {}", arcs_first_, arcs_first_ + count - 1, T);
  if (headings_) picture_title(ui, area.cut_top(ui.px(title_css)), ui.tr("attention.arcs"), note);
  if (!large_.has_weights()) {
    const std::string missing =
        !c.failure.empty() ? std::string(c.failure)
        : c.recording      ? fmt::format(fmt::runtime(ui.tr("attention.recording")), head_name(block_, head_))
                           : fmt::format(fmt::runtime(ui.tr("attention.missing.capture")),
                                         stage_buffer(block_, AttentionStage::softmax));
    ui.paragraph(area, TextStyle::small, t.muted, missing);
    return;
  }
  area.cut_top(ui.px(6));
  ArcsSpec spec;
  spec.tokens = std::span(labels_).subspan(static_cast<size_t>(arcs_first_), static_cast<size_t>(count));
  spec.causal = grid_.causal;
  const auto local = [&](int64_t i) -> std::optional<int64_t> {
    const int64_t at = i - arcs_first_;
    return at >= 0 && at < count ? std::optional(at) : std::nullopt;
  };
  spec.query = local(query_);
  spec.key = local(key_token_);
  spec.threshold = lightest_of_query;
  const int64_t lit = query_ - arcs_first_;
  spec.weight = [&](int64_t i, int64_t j) {
    const float w = large_.weight(i + arcs_first_, j + arcs_first_);
    return i == lit || w >= arcs_threshold_ ? w : 0.f;
  };
  const ArcsResult result = token_arcs(ui, "attention.arcs", area, spec);
  if (result.hovered_query) hovered_query_ = *result.hovered_query + arcs_first_;
  if (result.hovered_key) hovered_key_ = *result.hovered_key + arcs_first_;
  if (result.clicked_query) {
    const int64_t row = *result.clicked_query + arcs_first_;
    if (row >= grid_.first) pin(commands, row, large_.strongest[static_cast<size_t>(row - grid_.first)]);
  }
}

}  // namespace headlight::app
