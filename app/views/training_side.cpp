// The side column of the Training view: losses and perplexities, settings, text, parameters, sample texts.
#include <fmt/format.h>

#include "app/views/run_data.h"
#include "app/views/training.h"
#include "app/widgets/buttons.h"
#include "app/widgets/flow.h"
#include "core/base/out_of_memory.h"

namespace headlight::app {
namespace {

/// A panel's title with room above; returns its line, whose right side is free.
Rect section(const Ui& ui, Rect& rest, std::string_view title) {
  rest.cut_top(ui.px(16));
  Rect line = rest.cut_top(ui.line_height(TextStyle::section));
  line.cut_left(ui.text_in(line, TextStyle::section, ui.theme().muted, upper(title)));
  rest.cut_top(ui.px(8));
  return line;
}

Color row_color(const Theme& t, LossRow::Kind kind) {
  switch (kind) {
    case LossRow::Kind::train:
      return train_loss_color(t);
    case LossRow::Kind::validation:
      return t.key;
    case LossRow::Kind::floor:
    case LossRow::Kind::uniform:
      break;
  }
  return t.muted;
}

Color part_color(const Theme& t, std::string_view key) {
  if (key == "embedding") return t.bar;
  if (key == "position") return t.position;
  if (key == "attention") return t.attention;
  if (key == "mlp") return t.mlp;
  if (key == "norm") return t.norm;
  return t.logits;
}

std::string optional_text(const std::optional<double>& value, int digits) {
  return value ? number_text(*value, digits) : "–";
}

}  // namespace

void TrainingView::draw_losses(const ViewContext& c, CommandQueue& commands, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  constexpr std::array names = {"training.train_loss", "training.val_loss", "training_view.floor",
                                "training_view.uniform"};
  const float number = ui.px(92);
  Rect head = rest.cut_top(ui.px(22));
  ui.text_in(head.cut_right(number), TextStyle::label, t.muted, ui.tr("training_view.perplexity"),
             Align::right);
  ui.text_in(head.cut_right(number), TextStyle::label, t.muted, ui.tr("training_view.nats"), Align::right);
  const std::string step =
      model_.shown_step ? fmt::format("{} {}", ui.tr("training.step"), grouped_text(*model_.shown_step))
                        : ui.tr("training_view.no_step");
  head.cut_left(ui.text_in(head, TextStyle::mono, t.text, step) + ui.px(8));
  if (c.session.training_step && model_.shown_step) {
    const ButtonSpec latest{.icon = Icon::last, .tooltip = ui.tr("training_view.latest")};
    if (button(ui, "training_view.latest", head.cut_left(ui.px(28)), latest))
      commands.push("train.show", "end");
  }
  for (size_t i = 0; i < names.size(); ++i) {
    const LossRow& row = model_.losses[i];
    if (row.kind == LossRow::Kind::floor && !row.loss) continue;
    Rect r = rest.cut_top(ui.px(23));
    ui.horizontal(r.x0, r.x1, r.y0, t.line);
    const bool measured = row.kind == LossRow::Kind::train || row.kind == LossRow::Kind::validation;
    const Color ink = measured ? t.text : t.muted;
    ui.text_in(r.cut_right(number), TextStyle::mono, ink, optional_text(row.perplexity(), 2), Align::right);
    ui.text_in(r.cut_right(number), TextStyle::mono, ink, optional_text(row.loss, 3), Align::right);
    Rect sample = r.cut_left(ui.px(22));
    const ImVec2 a{sample.x0, sample.centre().y}, b{sample.x1 - ui.px(6), sample.centre().y};
    const Color color = row_color(t, row.kind);
    if (measured)
      Ui::draw().AddLine(a, b, color, (row.kind == LossRow::Kind::train ? 1.5f : 2.5f) * ui.scale());
    else
      ui.dashed(a, b, color, 1, 5, 5);
    if (row.kind == LossRow::Kind::validation)
      Ui::draw().AddCircleFilled({(a.x + b.x) / 2, a.y}, ui.px(3), color, 12);
    ui.text_in(r, TextStyle::label, t.past, ui.tr(names[i]));
  }
}

void TrainingView::draw_settings(const ViewContext& c, CommandQueue& commands, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  section(ui, rest, ui.tr("training_view.settings"));
  Rect line = rest.cut_top(ui.px(28));
  const auto choice = [&](const std::string& key, std::span<const Segment> segments, size_t now) {
    const float width = segmented_width(ui, segments);
    if (width > line.width()) {
      rest.cut_top(ui.px(6));
      line = rest.cut_top(ui.px(28));
    }
    const auto i = segmented(ui, "training_view." + key, line.cut_left(width), segments, now);
    if (i && *i != now) commands.push("train.set", fmt::format("{} {}", key, segments[*i].id));
    line.cut_left(ui.px(10));
  };
  const std::array<Segment, 2> schedules = {
      {{"cosine", ui.tr("training_view.cosine")}, {"constant", ui.tr("training_view.constant")}}};
  choice("schedule", schedules, model_.schedule == Schedule::cosine ? 0 : 1);
  const std::array<Segment, 2> precisions = {{{"fp32", "fp32"}, {"bf16", "bf16"}}};
  choice("precision", precisions, model_.precision == ElementType::bf16 ? 1 : 0);
  const std::array<Segment, 2> activations = {
      {{"false", ui.tr("training_view.keep")}, {"true", ui.tr("training_view.again")}}};
  choice("checkpoint", activations, model_.checkpoint ? 1 : 0);
  rest.cut_top(ui.px(8));

  const float gap = ui.px(10), caption = ui.line_height(TextStyle::label) + ui.px(1);
  const auto columns = std::clamp<size_t>(static_cast<size_t>(rest.width() / ui.px(98)), 2, 6);
  const float cell =
      std::floor((rest.width() - gap * static_cast<float>(columns - 1)) / static_cast<float>(columns));
  const float row = caption + ui.px(field_height) + ui.px(5);
  for (size_t i = 0; i < model_.settings.size(); ++i) {
    const TrainingSetting& setting = model_.settings[i];
    const float x = rest.x0 + static_cast<float>(i % columns) * (cell + gap);
    const float y = rest.y0 + static_cast<float>(i / columns) * row;
    ui.text_in({x, y, x + cell, y + caption}, TextStyle::label, t.muted,
               ui.tr(fmt::format("training_view.set.{}", setting.key)));
    const Rect box{x, y + caption, x + cell, y + caption + ui.px(field_height)};
    const auto typed =
        field(ui, fmt::format("training_view.set.{}", setting.key), box, edit_,
              {.value = setting.value, .tooltip = ui.tr(fmt::format("training_view.tip.{}", setting.key))});
    if (typed) commands.push("train.set", fmt::format("{} {}", setting.key, *typed));
  }
  rest.cut_top(row * static_cast<float>((model_.settings.size() + columns - 1) / columns));
}

void TrainingView::draw_memory(const ViewContext& c, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const MemoryUse& use = model_.memory;
  if (use.total() == 0) return;
  rest.cut_top(ui.px(6));
  const std::string of = model_.memory_available > 0
                             ? fmt::format(fmt::runtime(ui.tr("training_view.memory.of")),
                                           bytes_text(use.total()), bytes_text(model_.memory_available))
                             : bytes_text(use.total());
  const std::string parts =
      fmt::format(fmt::runtime(ui.tr("training_view.memory.parts")), bytes_text(use.parameters),
                  bytes_text(use.moments), bytes_text(use.gradients), bytes_text(use.activations));
  const bool fits = model_.memory_available == 0 || use.total() <= model_.memory_available;
  Rect line = rest.cut_top(ui.px(20));
  line.cut_left(ui.text_in(line, TextStyle::label, t.past, ui.tr("training_view.memory")) + ui.px(8));
  ui.text_in(line, TextStyle::label, fits ? t.text : t.warning, of, Align::right);
  rest.cut_top(ui.paragraph(rest, TextStyle::label, t.muted, parts));
}

void TrainingView::draw_corpus(const ViewContext& c, CommandQueue& commands, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  section(ui, rest, ui.tr("training_view.text"));
  if (model_.corpus.empty()) {
    rest.cut_top(ui.paragraph(rest, TextStyle::small, t.warning, ui.tr("training_view.no_text")) + ui.px(6));
  } else {
    Rect line = rest.cut_top(ui.px(22));
    ui.fonts().need(model_.corpus);
    ui.text_in(line, TextStyle::body_medium, t.text, model_.corpus);
    const std::string kind = model_.token_kind.empty()
                                 ? ui.tr("training_view.kind.tokens")
                                 : ui.tr(fmt::format("training_view.kind.{}", model_.token_kind));
    const std::string sizes =
        fmt::format(fmt::runtime(ui.tr("training_view.text_sizes")), grouped_text(model_.train_tokens),
                    grouped_text(model_.validation_tokens), grouped_text(model_.vocabulary), kind);
    rest.cut_top(ui.paragraph(rest, TextStyle::label, t.muted, sizes) + ui.px(6));
  }
  Rect line = rest.cut_top(ui.px(field_height));
  const ButtonSpec stories{.label = ui.tr("training_view.stories")};
  if (button(ui, "training_view.stories", line.cut_right(button_width(ui, stories)), stories))
    commands.push("corpus.open");
  line.cut_right(ui.px(8));
  const auto path = field(ui, "training_view.open_text", line, edit_,
                          {.value = {},
                           .hint = ui.tr("training_view.open_text"),
                           .tooltip = ui.tr("training_view.open_text_tip"),
                           .align = Align::left});
  if (path && !path->empty()) commands.push("corpus.open", *path);
}

void TrainingView::draw_parameters(const ViewContext& c, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  Rect line = section(ui, rest, ui.tr("training_view.parameters"));
  const std::string total = grouped_text(model_.parameters);
  ui.text_in(line.cut_right(ui.measure(TextStyle::mono, total).x + 1), TextStyle::mono, t.text, total,
             Align::right);
  line.x0 += ui.px(8);
  line.cut_right(ui.px(8));
  // What the preset is about: beside the title where it fits, else below.
  const std::string& title = model_.model_title[static_cast<size_t>(ui.language())];
  const std::string about = title.empty() ? std::string() : fmt::format("{} · {}", model_.model_name, title);
  if (!about.empty() && ui.measure(TextStyle::label, about).x <= line.width())
    ui.text_in(line, TextStyle::label, t.past, about);
  else if (!about.empty())
    rest.cut_top(ui.paragraph(rest, TextStyle::label, t.past, about) + ui.px(6));
  const Rect bar = rest.cut_top(ui.px(14));
  float x = bar.x0;
  for (const ParameterPart& part : model_.parts) {
    const float width = bar.width() * static_cast<float>(part.share);
    const Rect piece{x, bar.y0, std::min(bar.x1, x + std::max(width, 1.f)), bar.y1};
    ui.fill(
        {piece.x0, piece.y0, std::max(piece.x1 - (width > ui.px(4) ? ui.px(1) : 0), piece.x0 + 1), piece.y1},
        part_color(t, part.key));
    x += width;
  }
  rest.cut_top(ui.px(6));
  const auto name = [&](const ParameterPart& part) -> const std::string& {
    return ui.tr(fmt::format("training_view.parameters.{}", part.key));
  };
  float widest = 0;
  for (const ParameterPart& part : model_.parts)
    widest = std::max(widest, ui.measure(TextStyle::label, name(part)).x +
                                  ui.measure(TextStyle::mono, grouped_text(part.count)).x + ui.px(26));
  const float gap = ui.px(18);
  const auto columns = std::clamp<size_t>(static_cast<size_t>((rest.width() + gap) / (widest + gap)), 1, 6);
  const float width =
      std::floor((rest.width() - gap * static_cast<float>(columns - 1)) / static_cast<float>(columns));
  for (size_t i = 0; i < model_.parts.size(); i += columns) {
    Rect row = rest.cut_top(ui.px(20));
    for (size_t j = i; j < std::min(i + columns, model_.parts.size()); ++j) {
      const ParameterPart& part = model_.parts[j];
      Rect cell = row.cut_left(width);
      row.cut_left(gap);
      ui.fill(cell.cut_left(ui.px(10)).middle(ui.px(10), ui.px(10)), part_color(t, part.key), 2);
      cell.cut_left(ui.px(7));
      const std::string count = grouped_text(part.count);
      ui.text_in(cell.cut_right(ui.measure(TextStyle::mono, count).x + 1), TextStyle::mono, t.text, count,
                 Align::right);
      cell.cut_right(ui.px(6));
      ui.text_in(cell, TextStyle::label, t.muted, name(part));
    }
  }
}

void TrainingView::draw_newest_sample(const ViewContext& c, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  Rect line = section(ui, rest, ui.tr("training_view.samples"));
  const auto& samples = c.snapshot.training.history->samples();
  if (samples.empty()) {
    const int64_t every = c.snapshot.training.config.sample_every;
    const std::string none =
        every > 0 ? fmt::format(fmt::runtime(ui.tr("training_view.no_samples")), grouped_text(every))
                  : ui.tr("training_view.samples_off");
    rest.cut_top(ui.paragraph(rest, TextStyle::small, t.muted, none));
    return;
  }
  ui.text_in(line, TextStyle::label, t.muted,
             fmt::format("{} {}", ui.tr("training.step"), grouped_text(samples.back().step)), Align::right);
  ui.fonts().need(samples.back().text);
  rest.cut_top(ui.paragraph(rest, TextStyle::mono, t.text, samples.back().text));
}

void TrainingView::draw_samples(const ViewContext& c, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const auto& samples = c.snapshot.training.history->samples();
  if (samples.size() < 2) return;
  section(ui, rest, ui.tr("training_view.earlier"));
  // Heights are measured once: the texts never change, their number grows.
  if (sample_width_ != rest.width() || sample_scale_ != ui.scale() ||
      sample_heights_.size() > samples.size() || first_sample_ != samples.front().text) {
    sample_heights_.clear();
    sample_width_ = rest.width();
    sample_scale_ = ui.scale();
    first_sample_ = samples.front().text;
  }
  for (size_t i = sample_heights_.size(); i < samples.size(); ++i) {
    ui.fonts().need(samples[i].text);
    sample_heights_.push_back(ui.paragraph(rest, TextStyle::mono, 0, samples[i].text));
  }
  const ImVec2 low = Ui::draw().GetClipRectMin(), high = Ui::draw().GetClipRectMax();
  for (size_t i = samples.size() - 1; i-- > 0;) {
    const Rect line = rest.cut_top(ui.px(20));
    const Rect text = rest.cut_top(sample_heights_[i]);
    rest.cut_top(ui.px(12));
    if (text.y1 < low.y || line.y0 > high.y) continue;
    ui.text_in(line, TextStyle::label, t.muted,
               fmt::format("{} {}", ui.tr("training.step"), grouped_text(samples[i].step)));
    ui.paragraph(text, TextStyle::mono, t.past, samples[i].text);
  }
}

}  // namespace headlight::app
