// The prompt as token chips that turn into a text field when clicked, and the training strip.
#include <fmt/format.h>
#include <imgui.h>
#include <imgui_internal.h>
#include <imgui_stdlib.h>

#include <array>
#include <cmath>

#include "app/views/chrome/chrome.h"
#include "app/widgets/chart.h"
#include "app/widgets/icons.h"
#include "core/base/error.h"
#include "core/text/tokenizer.h"

namespace headlight::app {
namespace {

constexpr float chip_css = 27, chip_row_css = 33;

/// Rows and columns (as token positions) that the hovered or pinned cell is about.
struct Lit {
  std::optional<int64_t> query, key;
};

Lit lit_tokens(const ViewContext& c) {
  Lit lit;
  if (c.provenance == nullptr) return lit;
  const Buffer& buffer = c.run->program().buffer(c.provenance->cell.buffer);
  const auto index = buffer.shape.index(c.provenance->cell.offset);
  for (size_t i = 0; i < index.size(); ++i) {
    const std::string_view letter = buffer.shape[i].letter;
    if (letter == "T" || letter == "Tq") lit.query = c.first_token() + index[i];
    if (letter == "Tk" || letter == "S") lit.key = index[i];
  }
  return lit;
}

/// A sentence about what the vocabulary lacks of a text; empty when it lacks nothing.
std::string unknown_part(const Tokenizer* tokenizer, const std::string& text) {
  if (tokenizer == nullptr) return {};
  try {
    return describe_unknown(tokenizer->encode(text), *tokenizer);
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

void PromptPanel::draw_chips(const ViewContext& c, CommandQueue& commands, const Rect& area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const Lit lit = lit_tokens(c);
  const std::vector<int32_t> ids = c.run->text();
  const float gap = ui.px(4), height = ui.px(chip_css);
  float x = area.x0, y = area.y0;
  size_t byte = 0;
  const auto place = [&](float width) {
    if (x > area.x0 && x + width > area.x1) {
      x = area.x0;
      y += ui.px(chip_row_css);
    }
    const Rect r{x, y, x + width, y + height};
    x += width + gap;
    return r;
  };
  const float plus = ui.px(30);
  for (size_t i = 0; i < c.tokens.size(); ++i) {
    const std::string text = chip_text(c.tokens[i]);
    const float width = ui.measure(TextStyle::mono, text).x + 2 * ui.px(8);
    // The last place of the last row is for "…" where not all fit.
    if (y + ui.px(chip_row_css) + height > area.y1 + 1 && i + 1 < c.tokens.size() &&
        x + width + 2 * plus > area.x1) {
      const Rect r = place(plus);
      ui.fill(r, t.raised, 6);
      const Press press = ui.press("chip.more", r);
      ui.text_in(r, TextStyle::mono, t.muted, "…", Align::centre);
      if (press.hovered) ui.tooltip(fmt::format("+{}", c.tokens.size() - i));
      if (press.clicked) commands.push("prompt.edit", std::to_string(byte));
      return;
    }
    const Rect r = place(width);
    const Press press = ui.press(fmt::format("chip.{}", i), r);
    const auto at = static_cast<int64_t>(i);
    const bool query = lit.query == at, key = lit.key == at && !query;
    const bool cached = at < c.first_token();
    ui.fill(r, query ? t.row : press.hovered ? t.hovered : t.raised, 6);
    if (query || key) {
      ImDrawList& list = Ui::draw();
      list.PushClipRect({r.x0, r.y1 - ui.px(2)}, r.max(), true);
      ui.fill(r, query ? t.query : t.key, 6);
      list.PopClipRect();
    }
    // Tokens out of the cache were not run: their chips are paler.
    ui.text_in(r, TextStyle::mono, cached ? t.muted : t.text, text, Align::centre);
    if (press.hovered && i < ids.size())
      ui.tooltip(fmt::format("{}\n{} · id {} · {}", text, i, ids[i], bytes_hex(c.tokens[i])));
    if (press.clicked) commands.push("prompt.edit", std::to_string(byte));
    byte += c.tokens[i].size();
  }
  const Rect r = place(plus);
  const Press press = ui.press("chip.add", r);
  ui.fill(r, press.hovered ? t.hovered : t.raised, 6);
  draw_icon(ui, Icon::plus, r, 8, t.muted);
  if (press.clicked) commands.push("prompt.edit");
}

void PromptPanel::draw_editor(const ViewContext& c, CommandQueue& commands, const Rect& area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  if (!editing_) {
    text_ = original_ = c.session.state.probe.prompt.value_or(c.snapshot.prompt);
    unknown_.clear();
    const size_t byte = std::min(c.session.prompt_caret, text_.size());
    caret_ = ImTextCountCharsFromUtf8(text_.data(), text_.data() + byte);
    editing_ = true;
    focus_frames_ = 2;
  }
  const Rect box{area.x0, area.y0, area.x1, area.y0 + ui.px(chip_row_css)};
  ui.controls().add("prompt.editor", box, c.area);
  ImGui::SetCursorScreenPos(box.min());
  ImGui::PushFont(ui.fonts().font(TextStyle::mono));
  ImGui::PushStyleColor(ImGuiCol_FrameBg, t.raised);
  ImGui::PushStyleColor(ImGuiCol_Text, t.text);
  ImGui::PushStyleColor(ImGuiCol_TextSelectedBg, fade(t.accent, 0.35f));
  ImGui::PushStyleVar(ImGuiStyleVar_FrameRounding, ui.px(6));
  ImGui::PushStyleVar(ImGuiStyleVar_FramePadding,
                      ImVec2(ui.px(8), (box.height() - ui.line_height(TextStyle::mono)) / 2));
  ImGui::SetNextItemWidth(box.width());
  if (focus_frames_ > 0) ImGui::SetKeyboardFocusHere();
  const bool entered = ImGui::InputText("##prompt", &text_, ImGuiInputTextFlags_EnterReturnsTrue);
  const ImGuiID field = ImGui::GetItemID();
  const bool edited = ImGui::IsItemEdited();
  const bool left = ImGui::IsItemDeactivated();
  if (focus_frames_ > 0 && ImGui::IsItemActive()) {
    if (ImGuiInputTextState* state = ImGui::GetInputTextState(field)) {
      state->Stb.cursor = state->Stb.select_start = state->Stb.select_end = caret_;
    }
    --focus_frames_;
  }
  ImGui::PopStyleVar(2);
  ImGui::PopStyleColor(3);
  ImGui::PopFont();
  ui.outline(box, t.accent, 1.5f, 6);
  const bool ended = left && !entered && focus_frames_ == 0;
  const bool cancelled = ended && ImGui::IsKeyPressed(ImGui::GetKeyIndex(ImGuiKey_Escape));
  if (cancelled || (ended && !unknown_.empty())) {
    // Half a word that the vocabulary lacks has left what was typed before it in force.
    commands.push("prompt.set", original_);
    unknown_.clear();
    editing_ = false;
    commands.push("prompt.done");
    return;
  }
  if (edited) {
    unknown_ = unknown_part(c.snapshot.model.tokenizer.get(), text_);
    if (unknown_.empty() && !text_.empty()) commands.push("prompt.set", text_);
  }
  if (entered && !unknown_.empty()) {
    // The hint above says why nothing happens; ImGui took the focus away, so it is taken back.
    if (const ImGuiInputTextState* state = ImGui::GetInputTextState(field)) caret_ = state->Stb.cursor;
    focus_frames_ = 2;
  } else if (entered || ended) {
    editing_ = false;
    commands.push("prompt.done");
  }
}

void PromptPanel::draw_strip(const ViewContext& c, CommandQueue& commands, const Rect& area) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  if (area.height() < ui.px(30)) return;
  std::vector<Guide> guides;
  guides.push_back(
      {std::log(static_cast<double>(c.snapshot.model.config.vocab_size)), ui.tr("training.ln_v")});
  if (c.snapshot.corpus.entropy_floor)
    guides.push_back({*c.snapshot.corpus.entropy_floor, ui.tr("training.floor_short")});
  const Series series[] = {{.name = ui.tr("training.train_loss"),
                            .color = t.accent,
                            .width_css = 1.2f,
                            .dense = &c.history.train_loss,
                            .first_step = c.history.first_step,
                            .points = {}},
                           {.name = ui.tr("training.val_loss"),
                            .color = t.key,
                            .width_css = 2,
                            .points = c.history.validation_loss}};
  ChartSpec spec{.series = series, .guides = guides, .axes = false};
  if (!c.history.validation_loss.empty() || c.history.train_loss.size() > 0)
    spec.scrubber = c.session.training_step.value_or(c.history.last_step());
  const ChartResult result = line_chart(ui, "strip", area, spec);
  if (result.scrubbed) commands.push("train.show", std::to_string(*result.scrubbed));
}

void PromptPanel::draw_extent(const ViewContext& c, CommandQueue& commands, Rect& line) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const bool cached = c.session.state.probe.cache.has_value();
  const bool possible = cached || can_use_cache(c.config, c.session.state.probe);
  const std::array<std::pair<const char*, bool>, 2> ways = {{{"last", true}, {"whole", false}}};
  const float gap = ui.px(14);
  for (const auto& [name, is_cached] : ways) {
    const std::string& text = ui.tr(fmt::format("prompt.{}", name));
    const float width = ui.measure(TextStyle::group, text).x + 1;
    if (width + gap > line.width()) return;
    const Rect place = line.cut_right(width);
    line.cut_right(gap);
    const bool chosen = cached == is_cached, enabled = possible || !is_cached;
    const Press press = ui.press(fmt::format("prompt.{}", name), place.inset(-ui.px(4), -ui.px(3)), enabled);
    ui.text_in(place, TextStyle::group,
               chosen    ? t.accent
               : enabled ? (press.hovered ? t.text : t.muted)
                         : t.future,
               text);
    if (chosen) ui.fill({place.x0, place.y1 + ui.px(1), place.x1, place.y1 + ui.px(3)}, t.accent, 1);
    if (press.hovered || (!enabled && place.contains(ImGui::GetIO().MousePos)))
      ui.tooltip(ui.tr(enabled ? fmt::format("prompt.{}.about", name) : std::string("prompt.last.not")));
    if (press.clicked && !chosen) commands.push("prompt.cache", is_cached ? "fp32" : "off");
  }
}

void PromptPanel::draw(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  Rect rest = c.area.inset(ui.px(18), ui.px(14));
  Rect line = rest.cut_top(ui.line_height(TextStyle::section));
  const float used = ui.text_in(line, TextStyle::section, ui.theme().muted, upper(ui.tr("prompt.title")));
  line.x0 += used + ui.px(6);
  draw_extent(c, commands, line);
  if (editing_ && !unknown_.empty()) {
    ui.text_in(line, TextStyle::group, ui.theme().key, unknown_);
  } else if (const std::string& hint =
                 ui.tr(c.session.editing_prompt ? "prompt.hint_editing" : "prompt.hint");
             ui.measure(TextStyle::group, hint).x <= line.width()) {
    ui.text_in(line, TextStyle::group, ui.theme().muted, hint);
  }
  rest.cut_top(ui.px(8));
  // Two rows of chips where there is room for them and the strip.
  const float row = ui.px(chip_row_css);
  float chips_width = ui.px(34);
  for (const std::string& token : c.tokens)
    chips_width += ui.measure(TextStyle::mono, chip_text(token)).x + ui.px(20);
  const bool second = chips_width > rest.width() && rest.height() > 3 * row;
  const Rect chips = rest.cut_top(second ? 2 * row : row);
  if (c.session.editing_prompt)
    draw_editor(c, commands, chips);
  else if (c.run)
    draw_chips(c, commands, chips);
  if (!c.session.editing_prompt) editing_ = false;
  rest.cut_top(ui.px(6));
  draw_strip(c, commands, rest);
}

}  // namespace headlight::app
