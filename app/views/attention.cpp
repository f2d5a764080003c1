// The Attention view: what it prepares, its header, the grid of heads. The selected head is in
// attention_head.cpp.
#include "app/views/attention.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "app/session/watch.h"
#include "app/views/view_parts.h"
#include "app/widgets/buttons.h"

namespace headlight::app {
namespace {

// CSS pixels.
constexpr float largest_thumbnail_css = 84, smallest_thumbnail_css = 20, title_css = 26;
constexpr float column_gap_css = 28, strongest_row_css = 26;

std::string score_text(std::optional<double> score) { return score ? number_text(*score, 2) : "—"; }

/// Second cue beside the colour: a diamond for induction, a disc for the previous token.
void badge(const Ui& ui, ImVec2 at, bool induction) {
  const Theme& t = ui.theme();
  const float r = ui.px(4.5f), rim = r + std::max(1.f, ui.scale());
  ImDrawList& list = Ui::draw();
  if (induction) {
    list.AddQuadFilled({at.x, at.y - rim}, {at.x + rim, at.y}, {at.x, at.y + rim}, {at.x - rim, at.y},
                       t.background);
    list.AddQuadFilled({at.x, at.y - r}, {at.x + r, at.y}, {at.x, at.y + r}, {at.x - r, at.y}, t.key);
  } else {
    list.AddCircleFilled(at, rim * 0.85f, t.background, 16);
    list.AddCircleFilled(at, r * 0.85f, t.query, 16);
  }
}

}  // namespace

std::string AttentionView::head_name(int64_t block, int64_t head) const {
  return fmt::format("{}.{}", block, head);
}

bool AttentionView::leaks() const {
  if (grid_.heads.empty()) return false;
  return !grid_.causal || grid_.heads[grid_.index(block_, head_)].leak > 0;
}

void AttentionView::prepare(const ViewContext& c) {
  const Pins& pins = c.session.state.pins;
  Key key{c.run->id, pins.run ? pins.run->id : 0, pins.compare,
          stage_from_name(c.session.state.option("attention.stage", "")).value_or(AttentionStage::softmax)};
  const bool fresh = key != key_;
  if (fresh) {
    key_ = key;
    const int64_t before = grid_.T;
    grid_ = prepare_attention(c.run, pins, key.stage);
    if (grid_.T != before) window_ = {};
  }
  const Run& shown = *grid_.runs.shown;
  if (labels_of_ != shown.id) {
    labels_of_ = shown.id;
    labels_.clear();
    const bool own = shown.id == c.run->id;
    for (const std::string& token : own ? c.tokens : token_texts(c.snapshot, shown))
      labels_.push_back(axis_text(token));
    labels_.resize(static_cast<size_t>(grid_.T));
    margins_scale_ = 0;
  }
  const int at = shown_block(c.session.state, *c.run, c.step, c.block);
  const int64_t block = std::clamp<int64_t>(at, 0, grid_.L - 1),
                head = std::clamp<int64_t>(c.head, 0, grid_.H - 1);
  if (fresh || block != block_ || head != head_) {
    block_ = block;
    head_ = head;
    large_ = prepare_head(grid_, block, head);
    arcs_threshold_of_ = -1;
  }
}

void AttentionView::find_lit(const ViewContext& c) {
  const BufferPlane& source = grid_.sources[grid_.index(block_, head_)];
  std::optional<BufferPlane::Cell> pinned;
  if (const auto& pick = c.session.state.pins.cell) {
    const auto id = grid_.runs.shown->program().find(pick->buffer);
    if (id && *id == source.buffer) pinned = source.cell(pick->offset);
  }
  const auto inside = [&](std::optional<int64_t> i) { return i && *i < grid_.T; };
  if (pinned) pinned->row += grid_.first;
  query_ = inside(hovered_query_) && *hovered_query_ >= grid_.first ? *hovered_query_
           : pinned                                                 ? pinned->row
                                                                    : grid_.T - 1;
  const bool of_pinned = pinned && query_ == pinned->row;
  const auto row = static_cast<size_t>(query_ - grid_.first);
  const bool known = row < large_.strongest.size();
  key_token_ = inside(hovered_key_) ? *hovered_key_
               : of_pinned          ? pinned->col
               : known              ? large_.strongest[row]
                                    : query_;
}

void AttentionView::pin(CommandQueue& commands, int64_t row, int64_t col) const {
  const BufferPlane& source = grid_.sources[grid_.index(block_, head_)];
  if (source.buffer != no_buffer && row >= grid_.first)
    commands.push("cell.pin", fmt::format("{} {}", source.name, source.offset(row - grid_.first, col)));
}

void AttentionView::draw(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  lit_changed_ = false;
  if (!c.run) {
    ui.paragraph(c.area, TextStyle::body, ui.theme().muted, ui.tr("tree.waiting"));
    return;
  }
  prepare(c);
  Rect area = c.area;
  draw_header(c, commands, area);
  area.cut_top(ui.px(16));
  if (area.height() < ui.px(smallest_thumbnail_css)) return;
  if (!grid_.missing.empty()) {
    const std::string name = stage_buffer(block_, grid_.stage);
    if (!c.failure.empty())
      ui.paragraph(area, TextStyle::body, ui.theme().warning, c.failure);
    else if (c.recording)
      ui.paragraph(area, TextStyle::body, ui.theme().accent, ui.tr("recording.buffer"));
    else
      ui.paragraph(area, TextStyle::body, ui.theme().muted,
                   fmt::format(fmt::runtime(ui.tr(grid_.missing)), name));
    return;
  }
  const auto before = std::pair(hovered_query_, hovered_key_);
  find_lit(c);
  hovered_query_.reset();
  hovered_key_.reset();

  // Three columns where there is room; else the head with one of the others, or one at a time.
  const float width = area.width() / ui.scale(), gap = ui.px(column_gap_css);
  const std::string pane = c.session.state.option("attention.pane", "grid");
  if (width >= 860) {
    const float wanted = ui.px(26 + (largest_thumbnail_css + 6) * static_cast<float>(grid_.H));
    const Rect grid = area.cut_left(std::clamp(wanted, ui.px(290), area.width() * 0.42f));
    area.cut_left(gap);
    const Rect arcs = area.cut_right(std::clamp(area.width() * 0.34f, ui.px(200), ui.px(280)));
    area.cut_right(gap);
    draw_grid(c, commands, grid);
    draw_head(c, commands, area);
    draw_arcs(c, commands, arcs);
  } else {
    const bool beside = width >= 520;
    Rect left = beside ? area.cut_left(area.width() * 0.44f) : area;
    area.cut_left(gap);
    draw_panes(c, commands, left, !beside);
    headings_ = false;
    if (pane == "arcs")
      draw_arcs(c, commands, left);
    else if (pane == "head" && !beside)
      draw_head(c, commands, left);
    else
      draw_grid(c, commands, left);
    headings_ = true;
    if (beside) draw_head(c, commands, area);
  }
  // The other pictures light up what is under the pointer in the next frame: ask for it.
  lit_changed_ = before != std::pair(hovered_query_, hovered_key_);
}

void AttentionView::draw_header(const ViewContext& c, CommandQueue& commands, Rect& area) {
  const Ui& ui = c.ui;
  const float width = area.width() / ui.scale();
  HeaderFlow header(ui, area);
  const std::string facts = fmt::format(fmt::runtime(ui.tr("attention.facts")), c.snapshot.model.name,
                                        counted(ui, "blocks", grid_.L), counted(ui, "heads", grid_.H));
  header.title(ui.tr("view.attention"), width >= 700 ? facts : "");
  const bool scaled = grid_.runs.shown->config.scale_attn_weights;
  const std::array<Segment, attention_stage_count> stages = {
      {{"raw", ui.tr("attention.stage.raw")},
       {"scaled", ui.tr("attention.stage.scaled"), scaled},
       {"mask", ui.tr("attention.stage.mask")},
       {"softmax", ui.tr("attention.stage.softmax")}}};
  const Rect at = header.place(segmented_width(ui, stages));
  if (const auto i = segmented(ui, "attention.stage", at, stages, static_cast<size_t>(grid_.stage)))
    commands.push("attention.stage", std::string(stages[*i].id));
  for (const Segment& s : stages)
    if (const Control* control = ui.controls().find(fmt::format("attention.stage.{}", s.id)))
      tooltip_over(
          ui, control->rect,
          ui.tr(s.enabled ? fmt::format("attention.stage.about.{}", s.id) : "attention.stage.unscaled"));
  compare_controls(c, commands, "attention.compare", header);
  if (grid_.runs.shown->with_cache()) {
    area.cut_top(ui.px(8));
    area.cut_top(ui.paragraph(area, TextStyle::small, ui.theme().muted, ui.tr("attention.note.cached")));
  }
  if (!grid_.runs.obstacle.empty()) {
    const Run& b = *c.session.state.pins.run;
    const std::string text = fmt::format(fmt::runtime(ui.tr(grid_.runs.obstacle)), b.config.n_layer,
                                         b.config.n_head, b.program().T());
    area.cut_top(ui.px(8));
    area.cut_top(ui.paragraph(area, TextStyle::small, ui.theme().warning, text));
  }
}

void AttentionView::draw_panes(const ViewContext& c, CommandQueue& commands, Rect& area, bool with_head) {
  const Ui& ui = c.ui;
  std::vector<Segment> panes = {{"grid", ui.tr("attention.grid")}, {"arcs", ui.tr("attention.arcs")}};
  if (with_head) panes.insert(panes.begin() + 1, Segment{"head", ui.tr("attention.one")});
  const std::string now = c.session.state.option("attention.pane", "grid");
  const auto chosen = std::find_if(panes.begin(), panes.end(), [&](const Segment& s) { return s.id == now; });
  const size_t index = chosen == panes.end() ? 0 : static_cast<size_t>(chosen - panes.begin());
  const Rect row = area.cut_top(ui.px(control_height));
  area.cut_top(ui.px(8));
  const Rect at{row.x0, row.y0, std::min(row.x0 + segmented_width(ui, panes), row.x1), row.y1};
  if (const auto i = segmented(ui, "attention.pane", at, panes, index))
    commands.push("option.set", fmt::format("attention.pane {}", panes[*i].id));
}

void AttentionView::draw_thumbnail(const ViewContext& c, CommandQueue& commands, int64_t block, int64_t head,
                                   const Rect& r) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const size_t at = grid_.index(block, head);
  const HeadPlane& p = grid_.thumbnails[at];
  const Press press = ui.press(fmt::format("attention.head.{}.{}", block, head), r);
  if (p.plane.empty()) {
    ui.fill(r, t.masked);
    ui.text_in(r, TextStyle::mono_small, t.muted, "—", Align::centre);
  } else {
    HeatMap map{p.key, p.plane, p.owner, grid_.style};
    if (!grid_.is_signed) map.style.map = ui.magnitudes();
    map.style.theme = t.kind;
    map.style.gap = 0;
    map.style.stripe = -1;  // too small for stripes
    ui.heat_map(r, std::move(map),
                {0, 0, static_cast<float>(p.plane.cols), static_cast<float>(p.plane.rows)});
  }
  if (block == block_ && head == head_)
    ui.outline({r.x0 - ui.px(3), r.y0 - ui.px(3), r.x1 + ui.px(3), r.y1 + ui.px(3)}, t.accent, 2.5f);
  else if (press.hovered)
    ui.outline({r.x0 - ui.px(2), r.y0 - ui.px(2), r.x1 + ui.px(2), r.y1 + ui.px(2)}, t.past, 1.5f);
  const float corner = ui.px(7);
  const bool both = grid_.best_induction == at && grid_.best_previous == at;
  if (grid_.best_induction == at) badge(ui, {r.x1 - corner, r.y0 + corner}, true);
  if (grid_.best_previous == at) badge(ui, {r.x1 - corner - (both ? ui.px(12) : 0), r.y0 + corner}, false);
  if (press.hovered) {
    std::string text = fmt::format(fmt::runtime(ui.tr("attention.head")), head_name(block, head));
    if (!grid_.heads.empty()) {
      const DetectorScores& s = grid_.heads[at].scores;
      text += fmt::format("\n{}  {}\n{}  {}\n{}  {}", ui.tr("attention.induction"), score_text(s.induction),
                          ui.tr("attention.previous"), score_text(s.previous), ui.tr("attention.first"),
                          score_text(s.first));
      if (!grid_.causal)
        text += fmt::format("\n{}  {}", ui.tr("attention.leak.short"), number_text(grid_.heads[at].leak, 3));
    }
    ui.tooltip(text);
  }
  if (press.clicked) commands.push("attention.select", fmt::format("{} {}", block, head));
}

