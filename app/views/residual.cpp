// The Residual view: what it prepares, its header and the matrices by layer and token. The lens is in
// residual_lens.cpp.
#include "app/views/residual.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

#include "app/views/view_parts.h"
#include "app/widgets/buttons.h"
#include "app/widgets/chart.h"
#include "app/widgets/matrix.h"
#include "core/engine/builtin.h"

namespace headlight::app {
namespace {

// CSS pixels.
constexpr float title_css = 26, column_gap_css = 36, block_gap_css = 14;
constexpr float tallest_row_css = 32, widest_cell_css = 48;

float largest_size(const std::vector<float>& values) {
  float largest = 0;
  for (const float v : values)
    if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
  return largest > 0 ? largest : 1;
}

/// A − B.
std::shared_ptr<std::vector<float>> minus(const std::vector<float>& a, const std::vector<float>& b) {
  auto result = std::make_shared<std::vector<float>>(a);
  for (size_t i = 0; i < a.size(); ++i) (*result)[i] -= b[i];
  return result;
}

}  // namespace

void ResidualView::prepare(const ViewContext& c) {
  const Pins& pins = c.session.state.pins;
  const std::shared_ptr<const Run>& shown_run = pins.run && pins.compare == Compare::b ? pins.run : c.run;
  const Key key{c.run->id, pins.run ? pins.run->id : 0, pins.compare, shown_run->lens};
  const std::string wanted = c.session.state.option("residual.token", "");
  int64_t token = shown_run->program().T() - 1;
  if (!wanted.empty()) std::from_chars(wanted.data(), wanted.data() + wanted.size(), token);
  token_ = std::clamp<int64_t>(token, 0, shown_run->program().T() - 1);
  if (key == key_ && shown_) return;
  const bool other_pin = key.pinned != key_.pinned;
  key_ = key;
  if (!pins.run)
    pinned_.reset();
  else if (other_pin || !pinned_)
    pinned_ = std::make_shared<ResidualModel>(prepare_residual(*pins.run));
  const bool b_alone = pinned_ && pins.compare == Compare::b;
  shown_ = b_alone ? pinned_ : std::make_shared<ResidualModel>(prepare_residual(*c.run));
  with_cache_ = shown_run->with_cache();

  name_tokens(c);
  const ResidualModel& m = *shown_;
  if (labels_.size() != static_cast<size_t>(m.T)) scroll_col_ = static_cast<double>(m.T);
  obstacle_ = {};
  difference_ = false;
  if (pinned_ && pins.compare == Compare::difference) {
    difference_ = m.T == pinned_->T && m.P() == pinned_->P() && m.W() == pinned_->W();
    if (!difference_) obstacle_ = m.T != pinned_->T ? "residual.obstacle.tokens" : "residual.obstacle.parts";
  }
  if (difference_) {
    norms_ = minus(m.norms, pinned_->norms);
    written_ = minus(m.written, pinned_->written);
    cosines_ = minus(m.cosines, pinned_->cosines);
  } else {
    // Shares the model's life: the vectors are members of it.
    norms_ = Values(shown_, &shown_->norms);
    written_ = Values(shown_, &shown_->written);
    cosines_ = Values(shown_, &shown_->cosines);
  }
  point_names_.clear();
  for (const StreamPoint& p : m.points)
    point_names_.push_back(fmt::format("{} {}", p.block,
                                       p.kind == StreamPoint::Kind::embedding         ? "pre"
                                       : p.kind == StreamPoint::Kind::after_attention ? "mid"
                                                                                      : "post"));
  part_names_.clear();
  for (const WrittenPart& p : m.parts)
    part_names_.push_back(fmt::format("{} {}", p.block, p.mlp ? "MLP" : "attn"));
  labels_.clear();
  const std::vector<std::string>& texts = b_alone ? token_texts(c.snapshot, *pins.run) : c.tokens;
  // Tokens out of a cache have no stream in this run.
  for (size_t i = std::min(shown_run->past.size(), texts.size()); i < texts.size(); ++i)
    labels_.push_back(axis_text(texts[i]));
  labels_.resize(static_cast<size_t>(m.T));
  labels_scale_ = 0;
}

HeatKey ResidualView::key_of(Texture texture) const {
  // A column of the lens changes within a run; its texture goes by the column.
  const bool column =
      texture == Texture::lens && shown_->lens && shown_->lens->extent == LogitLens::Extent::column;
  return {shown_->run, difference_ ? pinned_->run : 0, static_cast<int32_t>(texture),
          column ? shown_->lens->column + 1 : 0};
}

void ResidualView::name_tokens(const ViewContext& c) {
  const Tokenizer* tokenizer = c.snapshot.model.tokenizer.get();
  if (names_of_ != tokenizer) token_names_.clear();
  names_of_ = tokenizer;
  if (!shown_->lens) return;
  const auto name = [&](const LensToken& read) {
    if (read.token < 0 || token_names_.contains(read.token)) return;
    const std::string& text =
        token_names_.emplace(read.token, chip_text(display_token(tokenizer, read.token))).first->second;
    c.ui.fonts().need(text);
  };
  for (const LensCell& cell : shown_->lens->cells) {
    name(cell);
    for (const LensToken& other : cell.runners_up) name(other);
  }
}

void ResidualView::draw(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  lit_changed_ = false;
  if (!c.run) {
    ui.paragraph(c.area, TextStyle::body, ui.theme().muted, ui.tr("tree.waiting"));
    return;
  }
  prepare(c);
  if (labels_scale_ != ui.scale()) {
    labels_scale_ = ui.scale();
    MatrixSpec spec;
    spec.col_labels = labels_;
    const MatrixMargins tokens = matrix_margins(ui, spec);
    spec.col_labels = {};
    spec.row_labels = point_names_;
    label_width_ = matrix_margins(ui, spec).left;
    spec.row_labels = part_names_;
    label_width_ = std::max(label_width_, matrix_margins(ui, spec).left);
    label_height_ = tokens.top;
    label_right_ = tokens.right;
  }
  Rect area = c.area;
  draw_header(c, commands, area);
  area.cut_top(ui.px(12));
  draw_notes(c, area);
  if (shown_->points.empty()) return;
  lit_ = hovered_ && *hovered_ < shown_->T ? *hovered_ : token_;
  const auto before = hovered_;
  hovered_.reset();

  const float width = area.width() / ui.scale(), height = area.height() / ui.scale();
  const std::string pane = c.session.state.option("residual.pane", "stream");
  if (width >= 860) {
    const Rect left = area.cut_left(std::round((area.width() - ui.px(column_gap_css)) * 0.47f));
    area.cut_left(ui.px(column_gap_css));
    draw_stream(c, commands, left);
    if (height >= 330) {
      const float left_over = area.height() - lens_height(ui) - ui.px(block_gap_css);
      const Rect chart =
          area.cut_bottom(std::clamp(left_over, ui.px(130), std::max(area.height() * 0.5f, ui.px(130))));
      area.cut_bottom(ui.px(block_gap_css));
      draw_similarity(c, chart);
    }
    draw_lens(c, commands, area);
  } else if (pane == "lens") {
    draw_lens(c, commands, area);
  } else if (pane == "similarity") {
    draw_similarity(c, area);
  } else {
    draw_stream(c, commands, area);
  }
  lit_changed_ = before != hovered_;
}

void ResidualView::draw_header(const ViewContext& c, CommandQueue& commands, Rect& area) {
  const Ui& ui = c.ui;
  const float width = area.width() / ui.scale();
  HeaderFlow header(ui, area);
  const std::string facts = fmt::format(fmt::runtime(ui.tr("residual.facts")), c.snapshot.model.name,
                                        counted(ui, "blocks", shown_->L), shown_->C);
  header.title(ui.tr("view.residual"), width >= 860 ? facts : "");
  compare_controls(c, commands, "residual.compare", header);
  if (width < 860) {
    const std::array<Segment, 3> panes = {{{"stream", ui.tr("residual.stream")},
                                           {"lens", ui.tr("residual.lens")},
                                           {"similarity", ui.tr("residual.similarity.short")}}};
    const std::string now = c.session.state.option("residual.pane", "stream");
    const auto chosen =
        std::find_if(panes.begin(), panes.end(), [&](const Segment& s) { return s.id == now; });
    const size_t index = chosen == panes.end() ? 0 : static_cast<size_t>(chosen - panes.begin());
    if (const auto i = segmented(ui, "residual.pane", header.place(segmented_width(ui, panes)), panes, index))
      commands.push("option.set", fmt::format("residual.pane {}", panes[*i].id));
  }
}

void ResidualView::draw_notes(const ViewContext& c, Rect& area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const auto say = [&](Color color, const std::string& text) {
    area.cut_top(ui.paragraph(area, TextStyle::small, color, text) + ui.px(6));
  };
  if (!obstacle_.empty()) say(t.warning, ui.tr(obstacle_));
  if (with_cache_) say(t.muted, ui.tr("residual.note.cached"));
  if (!shown_->residual) say(t.warning, ui.tr("residual.note.off"));
  if (shown_->post_norm) say(t.muted, ui.tr("residual.note.post"));
  if (!shown_->has_mlp) say(t.muted, ui.tr("residual.note.no_mlp"));
  if (!shown_->missing.empty()) {
    const std::string& first = shown_->missing.front();
    const bool one = shown_->missing.size() == 1;
    say(t.warning,
        one ? fmt::format(fmt::runtime(ui.tr("residual.missing.one")), first)
            : fmt::format(fmt::runtime(ui.tr("residual.missing.many")), first, shown_->missing.size() - 1));
  }
}

void ResidualView::draw_stream(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Ui& ui = c.ui;
  const auto T = static_cast<float>(shown_->T);
  const int64_t parts = shown_->W();
  const float rows = static_cast<float>(shown_->P() + 2 * parts);
  const float titles =
      ui.px(title_css) * (parts > 0 ? 3.f : 1.f) + (parts > 0 ? 2 * ui.px(block_gap_css) : 0);
  float row = std::min((area.height() - titles - label_height_) / rows, ui.px(tallest_row_css));
  // Whole pixels for rows that are drawn with gaps between them.
  row = row >= 7 ? std::floor(row) : std::clamp(row, 1.f, 5.5f);
  const float wide =
      std::min((area.width() - label_width_ - label_right_ * 0.6f) / T, ui.px(widest_cell_css));
  const float x0 = area.x0 + label_width_, x1 = x0 + std::max(wide * T, 1.f);

  HeatStyle magnitudes;
  magnitudes.map = difference_ ? ColorMap::diverging : ui.magnitudes();
  const auto scaled = [&](float largest, const std::vector<float>& values) {
    HeatStyle style = magnitudes;
    style.high = difference_ ? largest_size(values) : std::max(largest, 1e-12f);
    style.low = difference_ ? -style.high : 0;
    return style;
  };
  HeatStyle cosine;
  cosine.map = ColorMap::diverging;
  cosine.high = difference_ ? largest_size(*cosines_) : 1;
  cosine.low = -cosine.high;
  const std::array<Map, 3> maps = {
      {{"residual.norms", Texture::norms, norms_, &point_names_, scaled(shown_->largest_norm, *norms_),
        "residual.norm"},
       {"residual.written", Texture::written, written_, &part_names_,
        scaled(shown_->largest_written, *written_), "residual.norm"},
       {"residual.cosines", Texture::cosines, cosines_, &part_names_, cosine, "residual.cosine"}}};
  const std::array<const char*, 3> titles_of = {"residual.norms", "residual.written", "residual.cosines"};
  for (size_t i = 0; i < maps.size(); ++i) {
    const auto count = static_cast<float>(maps[i].rows->size());
    if (count == 0) continue;
    if (i > 0) area.cut_top(ui.px(block_gap_css));
    const Rect title = area.cut_top(ui.px(title_css));
    const Rect rest = picture_title(
        ui, {area.x0, title.y0, std::max(x1, area.x0 + area.width() * 0.8f), title.y1}, ui.tr(titles_of[i]));
    scale_line(ui, rest, maps[i].style, 2);
    if (i == 0) area.cut_top(label_height_);
    const Rect strip = area.cut_top(row * count);
    draw_map(c, commands, maps[i], {x0, strip.y0, x1, strip.y1}, i == 0);
  }
}

void ResidualView::draw_map(const ViewContext& c, CommandQueue& commands, const Map& map, const Rect& rect,
                            bool tokens) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const auto rows = static_cast<int64_t>(map.rows->size());
  MatrixSpec spec;
  spec.map = {
      key_of(map.texture), {map.values->data(), rows, shown_->T, shown_->T, 1}, map.values, map.style};
  spec.row_labels = *map.rows;
  if (tokens) spec.col_labels = labels_;
  const MatrixResult m = matrix(ui, map.id, rect, spec);
  if (lit_) {
    const float x = rect.x0 + static_cast<float>(*lit_) * m.cell_w;
    ui.outline({x - 1, rect.y0 - 1, x + m.cell_w, rect.y1}, t.query, 1.5f);
  }
  if (m.hovered) {
    const auto [row, col] = *m.hovered;
    hovered_ = col;
    ui.tooltip(fmt::format("{} · {} {}\n{} {}", (*map.rows)[static_cast<size_t>(row)],
                           labels_[static_cast<size_t>(col)], col, ui.tr(map.quantity),
                           number_text((*map.values)[shown_->at(row, col)], 3)));
  }
  if (m.clicked) commands.push("option.set", fmt::format("residual.token {}", m.clicked->col));
}

