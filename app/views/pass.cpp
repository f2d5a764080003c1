// Prepares the scene when the step or the run changes, lays it out and paints it.
#include "app/views/pass.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "app/session/watch.h"
#include "app/widgets/buttons.h"
#include "app/widgets/equation.h"

namespace headlight::app {
namespace {

constexpr size_t most_lines = 24;
constexpr double motion_seconds = 0.18;
constexpr int64_t most_head_segments = 16;
constexpr int64_t few_tokens = 8;  ///< so few leave room for cells that show their numbers
constexpr float large_cell = 48;

}  // namespace

void PassView::prepare(const ViewContext& c) {
  const Pins& pins = c.session.state.pins;
  const Tokenizer* tokenizer = c.snapshot.model.tokenizer.get();
  if (labels_run_ != c.run->id || labels_tokenizer_ != tokenizer) {
    labels_.tokens.clear();
    labels_.places.clear();
    for (const std::string& token : c.tokens) labels_.places.push_back(axis_text(token));
    const auto past = std::min(static_cast<size_t>(c.first_token()), labels_.places.size());
    labels_.tokens.assign(labels_.places.begin() + static_cast<std::ptrdiff_t>(past), labels_.places.end());
    labels_.places.resize(static_cast<size_t>(cache_capacity(*c.run)));
    if (labels_tokenizer_ != tokenizer || labels_run_ == 0) {
      labels_.vocabulary.clear();
      const int64_t size = tokenizer != nullptr ? tokenizer->vocab_size() : 0;
      for (int64_t v = 0; v < size && size <= 4096; ++v)
        labels_.vocabulary.push_back(axis_text(tokenizer->token_text(static_cast<int32_t>(v))));
      for (const std::string& text : labels_.vocabulary) c.ui.fonts().need(text);
    }
    labels_run_ = c.run->id;
    labels_tokenizer_ = tokenizer;
    margins_.clear();
  }
  const Key key{c.run->id, pins.run ? pins.run->id : 0, pins.compare, c.step, c.head, tokenizer};
  if (key == key_ && run_ == c.run) return;
  if (key.step != key_.step || key.head != key_.head) windows_.clear();
  key_ = key;
  run_ = c.run;
  scene_ = prepare_pass(c.run, pins, {c.step, c.head, tokenizer});
  for (const EquationPart& part : scene_.equation) c.ui.fonts().need(part.text);
  margins_.clear();
  flow_key_ = {};
}

void PassView::draw_waiting(const ViewContext& c) const {
  c.ui.paragraph(c.area.inset(0, c.ui.px(8)), TextStyle::small, c.ui.theme().muted, c.ui.tr("pass.waiting"));
}

/// Heads and the comparison with a pinned run, at the right end of the line.
void PassView::draw_controls(const ViewContext& c, CommandQueue& commands, Rect& line) const {
  const Ui& ui = c.ui;
  const float height = std::min(ui.px(30), line.height());
  const auto take = [&](float width) {
    const Rect r = line.cut_right(width);
    line.cut_right(ui.px(16));
    return Rect{r.x0, r.y0, r.x1, r.y0 + height};
  };
  if (scene_.heads > 1) {
    if (scene_.heads <= most_head_segments) {
      std::vector<std::string> names;
      for (int64_t h = 0; h < scene_.heads; ++h) names.push_back(std::to_string(h));
      std::vector<Segment> segments;
      for (const std::string& name : names) segments.push_back({name, name});
      if (const auto h = segmented(ui, "pass.head", take(segmented_width(ui, segments)), segments,
                                   static_cast<size_t>(scene_.head)))
        commands.push("head.select", std::to_string(*h));
    } else {
      if (button(ui, "pass.head.next", take(ui.px(34)),
                 {.icon = Icon::next, .enabled = scene_.head + 1 < scene_.heads}))
        commands.push("head.select", std::to_string(scene_.head + 1));
      const std::string text = fmt::format("{} ∕ {}", scene_.head, scene_.heads - 1);
      ui.text_in(take(ui.measure(TextStyle::mono, text).x), TextStyle::mono, ui.theme().text, text,
                 Align::centre);
      if (button(ui, "pass.head.previous", take(ui.px(34)),
                 {.icon = Icon::previous, .enabled = scene_.head > 0}))
        commands.push("head.select", std::to_string(scene_.head - 1));
    }
    const std::string& name = ui.tr("pass.heads");
    const Rect label = take(ui.measure(TextStyle::label, name).x);
    ui.text_in({label.x0 + ui.px(6), label.y0, label.x1 + ui.px(8), label.y1}, TextStyle::label,
               ui.theme().muted, name);
  }
  if (c.session.state.pins.run) {
    constexpr std::array ids = {"compare.a", "compare.b", "compare.difference"};
    const std::array<Segment, 3> segments = {{{"a", "A"}, {"b", "B"}, {"difference", "A − B"}}};
    if (const auto i = segmented(ui, "pass.compare", take(segmented_width(ui, segments)), segments,
                                 static_cast<size_t>(c.session.state.pins.compare)))
      commands.push(ids[*i]);
  }
}

void PassView::draw_captions(const ViewContext& c, Rect& area) const {
  const Ui& ui = c.ui;
  const PassCaption caption = pass_caption(ui.strings(), ui.language(), scene_, *c.run, c.tokens, token_,
                                           c.snapshot.model.tokenizer.get());
  const auto write = [&](std::string_view text, Color color) {
    area.cut_top(ui.paragraph(area, TextStyle::small, color, text));
  };
  write(caption.place, ui.theme().past);
  write(caption.sentence, ui.theme().muted);
  for (const std::string& note : caption.notes) write(note, ui.theme().warning);
}

void PassView::draw(const ViewContext& c, CommandQueue& commands) {
  moving_ = false;
  if (!c.run || c.step < 0) return draw_waiting(c);
  prepare(c);
  const Ui& ui = c.ui;
  if (margins_.empty() || margins_scale_ != ui.scale() || margins_language_ != ui.language()) {
    margins_ = pass_margins(ui, scene_, labels_);
    margins_scale_ = ui.scale();
    margins_language_ = ui.language();
  }

  // The explained cell and what of it is on the stage.
  token_.reset();
  if (c.provenance != nullptr) {
    const CellRef& cell = c.provenance->cell;
    token_ = token_of_cell(c.run->program().buffer(cell.buffer), cell.offset);
    const FlowKey key{cell, c.run->id, c.step, c.head};
    if (!(key == flow_key_)) {
      flow_key_ = key;
      flows_ = pass_flows(scene_, cell, c.provenance->terms, most_lines);
    }
  } else {
    flow_key_ = {};
    flows_ = {};
  }

  const int first = Ui::draw().VtxBuffer.Size;
  Rect area = c.area;
  Rect head{area.x0, area.y0, area.x1, area.y0 + ui.px(34)};
  draw_controls(c, commands, head);
  area.cut_top(draw_equation(ui, area.min(), scene_.equation, head.width()).y);
  area.cut_top(ui.px(8));
  draw_captions(c, area);
  area.cut_top(ui.px(16));
  if (area.height() < ui.px(60)) return;

  PassMetrics metrics = pass_metrics(ui);
  if (c.run->program().T() <= few_tokens) metrics.cell = ui.px(large_cell);
  const PassGeometry geometry = lay_out_pass(scene_, margins_, metrics, area);
  PassStage stage{c, commands, scene_, geometry, flows_, labels_, token_, windows_};
  draw_pass_matrices(stage);
  draw_pass_chip(stage);
  if (scene_.layout == PassScene::Layout::loss) draw_pass_loss(stage);
  if (scene_.layout == PassScene::Layout::norms) draw_pass_norms(stage);
  draw_pass_flows(stage);
  move(c, first);
}

void PassView::move(const ViewContext& c, int first) {
  const std::string& name = c.run->program().step(c.step).name;
  if (name != moved_to_) {
    if (!moved_to_.empty()) {
      direction_ = c.step >= moved_index_ ? 1.f : -1.f;
      moved_at_ = c.now;
    }
    moved_to_ = name;
  }
  moved_index_ = c.step;
  const double passed = c.now - moved_at_;
  if (!c.ui.motion() || moved_at_ < 0 || passed < 0 || passed >= motion_seconds) return;
  moving_ = true;
  const auto u = static_cast<float>(passed / motion_seconds);
  const float eased = 1 - (1 - u) * (1 - u) * (1 - u);
  const float shift = std::round(direction_ * (1 - eased) * c.ui.px(20)), opacity = 0.25f + 0.75f * eased;
  ImDrawList& list = Ui::draw();
  for (int i = first; i < list.VtxBuffer.Size; ++i) {
    ImDrawVert& v = list.VtxBuffer[i];
    v.pos.x += shift;
    v.col = fade(v.col, opacity);
  }
}

}  // namespace headlight::app