void AttentionView::draw_grid(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  if (headings_) {
    const Rect rest = picture_title(ui, area.cut_top(ui.px(title_css)), ui.tr("attention.grid"));
    HeatStyle scale = grid_.style;
    if (!grid_.is_signed) scale.map = ui.magnitudes();
    scale_line(ui, rest, scale, 2, grid_.clipped);
  }

  const float line = ui.line_height(TextStyle::mono_small);
  const float below = line + ui.px(8) + 2 * ui.px(strongest_row_css) + ui.px(4);
  const bool roomy = area.height() > below + ui.px(smallest_thumbnail_css) * 2;
  Rect cells = area;
  Rect footer = roomy ? cells.cut_bottom(below) : cells.cut_bottom(line + ui.px(8));
  cells.cut_left(ui.measure(TextStyle::mono_small, std::to_string(grid_.L - 1)).x + ui.px(10));
  cells.x1 -= ui.px(4);
  cells.y0 += ui.px(4);
  if (std::min(cells.width(), cells.height()) < ui.px(smallest_thumbnail_css)) return;

  const auto L = static_cast<float>(grid_.L), H = static_cast<float>(grid_.H);
  const auto gap_of = [&](float side) { return std::max(ui.px(3), std::round(side * 0.09f)); };
  float side = std::floor(std::min({cells.width() / H, cells.height() / L}) * 0.91f);
  side = std::clamp(side, ui.px(smallest_thumbnail_css), ui.px(largest_thumbnail_css));
  const float pitch = side + gap_of(side);
  const float row_pitch = std::clamp(std::floor(cells.height() / L), pitch, std::round(pitch * 1.14f));
  // Whole thumbnails that find room; the wheel brings up the others.
  const auto rows =
      std::clamp<int64_t>(static_cast<int64_t>((cells.height() + pitch - side) / row_pitch), 1, grid_.L);
  const auto cols =
      std::clamp<int64_t>(static_cast<int64_t>((cells.width() + pitch - side) / pitch), 1, grid_.H);
  const auto last_row = static_cast<double>(grid_.L - rows), last_col = static_cast<double>(grid_.H - cols);
  const ImGuiIO& io = ImGui::GetIO();
  if (ImGui::IsWindowHovered() && area.contains(io.MousePos)) {
    if (io.KeyShift)
      scroll_col_ -= static_cast<double>(io.MouseWheel);
    else
      scroll_row_ -= static_cast<double>(io.MouseWheel);
    scroll_col_ -= static_cast<double>(io.MouseWheelH);
  }
  scroll_row_ = std::clamp(scroll_row_, 0.0, last_row);
  scroll_col_ = std::clamp(scroll_col_, 0.0, last_col);
  const auto first_row = static_cast<int64_t>(std::llround(scroll_row_));
  const auto first_col = static_cast<int64_t>(std::llround(scroll_col_));

  for (int64_t l = first_row; l < first_row + rows; ++l) {
    const float y = cells.y0 + static_cast<float>(l - first_row) * row_pitch;
    ui.text_in({area.x0, y, cells.x0 - ui.px(10), y + side}, TextStyle::mono_small,
               l == block_ ? t.text : t.muted, std::to_string(l), Align::right);
    for (int64_t h = first_col; h < first_col + cols; ++h) {
      const float x = cells.x0 + static_cast<float>(h - first_col) * pitch;
      draw_thumbnail(c, commands, l, h, {x, y, x + side, y + side});
    }
  }
  const float bottom = cells.y0 + static_cast<float>(rows - 1) * row_pitch + side;
  for (int64_t h = first_col; h < first_col + cols; ++h) {
    const float x = cells.x0 + static_cast<float>(h - first_col) * pitch;
    ui.text_in({x, bottom + ui.px(6), x + side, bottom + ui.px(6) + line}, TextStyle::mono_small,
               h == head_ ? t.text : t.muted, std::to_string(h), Align::centre);
  }
  // How far it is scrolled.
  if (rows < grid_.L) {
    const float height = bottom - cells.y0, from = static_cast<float>(first_row) / L;
    const float x = area.x1 - ui.px(4);
    ui.fill({x, cells.y0, x + ui.px(4), bottom}, t.raised, 2);
    ui.fill({x, cells.y0 + from * height, x + ui.px(4),
             cells.y0 + (from + static_cast<float>(rows) / L) * height},
            t.track, 2);
  }
  if (cols < grid_.H) {
    const float wide = static_cast<float>(cols) * pitch, from = static_cast<float>(first_col) / H;
    const float y = bottom + line + ui.px(9);
    ui.fill({cells.x0, y, cells.x0 + wide, y + ui.px(4)}, t.raised, 2);
    ui.fill(
        {cells.x0 + from * wide, y, cells.x0 + (from + static_cast<float>(cols) / H) * wide, y + ui.px(4)},
        t.track, 2);
  }
  if (!roomy || grid_.heads.empty()) return;
  footer.y0 = bottom + line + ui.px(18);
  footer.x0 = cells.x0;
  draw_strongest(c, commands, footer);
}

