// The bottom: next-token bars and the training panel.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "app/views/chrome/chrome.h"
#include "app/widgets/bars.h"
#include "app/widgets/buttons.h"
#include "core/engine/builtin.h"

namespace headlight::app {
namespace {

/// "TITLE · note", the note in plain letters; returns what is left below.
Rect titled(const Ui& ui, const Rect& area, std::string_view title, std::string_view note) {
  Rect rest = area.inset(ui.px(18), ui.px(14));
  Rect line = rest.cut_top(ui.line_height(TextStyle::section));
  const float used = ui.text_in(line, TextStyle::section, ui.theme().muted, upper(title));
  line.x0 += used + ui.px(6);
  if (!note.empty()) ui.text_in(line, TextStyle::group, ui.theme().muted, note);
  rest.cut_top(ui.px(8));
  return rest;
}

}  // namespace

std::vector<Candidate> model_distribution(const std::vector<Candidate>& candidates, size_t count) {
  std::vector<Candidate> top(std::min(candidates.size(), count));
  std::partial_sort_copy(candidates.begin(), candidates.end(), top.begin(), top.end(),
                         [](const Candidate& a, const Candidate& b) {
                           return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
                         });
  if (top.empty()) return top;
  const double largest = top.front().logit;
  double sum = 0;
  for (const Candidate& c : candidates) sum += std::exp(c.logit - largest);
  for (Candidate& c : top) c.probability = std::exp(c.logit - largest) / sum;
  return top;
}

void NextToken::draw(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  const Rect rest = titled(ui, c.area, ui.tr("next.title"), {});
  const auto& tokenizer = c.snapshot.model.tokenizer;
  const auto room = static_cast<size_t>(std::max(0.f, rest.height() / ui.px(bar_height)));
  if (version_ != c.snapshot.version || room_ != room) {
    version_ = c.snapshot.version;
    room_ = room;
    top_ = model_distribution(c.snapshot.generation.candidates, room);
  }
  std::vector<Bar> bars;
  for (const Candidate& candidate : top_) {
    Bar bar;
    // A model may have more tokens than its text: those have numbers only.
    bar.name = chip_text(display_token(tokenizer.get(), candidate.token));
    bar.value = candidate.probability;
    bar.length = candidate.probability;
    bars.push_back(bar);
  }
  const auto clicked = bar_list(ui, "next", rest, bars, {.name_css = 64, .number_css = 44, .digits = 2});
  if (clicked && tokenizer && top_[*clicked].token < tokenizer->vocab_size())
    commands.push("prompt.set", c.snapshot.prompt + tokenizer->token_text(top_[*clicked].token));
}

void draw_training_panel(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const TrainingState& training = c.snapshot.training;
  const History& history = *training.history;
  Rect rest = titled(ui, c.area, ui.tr("training.title"),
                     fmt::format("· {} {}", ui.tr("training.step"), grouped_text(training.step)));
  const float button_top = rest.y1 - ui.px(control_height);
  const auto row = [&](const std::string& name, const std::string& value) {
    if (rest.y0 + ui.px(22) > button_top - ui.px(4)) return;
    Rect r = rest.cut_top(ui.px(22));
    const float width = ui.measure(TextStyle::mono, value).x;
    ui.text_in(r.cut_right(width), TextStyle::mono, t.text, value, Align::right);
    r.cut_right(ui.px(8));
    ui.text_in(r, TextStyle::mono, t.muted, name);
  };
  const std::string none = "–";
  const std::string train_loss = history.empty() ? none : number_text(history.back().train_loss);
  const std::string validation =
      history.validation().empty() ? none : number_text(history.validation().back().loss);
  row(ui.tr("training.losses"), fmt::format("{} / {}", train_loss, validation));
  if (c.snapshot.corpus.entropy_floor)
    row(ui.tr("training.floor"), number_text(*c.snapshot.corpus.entropy_floor));
  row(ui.tr("training.gradient_norm"), history.empty() ? none : number_text(history.back().gradient_norm, 2));
  row(ui.tr("training.speed"),
      training.tokens_per_second > 0 ? grouped_text(std::llround(training.tokens_per_second)) : none);

  Rect buttons{rest.x0, button_top, rest.x1, button_top + ui.px(control_height)};
  const bool running = training.status == TrainingStatus::running;
  const ButtonSpec train{.icon = Icon::play, .label = ui.tr("training.train"), .main = true};
  const ButtonSpec pause{.icon = Icon::pause, .label = ui.tr("pause"), .main = true};
  const float width = std::max({button_width(ui, train), button_width(ui, pause), ui.px(110)});
  if (button(ui, "train.toggle", buttons.cut_left(width), running ? pause : train))
    commands.push("train.toggle");
  buttons.cut_left(ui.px(6));
  if (button(ui, "train.step", buttons.cut_left(ui.px(38)),
             {.icon = Icon::step, .enabled = !running, .tooltip = ui.tr("command.train.step")}))
    commands.push("train.step");
  buttons.cut_left(ui.px(6));
  if (button(ui, "train.reset", buttons.cut_left(ui.px(38)),
             {.icon = Icon::restart, .tooltip = ui.tr("command.train.reset")}))
    commands.push("train.reset");
  buttons.cut_left(ui.px(6));
  const ButtonSpec fresh{.label = ui.tr("training.fresh"), .tooltip = ui.tr("command.train.fresh")};
  if (const float wide = button_width(ui, fresh); wide <= buttons.width()) {
    if (button(ui, "train.fresh", buttons.cut_left(wide), fresh)) commands.push("train.fresh");
  }
}

}  // namespace headlight::app
