// Layout and charts of the Training view; its side column is in training_side.cpp.
#include "app/views/training.h"

#include <fmt/format.h>

#include <cmath>

#include "app/render/color_map.h"
#include "app/views/run_data.h"
#include "app/widgets/buttons.h"
#include "app/widgets/flow.h"
#include "app/widgets/legend.h"

namespace headlight::app {
namespace {

constexpr float two_columns_css = 880, side_css = 420;

bool option_on(const ViewContext& c, std::string_view key) {
  return c.session.state.option(key, "off") == "on";
}

/// Colours of the parts of the gradient norm: blocks by depth along the colour map, from its lighter side on
/// dark ground and its darker side on light ground.
Color part_color(const Ui& ui, size_t part, size_t parts) {
  const Theme& t = ui.theme();
  if (part == 0) return t.residual;
  if (part + 1 == parts) return t.logits;
  const size_t blocks = parts - 2;
  const float depth = blocks > 1 ? static_cast<float>(part - 1) / static_cast<float>(blocks - 1) : 0.5f;
  return map_color(ui.magnitudes(), t.dark ? 0.48f + 0.3f * depth : 0.1f + 0.45f * depth, t.kind);
}

struct StatusLook {
  Icon icon;
  Color color;
};
StatusLook status_look(const Theme& t, TrainingModel::Kind kind) {
  using enum TrainingModel::Kind;
  switch (kind) {
    case running:
    case running_on:
      return {Icon::play, t.accent};
    case paused:
      return {Icon::pause, t.warning};
    case finished:
      return {Icon::last, t.value};
    case failed:
      return {Icon::close, t.error};
    case no_text:
      return {Icon::close, t.warning};
    case fresh:
    case from_file:
      break;
  }
  return {Icon::right, t.muted};
}

}  // namespace

void TrainingView::draw_header(const ViewContext& c, CommandQueue& commands, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const bool running = c.snapshot.training.status == TrainingStatus::running;
  Flow flow(ui, rest, control_height, 8, 8);

  const std::string& title = ui.tr("view.training");
  Rect at = flow.next(ui.measure(TextStyle::display, title).x + ui.px(12));
  ui.text_in(at, TextStyle::display, t.text, title);

  const ButtonSpec train{.icon = Icon::play, .label = ui.tr("training.train"), .main = true};
  const ButtonSpec pause{.icon = Icon::pause, .label = ui.tr("pause"), .main = true};
  const float width = std::max({button_width(ui, train), button_width(ui, pause), ui.px(110)});
  if (button(ui, "training_view.toggle", flow.next(width), running ? pause : train))
    commands.push("train.toggle");

  const ButtonSpec one{.icon = Icon::step,
                       .label = ui.tr("training_view.one"),
                       .enabled = !running,
                       .tooltip = ui.tr("command.train.step")};
  if (button(ui, "training_view.one", flow.next(button_width(ui, one)), one)) commands.push("train.step");

  const ButtonSpec fifty{.label = ui.tr("training_view.fifty"), .enabled = !running};
  if (button(ui, "training_view.fifty", flow.next(button_width(ui, fifty)), fifty))
    commands.push("train.steps", "50");

  const uint64_t seed = c.snapshot.model.seed + 1;
  const std::string tooltip = fmt::format(fmt::runtime(ui.tr("training_view.reset_tooltip")), seed);
  const ButtonSpec reset{.icon = Icon::restart, .label = ui.tr("training_view.reset"), .tooltip = tooltip};
  if (button(ui, "training_view.reset", flow.next(button_width(ui, reset)), reset))
    commands.push("train.reset", std::to_string(seed));

  if (!model_.corpus.empty()) {
    // At the right end, where it finds room; the side column says it too.
    const std::string detail = fmt::format("{} {} · V {}", count_text(model_.train_tokens),
                                           ui.tr("training_view.kind.tokens"), model_.vocabulary);
    const PillSpec text{model_.corpus, detail, false};
    const float wide = pill_width(ui, text);
    if (flow.rows() == 1 && flow.left() >= wide + ui.px(12))
      pill(ui, "training_view.corpus", {rest.x1 - wide, rest.y0, rest.x1, flow.bottom()}, text);
  }
  rest.y0 = flow.bottom() + ui.px(8);

  const StatusLook look = status_look(t, model_.kind);
  const std::string sentence = training_sentence(ui.strings(), ui.language(), model_);
  ui.fonts().need(sentence);
  const float line = ui.line_height(TextStyle::small);
  draw_icon(ui, look.icon, {rest.x0, rest.y0, rest.x0 + ui.px(14), rest.y0 + line}, 10, look.color);
  const bool alarming =
      model_.kind == TrainingModel::Kind::failed || model_.kind == TrainingModel::Kind::no_text;
  const Rect words{rest.x0 + ui.px(22), rest.y0, rest.x1, rest.y1};
  const float height = ui.paragraph(words, TextStyle::small, alarming ? look.color : t.past, sentence);
  rest.y0 += std::max(height, line) + ui.px(10);
}

void TrainingView::plot(const ViewContext& c, CommandQueue& commands, std::string_view id, Rect area,
                        ChartSpec spec) {
  const Ui& ui = c.ui;
  if (c.history.train_loss.size() == 0) {
    ui.paragraph(area, TextStyle::caption, ui.theme().muted, ui.tr("training_view.no_history"));
    return;
  }
  const auto recorded = [&](int64_t step) {
    return std::clamp(step, c.history.first_step, c.history.last_step());
  };
  spec.log_x = option_on(c, "training.log_x");
  spec.scrubber =
      hovered_step_ ? *hovered_step_ : recorded(c.session.training_step.value_or(c.history.last_step()));
  const ChartResult result = line_chart(ui, id, area, spec);
  if (result.hovered_step) hovered_now_ = recorded(*result.hovered_step);
  if (result.scrubbed) commands.push("train.show", std::to_string(recorded(*result.scrubbed)));
}

void TrainingView::draw_chart(const ViewContext& c, CommandQueue& commands, std::string_view id, Rect area,
                              std::string_view title, std::string_view value, ChartSpec spec, bool legend) {
  const Ui& ui = c.ui;
  Rect line = area.cut_top(ui.px(20));
  // The value gives way where both do not fit.
  const float name = ui.measure(TextStyle::heading, title).x, number = ui.measure(TextStyle::mono, value).x;
  if (name + ui.px(8) + number + 1 <= line.width())
    ui.text_in(line.cut_right(number + 1), TextStyle::mono, ui.theme().text, value, Align::right);
  ui.text_in(line, TextStyle::heading, ui.theme().text, title);
  if (legend) area.cut_top(chart_legend(ui, area, spec.series));
  area.cut_top(ui.px(6));
  plot(c, commands, id, area, spec);
}

void TrainingView::draw_loss_chart(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  // The axes' switches stand at the right of the title's line.
  const bool log_x = option_on(c, "training.log_x"), log_y = option_on(c, "training.log_y");
  const std::array<Toggle, 2> axes = {
      {{"log_y", ui.tr("training_view.log_y"), log_y}, {"log_x", ui.tr("training_view.log_x"), log_x}}};
  const float width = toggles_width(ui, axes);
  const Rect corner{area.x1 - width, area.y0, area.x1, area.y0 + ui.px(28)};
  if (const auto i = toggles(ui, "training_view.axes", corner, axes))
    commands.push("option.set", fmt::format("training.{} {}", axes[*i].id, axes[*i].on ? "off" : "on"));

  std::vector<Guide> guides;
  guides.push_back({*model_.losses[3].loss, ui.tr("training.ln_v")});
  if (model_.losses[2].loss) guides.push_back({*model_.losses[2].loss, ui.tr("training.floor_short")});
  const Series series[] = {{.name = ui.tr("training.train_loss"),
                            .color = train_loss_color(t),
                            .width_css = 1.3f,
                            .dense = &c.history.train_loss,
                            .first_step = c.history.first_step,
                            .points = {}},
                           {.name = ui.tr("training.val_loss"),
                            .color = t.key,
                            .width_css = 2,
                            .markers = c.history.validation_loss.size() <= 60,
                            .points = c.history.validation_loss}};
  const Rect top{area.x0, area.y0, area.x1, area.y0 + ui.px(28)};
  float used = ui.text_in({top.x0, top.y0, corner.x0 - ui.px(12), top.y1}, TextStyle::heading, t.text,
                          ui.tr("training_view.loss"));
  used += ui.px(18);
  area.cut_top(ui.px(28));
  const Rect beside{top.x0 + used, top.y0 + ui.px(5), corner.x0 - ui.px(12), top.y1};
  float wanted = 0;
  for (const Series& s : series) wanted += ui.measure(TextStyle::label, s.name).x + ui.px(22 + 7 + 14);
  if (wanted <= beside.width())
    chart_legend(ui, beside, series);
  else
    area.cut_top(chart_legend(ui, area, series));
  area.cut_top(ui.px(4));
  plot(c, commands, "training_view.loss", area, {.series = series, .guides = guides, .log_y = log_y});
}

void TrainingView::draw_gradient_chart(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  constexpr std::array<std::pair<float, float>, 4> dashes = {{{7, 3}, {3, 3}, {11, 4}, {2, 5}}};
  std::vector<Series> series;
  series.push_back({.name = ui.tr("training_view.part.total"),
                    .color = t.gradient,
                    .width_css = 2,
                    .dense = &c.history.gradient_norm,
                    .first_step = c.history.first_step,
                    .points = {}});
  const size_t parts = c.history.block_gradient_norms.size();
  for (size_t i = 0; i < parts; ++i) {
    const auto& [on, off] = dashes[i % dashes.size()];
    series.push_back({.name = gradient_part_name(ui.strings(), ui.language(), i, parts),
                      .color = part_color(ui, i, parts),
                      .width_css = 1.4f,
                      .dashed = true,
                      .on_css = on,
                      .off_css = off,
                      .dense = &c.history.block_gradient_norms[i],
                      .first_step = c.history.first_step,
                      .points = {}});
  }
  std::vector<Guide> guides;
  if (model_.clip > 0) guides.push_back({model_.clip, ui.tr("training_view.clip")});
  ChartSpec spec{.series = series, .guides = guides, .log_y = option_on(c, "training.log_y")};
  draw_chart(c, commands, "training_view.gradient", area, ui.tr("training_view.gradient"),
             model_.gradient_norm ? number_text(*model_.gradient_norm) : "", spec, true);
}

void TrainingView::draw_rate_chart(const ViewContext& c, CommandQueue& commands, Rect area) {
  const SeriesPyramid& rates = c.history.learning_rate;
  const double highest = rates.size() > 0 ? rates.extremes(0, rates.size()).high : 0;
  const Series series[] = {{.name = c.ui.tr("training_view.rate"),
                            .color = c.ui.theme().norm,
                            .width_css = 2,
                            .dense = &c.history.learning_rate,
                            .first_step = c.history.first_step,
                            .points = {}}};
  draw_chart(c, commands, "training_view.rate", area, c.ui.tr("training_view.rate_title"),
             model_.learning_rate ? fmt::format("{:.3g}", *model_.learning_rate) : "",
             {.series = series, .guides = {}, .low = 0.0, .high = highest > 0 ? highest * 1.1 : 1}, false);
}

void TrainingView::draw_speed_chart(const ViewContext& c, CommandQueue& commands, Rect area) {
  const Series series[] = {{.name = c.ui.tr("training.speed"),
                            .color = c.ui.theme().value,
                            .width_css = 1.2f,
                            .dense = &c.history.tokens_per_second,
                            .first_step = c.history.first_step,
                            .points = {}}};
  draw_chart(c, commands, "training_view.speed", area, c.ui.tr("training_view.speed_title"),
             model_.tokens_per_second ? grouped_text(std::llround(*model_.tokens_per_second)) : "",
             {.series = series, .guides = {}, .low = 0.0}, false);
}

void TrainingView::draw(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  const std::optional<int64_t> step = hovered_step_ ? hovered_step_ : c.session.training_step;
  if (c.snapshot.version != prepared_version_ || step != prepared_step_) {
    model_ = prepare_training(c.snapshot, step);
    prepared_version_ = c.snapshot.version;
    prepared_step_ = step;
  }
  hovered_now_.reset();
  Rect rest = c.area;
  draw_header(c, commands, rest);
  if (rest.height() < ui.px(24)) return;

  const auto scrolled = [&](const char* name, const Rect& area, auto contents) {
    ImGui::SetCursorScreenPos(area.min());
    ImGui::BeginChild(name, area.size(), false, ImGuiWindowFlags_NoNav);
    const float scroll = ImGui::GetScrollY();
    // Tall enough for whatever comes; what was used of it becomes the scrolled height.
    Rect column{area.x0, area.y0 - scroll, area.x1 - ui.px(14), area.y0 - scroll + 1e6f};
    contents(column);
    ImGui::SetCursorScreenPos({area.x0, column.y0});
    ImGui::Dummy({1, 1});
    ImGui::EndChild();
  };
  const auto side = [&](Rect& column) {
    draw_losses(c, commands, column);
    draw_newest_sample(c, column);
    draw_settings(c, commands, column);
    draw_parameters(c, column);
    draw_memory(c, column);
    draw_corpus(c, commands, column);
    draw_samples(c, column);
  };
  const bool many_parts = c.history.block_gradient_norms.size() > 5;
  if (rest.width() >= ui.px(two_columns_css) && rest.height() >= ui.px(380)) {
    const float width = std::min(ui.px(side_css), rest.width() * 0.38f);
    const Rect right = rest.cut_right(width);
    rest.cut_right(ui.px(28));
    Rect lower = rest.cut_bottom(std::round(rest.height() * (many_parts ? 0.46f : 0.4f)));
    rest.cut_bottom(ui.px(18));
    draw_loss_chart(c, commands, rest);
    const Rect gradient = lower.cut_left(std::round(lower.width() * 0.42f));
    draw_gradient_chart(c, commands, gradient);
    lower.cut_left(ui.px(20));
    const Rect rate = lower.cut_left(std::round((lower.width() - ui.px(20)) / 2));
    draw_rate_chart(c, commands, rate);
    lower.cut_left(ui.px(20));
    draw_speed_chart(c, commands, lower);
    scrolled("training.side", right, side);
  } else {
    scrolled("training.all", rest, [&](Rect& column) {
      draw_loss_chart(c, commands,
                      column.cut_top(std::max(ui.px(220), std::min(rest.height() - ui.px(30), ui.px(420)))));
      column.cut_top(ui.px(18));
      draw_losses(c, commands, column);
      draw_newest_sample(c, column);
      column.cut_top(ui.px(18));
      draw_gradient_chart(c, commands, column.cut_top(ui.px(many_parts ? 250 : 210)));
      column.cut_top(ui.px(18));
      Rect pair = column.cut_top(ui.px(180));
      draw_rate_chart(c, commands, pair.cut_left(std::round((pair.width() - ui.px(20)) / 2)));
      pair.cut_left(ui.px(20));
      draw_speed_chart(c, commands, pair);
      draw_settings(c, commands, column);
      draw_corpus(c, commands, column);
      draw_parameters(c, column);
      draw_memory(c, column);
      draw_samples(c, column);
    });
  }
  hovered_step_ = hovered_now_;
}

}  // namespace headlight::app