void AttentionView::draw_strongest(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  struct Row {
    const char* id;
    const char* name;
    const char* short_name;
    std::optional<size_t> head;
    std::optional<double> DetectorScores::*score;
    bool induction;
  };
  const std::array<Row, 2> rows = {{{"induction", "attention.strongest.induction", "attention.induction",
                                     grid_.best_induction, &DetectorScores::induction, true},
                                    {"previous", "attention.strongest.previous", "attention.previous",
                                     grid_.best_previous, &DetectorScores::previous, false}}};
  for (const Row& row : rows) {
    Rect r = area.cut_top(ui.px(strongest_row_css));
    if (r.height() < ui.px(strongest_row_css) - 1) return;
    const Press press = ui.press(fmt::format("attention.strongest.{}", row.id), r, row.head.has_value());
    if (press.hovered) ui.fill(r, t.raised, 6);
    badge(ui, {r.x0 + ui.px(7), r.centre().y}, row.induction);
    r.cut_left(ui.px(20));
    std::string value = ui.tr("attention.strongest.none");
    if (row.head) {
      const auto at = static_cast<int64_t>(*row.head);
      value = fmt::format("{}   {}", head_name(at / grid_.H, at % grid_.H),
                          score_text(grid_.heads[*row.head].scores.*row.score));
      if (press.clicked) commands.push("attention.select", fmt::format("{} {}", at / grid_.H, at % grid_.H));
    }
    const TextStyle style = row.head ? TextStyle::mono : TextStyle::caption;
    const float width = std::min(ui.measure(style, value).x + 1, r.width() * 0.55f);
    ui.text_in(r.cut_right(width), style, row.head ? t.text : t.muted, value, Align::right);
    r.cut_right(ui.px(8));
    const bool fits = ui.measure(TextStyle::caption, ui.tr(row.name)).x <= r.width();
    ui.text_in(r, TextStyle::caption, t.muted, ui.tr(fits ? row.name : row.short_name));
    if (press.hovered)
      ui.tooltip(ui.tr(row.induction ? "attention.induction.about" : "attention.previous.about"));
  }
}

}  // namespace headlight::app