void ResidualView::draw_similarity(const ViewContext& c, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  picture_title(
      ui, area.cut_top(ui.px(title_css)), ui.tr("residual.similarity"),
      ui.tr(pinned_ && shown_ != pinned_ ? "residual.similarity.pair" : "residual.similarity.note"));
  if (shown_->T < 2) {
    ui.paragraph(area, TextStyle::small, t.muted,
                 ui.tr(with_cache_ ? "residual.similarity.cached" : "residual.similarity.one"));
    return;
  }
  const auto points = [](const ResidualModel& m) {
    std::vector<std::pair<int64_t, double>> all;
    for (size_t i = 0; i < m.similarity.size(); ++i)
      all.emplace_back(static_cast<int64_t>(i), m.similarity[i]);
    return all;
  };
  const auto now = points(*shown_);
  const bool b_alone = shown_ == pinned_;
  std::vector<std::pair<int64_t, double>> other;
  std::vector<Series> series;
  series.push_back({.name = b_alone ? "B" : "A",
                    .color = t.query,
                    .width_css = 2,
                    .dashed = false,
                    .markers = true,
                    .dense = nullptr,
                    .first_step = 0,
                    .points = now});
  if (pinned_ && !b_alone) {
    other = points(*pinned_);
    series.push_back({.name = "B",
                      .color = t.key,
                      .width_css = 2,
                      .dashed = true,
                      .markers = true,
                      .dense = nullptr,
                      .first_step = 0,
                      .points = other});
  }
  ChartSpec spec;
  spec.series = series;
  double low = 0;
  for (const Series& s : series)
    for (const auto& [depth, value] : s.points)
      if (std::isfinite(value)) low = std::min(low, value);
  spec.low = low;
  spec.high = 1.0;
  line_chart(ui, "residual.similarity", area, spec);
}

}  // namespace headlight::app
