// The logit lens of the Residual view: what the unembedding would say at every depth, as a table.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/views/residual.h"
#include "app/views/view_parts.h"
#include "app/widgets/matrix.h"

namespace headlight::app {
namespace {

// CSS pixels.
constexpr float title_css = 26, narrowest_cell_css = 44, widest_cell_css = 92;
constexpr float shortest_row_css = 20, tallest_row_css = 48, two_lines_css = 36;
constexpr float column_angle = 56;

}  // namespace

float ResidualView::lens_height(const Ui& ui) const {
  return ui.px(title_css) + label_height_ + ui.px(tallest_row_css) * static_cast<float>(shown_->P()) +
         ui.px(12);
}

void ResidualView::draw_lens_cell(const ViewContext& c, int64_t row, int64_t token, const Rect& cell) const {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const LensCell& lens = shown_->lens->cells[shown_->at(row, token)];
  if (lens.token < 0) return;  // not computed
  const Color ink = ink_on(map_color(ui.magnitudes(), lens.probability, t.kind));
  const float room = cell.width() - ui.px(6);
  std::string text = token_name(lens.token);
  const bool two = cell.height() >= ui.px(two_lines_css);
  const TextStyle style = TextStyle::mono;
  if (ui.measure(style, text).x > room) text = elide(ui.fonts(), style, text, room);
  const float line = ui.line_height(style), small = ui.line_height(TextStyle::mono_small);
  const float top = two ? cell.centre().y - (line + small) / 2 : cell.centre().y - line / 2;
  ui.text({cell.centre().x - ui.measure(style, text).x / 2, top}, style, ink, text);
  if (two) {
    const std::string number = number_text(lens.probability, 2);
    ui.text({cell.centre().x - ui.measure(TextStyle::mono_small, number).x / 2, top + line},
            TextStyle::mono_small, fade(ink, 0.85f), number);
  }
  const bool right = lens.target_probability >= 0 && lens.target_probability >= lens.probability;
  if (right) ui.outline({cell.x0 + 1, cell.y0 + 1, cell.x1 - ui.px(2), cell.y1 - ui.px(2)}, ink, 2, 2);
}

std::string ResidualView::lens_note(const ViewContext& c) const {
  const Ui& ui = c.ui;
  const LogitLens* lens = shown_->lens.get();
  // What went wrong with the recording keeps the lens away, too.
  if (lens == nullptr && !c.failure.empty()) return std::string(c.failure);
  if (lens == nullptr) return ui.tr(shown_ == pinned_ ? "residual.lens.not_read" : "residual.lens.reading");
  if (lens->extent == LogitLens::Extent::none)
    return fmt::format(fmt::runtime(ui.tr("residual.lens.missing")), lens->missing);
  if (lens->extent == LogitLens::Extent::all) return {};
  const bool comes = shown_ != pinned_ && lens_work(*c.run) <= largest_lens &&
                     c.snapshot.training.status != TrainingStatus::running;
  return comes ? ui.tr("residual.lens.reading")
               : fmt::format(fmt::runtime(ui.tr("residual.lens.large")),
                             labels_[static_cast<size_t>(lens->column)], lens->column);
}

void ResidualView::draw_lens(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const Rect title = area.cut_top(ui.px(title_css));
  const std::string note = lens_note(c);
  HeatStyle style;
  style.map = ui.magnitudes();
  style.theme = t.kind;
  style.gap = std::max(1.f, std::floor(ui.scale()));
  if (!shown_->lens || shown_->lens->extent == LogitLens::Extent::none) {
    picture_title(ui, title, ui.tr("residual.lens"));
    ui.paragraph(area, TextStyle::small, t.muted, note);
    return;
  }
  const LogitLens& lens = *shown_->lens;
  scale_line(ui, picture_title(ui, title, ui.tr("residual.lens"), ui.tr("residual.lens.note")), style, 0);
  const bool column = lens.extent == LogitLens::Extent::column;
  if (!note.empty()) area.cut_top(ui.paragraph(area, TextStyle::small, t.muted, note) + ui.px(6));

  // Which rows and columns find room; the wheel brings up the others.
  const int64_t P = shown_->P(), T = shown_->T;
  const bool labels_fit = area.height() > label_height_ + ui.px(shortest_row_css) * 3;
  Rect table = area;
  table.cut_left(label_width_);
  if (labels_fit) table.cut_top(label_height_);
  table.x1 -= label_right_ * 0.6f;
  if (table.empty()) return;
  const float bar = ui.px(8);
  const auto fits = [](float room, float each, int64_t all) {
    return std::clamp<int64_t>(static_cast<int64_t>(room / each), 1, all);
  };
  const int64_t columns = column ? 1 : T;
  const int64_t cols = fits(table.width(), ui.px(narrowest_cell_css), columns);
  const int64_t rows = fits(table.height() - bar, ui.px(shortest_row_css), P);
  const float cell_w = std::floor(std::min(table.width() / static_cast<float>(cols), ui.px(widest_cell_css)));
  const float cell_h =
      std::floor(std::min((table.height() - bar) / static_cast<float>(rows), ui.px(tallest_row_css)));
  table.x1 = table.x0 + cell_w * static_cast<float>(cols);
  table.y1 = table.y0 + cell_h * static_cast<float>(rows);
  const ImGuiIO& io = ImGui::GetIO();
  if (ImGui::IsWindowHovered() && area.contains(io.MousePos)) {
    const bool sideways = io.KeyShift || rows == P;
    (sideways ? scroll_col_ : scroll_row_) -= static_cast<double>(io.MouseWheel);
    scroll_col_ -= static_cast<double>(io.MouseWheelH);
  }
  scroll_row_ = std::clamp(scroll_row_, 0.0, static_cast<double>(P - rows));
  scroll_col_ = std::clamp(scroll_col_, 0.0, static_cast<double>(columns - cols));
  const auto first_row = static_cast<int64_t>(std::llround(scroll_row_));
  const int64_t first_col = column ? lens.column : static_cast<int64_t>(std::llround(scroll_col_));

  const Press press = ui.press("residual.lens", table);
  std::optional<std::pair<int64_t, int64_t>> under;
  if (press.hovered) {
    const auto row = first_row + static_cast<int64_t>((io.MousePos.y - table.y0) / cell_h);
    const auto col = first_col + static_cast<int64_t>((io.MousePos.x - table.x0) / cell_w);
    if (row < P && col < T) {
      under = {row, col};
      hovered_ = col;
      if (press.clicked) commands.push("option.set", fmt::format("residual.token {}", col));
    }
  }
  ui.heat_map(table, {key_of(Texture::lens), {shown_->lens_colors.data(), P, T, T, 1}, shown_, style},
              {static_cast<float>(first_col), static_cast<float>(first_row),
               static_cast<float>(first_col + cols), static_cast<float>(first_row + rows)});
  const float line = ui.line_height(TextStyle::mono_small);
  for (int64_t r = first_row; r < first_row + rows; ++r) {
    const float y = table.y0 + static_cast<float>(r - first_row) * cell_h;
    const std::string& name = point_names_[static_cast<size_t>(r)];
    const float wide = ui.measure(TextStyle::mono_small, name).x;
    ui.text({table.x0 - ui.px(8) - wide, y + (cell_h - line) / 2}, TextStyle::mono_small, t.muted, name);
    for (int64_t col = first_col; col < first_col + cols; ++col) {
      const float x = table.x0 + static_cast<float>(col - first_col) * cell_w;
      draw_lens_cell(c, r, col, {x, y, x + cell_w, y + cell_h});
    }
  }
  for (int64_t col = first_col; labels_fit && col < first_col + cols; ++col) {
    const float x = table.x0 + (static_cast<float>(col - first_col) + 0.5f) * cell_w;
    std::string text = labels_[static_cast<size_t>(col)];
    if (ui.measure(TextStyle::mono_small, text).x > ui.px(84))
      text = elide(ui.fonts(), TextStyle::mono_small, text, ui.px(84));
    ui.rotated_text({x + ui.px(1), table.y0 - ui.px(8)}, column_angle, TextStyle::mono_small,
                    lit_ == col ? t.query : t.muted, text);
  }
  if (lit_ && *lit_ >= first_col && *lit_ < first_col + cols) {
    const float x = table.x0 + static_cast<float>(*lit_ - first_col) * cell_w;
    ui.outline({x - 1, table.y0 - 1, x + cell_w, table.y1}, t.query, 1.5f);
  }
  if (cols < columns) {
    const float y = table.y1 + ui.px(5), from = static_cast<float>(first_col) / static_cast<float>(columns);
    const float share = static_cast<float>(cols) / static_cast<float>(columns);
    ui.fill({table.x0, y, table.x1, y + ui.px(4)}, t.raised, 2);
    ui.fill({table.x0 + from * table.width(), y, table.x0 + (from + share) * table.width(), y + ui.px(4)},
            t.track, 2);
  }
  if (rows < P) {
    const float x = table.x1 + ui.px(5), from = static_cast<float>(first_row) / static_cast<float>(P);
    const float share = static_cast<float>(rows) / static_cast<float>(P);
    ui.fill({x, table.y0, x + ui.px(4), table.y1}, t.raised, 2);
    ui.fill({x, table.y0 + from * table.height(), x + ui.px(4), table.y0 + (from + share) * table.height()},
            t.track, 2);
  }
  if (!under) return;
  const LensCell& cell = lens.cells[shown_->at(under->first, under->second)];
  if (cell.token < 0) return;
  std::string text = fmt::format("{} · {} {}\n{} {}", point_names_[static_cast<size_t>(under->first)],
                                 labels_[static_cast<size_t>(under->second)], under->second,
                                 token_name(cell.token), number_text(cell.probability));
  for (const LensToken& other : cell.runners_up)
    if (other.token >= 0)
      text += fmt::format("\n{} {}", token_name(other.token), number_text(other.probability));
  if (cell.target_probability >= 0)
    text +=
        fmt::format("\n{} {} {}", ui.tr("residual.lens.next"),
                    labels_[static_cast<size_t>(under->second + 1)], number_text(cell.target_probability));
  ui.tooltip(text);
}

}  // namespace headlight::app
