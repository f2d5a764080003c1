// Losses by token and gradient norms by parameter as bars, beside or instead of matrices.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/views/pass_stage.h"

namespace headlight::app {
namespace {

/// Puts hover and click of a bar on a cell.
void use_cell(const PassStage& stage, const Press& press, BufferId buffer, int64_t offset) {
  if (buffer == no_buffer) return;
  const std::string& name = stage.context.run->program().buffer(buffer).name;
  if (press.hovered) stage.context.hover = CellPick{name, offset};
  if (press.clicked) stage.commands.push("cell.pin", fmt::format("{} {}", name, offset));
}

std::string target_text(const PassStage& stage, int32_t target) {
  const auto& vocabulary = stage.labels.vocabulary;
  const auto at = static_cast<size_t>(target);
  return target >= 0 && at < vocabulary.size() ? vocabulary[at] : fmt::format("#{}", target);
}

}  // namespace

void draw_pass_loss(const PassStage& stage) {
  const Ui& ui = stage.context.ui;
  const Theme& t = ui.theme();
  const PassScene& scene = stage.scene;
  if (scene.losses.empty()) return;
  const Program& program = stage.context.run->program();
  const BufferId by_token = program.step(scene.step).outputs[1];
  const Rect room = stage.geometry.bars;
  const float pitch = room.height() / static_cast<float>(scene.losses.size());
  const float line = ui.line_height(TextStyle::mono_small);

  double largest = scene.uniform_loss * 1.1;
  float names = 0, numbers = ui.measure(TextStyle::mono, "00.000").x;
  std::vector<std::string> texts;
  for (const PassLoss& loss : scene.losses) {
    if (std::isfinite(loss.loss)) largest = std::max(largest, loss.loss);
    texts.push_back(loss.target < 0 ? "→ –" : "→ " + target_text(stage, loss.target));
    names = std::max(names, ui.measure(TextStyle::mono_small, texts.back()).x);
  }
  names = std::min(names, room.width() * 0.3f);
  const float x0 = room.x0 + names + ui.px(12), x1 = room.x1 - numbers - ui.px(12);
  const auto x_of = [&](double loss) { return x0 + static_cast<float>(loss / largest) * (x1 - x0); };

  // Title in line with the matrix', the guides' names below it.
  const float title_y =
      stage.geometry.slots.empty() ? room.y0 - ui.px(48) : stage.geometry.slots[0].header.y0;
  ui.text_in({room.x0, title_y, stage.context.area.x1, title_y + ui.line_height(TextStyle::heading)},
             TextStyle::heading, t.text, ui.tr("pass.loss_by_token"));
  const auto guide = [&](double value, std::string_view name, Color color, float lane) {
    const float x = x_of(value);
    const float y = room.y0 - ui.px(6) - (line + ui.px(2)) * (1 + lane);
    ui.dashed({x, y + line}, {x, room.y1}, fade(color, 0.8f), 1.2f, 4, 4);
    const std::string text = fmt::format("{} {}", name, number_text(value, 3));
    const float width = ui.measure(TextStyle::mono_small, text).x;
    ui.text({std::clamp(x - width / 2, room.x0, std::max(room.x1 - width, room.x0)), y},
            TextStyle::mono_small, color, text);
  };
  guide(scene.uniform_loss, "ln V", t.muted, 0);
  if (std::isfinite(scene.loss)) guide(scene.loss, ui.tr("pass.loss_mean"), t.logits, 1);

  const auto every = std::max<size_t>(1, static_cast<size_t>(std::ceil(line * 0.9f / std::max(pitch, 0.1f))));
  for (size_t i = 0; i < scene.losses.size(); ++i) {
    const PassLoss& loss = scene.losses[i];
    const Rect row{room.x0, room.y0 + static_cast<float>(i) * pitch, room.x1,
                   room.y0 + static_cast<float>(i + 1) * pitch};
    const bool lit = stage.token == loss.position;
    const Press press = ui.press(fmt::format("pass.loss.{}", i), row);
    use_cell(stage, press, by_token, loss.position);
    if (press.hovered || lit) ui.fill(row, t.row, 3);
    const auto from_lit = stage.token ? std::abs(*stage.token - loss.position) : int64_t{1} << 40;
    const bool named = lit || (i % every == 0 && from_lit >= static_cast<int64_t>(every));
    if (named) {
      const Rect name{row.x0, row.centre().y - line / 2, row.x0 + names, row.centre().y + line / 2};
      const std::string& text = texts[i];
      const bool fits = ui.measure(TextStyle::mono_small, text).x <= name.width();
      ui.text_in(name, TextStyle::mono_small, lit ? t.query : t.muted,
                 fits ? text : elide(ui.fonts(), TextStyle::mono_small, text, name.width()));
    }
    if (!std::isfinite(loss.loss)) continue;
    const float thick = std::clamp(pitch * 0.6f, 1.f, ui.px(14));
    ui.fill({x0, row.centre().y - thick / 2, std::max(x_of(loss.loss), x0 + 2), row.centre().y + thick / 2},
            loss.loss > scene.uniform_loss ? t.warning : t.bar, 3);
    if (named)
      ui.text_in({x1, row.centre().y - line / 2, row.x1, row.centre().y + line / 2}, TextStyle::mono_small,
                 lit ? t.strong : t.text, fmt::format("{:.3f}", loss.loss), Align::right);
  }
}

void draw_pass_norms(const PassStage& stage) {
  const Ui& ui = stage.context.ui;
  const Theme& t = ui.theme();
  const PassScene& scene = stage.scene;
  Rect room = stage.geometry.bars;
  if (scene.norms.empty()) {
    ui.paragraph(room.inset(0, ui.px(8)), TextStyle::small, t.muted, ui.tr("pass.not_captured"));
    return;
  }
  if (std::isfinite(scene.norm)) {
    // The whole length and what the clip leaves of it.
    const Rect line = room.cut_top(ui.px(40));
    const std::string text = fmt::format("‖dW‖ = {}    {} = {}", number_text(scene.norm, 4),
                                         ui.tr("pass.clip_factor"), number_text(scene.clip, 4));
    ui.text_in(line, TextStyle::display, scene.clip < 1 ? t.warning : t.text, text);
    room.cut_top(ui.px(8));
  }
  float names = 0;
  for (const PassNorm& norm : scene.norms)
    names = std::max(names, ui.measure(TextStyle::mono_small, norm.name).x);
  const float pitch = ui.px(24), numbers = ui.measure(TextStyle::mono, "0.00e+00").x;
  const auto fit = std::max<size_t>(1, static_cast<size_t>(room.height() / pitch));
  const size_t wanted = (scene.norms.size() + fit - 1) / fit;
  const float least = names + numbers + ui.px(120);
  const auto columns =
      std::clamp<size_t>(wanted, 1, std::max<size_t>(1, static_cast<size_t>(room.width() / least)));
  const size_t in_column = std::min(fit, (scene.norms.size() + columns - 1) / columns);
  const size_t shown =
      std::min(scene.norms.size(), columns * in_column - (scene.norms.size() > columns * in_column ? 1 : 0));
  const float wide = std::min(room.width() / static_cast<float>(columns), ui.px(760));
  const double largest = std::max(scene.norms[0].norm, 1e-30);
  for (size_t i = 0; i < shown; ++i) {
    const PassNorm& norm = scene.norms[i];
    const auto column = static_cast<float>(i / in_column), at = static_cast<float>(i % in_column);
    Rect row{room.x0 + column * wide, room.y0 + at * pitch, room.x0 + (column + 1) * wide - ui.px(28),
             room.y0 + (at + 1) * pitch};
    const Press press = ui.press(fmt::format("pass.norm.{}", norm.name), row);
    use_cell(stage, press, scene.squares, norm.offset);
    if (press.hovered) ui.fill(row, t.raised, 4);
    const Rect name = row.cut_left(std::min(names, row.width() * 0.5f));
    const bool fits = ui.measure(TextStyle::mono_small, norm.name).x <= name.width() + 1;
    ui.text_in(name, TextStyle::mono_small, t.past,
               fits ? norm.name : elide(ui.fonts(), TextStyle::mono_small, norm.name, name.width()));
    row.cut_left(ui.px(10));
    ui.text_in(row.cut_right(numbers), TextStyle::mono, t.text, number_text(norm.norm, 4), Align::right);
    row.cut_right(ui.px(10));
    const float length = std::max(static_cast<float>(norm.norm / largest) * row.width(), 2.f);
    ui.fill({row.x0, row.centre().y - ui.px(6), row.x0 + length, row.centre().y + ui.px(6)},
            fade(t.gradient, 0.75f), 3);
  }
  if (shown < scene.norms.size()) {
    const auto at = static_cast<float>(shown % in_column), column = static_cast<float>(shown / in_column);
    const float x = room.x0 + column * wide, y = room.y0 + at * pitch;
    ui.text_in({x, y, x + wide, y + pitch}, TextStyle::mono_small, t.muted,
               fmt::format("+ {} {}", scene.norms.size() - shown, ui.tr("inspector.more")));
  }
}

}  // namespace headlight::app
