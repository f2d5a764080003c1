// Layout, controls and facts of the Generate view; the bars and the strip are in generate_bars.cpp.
#include "app/views/generate.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "app/views/run_data.h"
#include "app/widgets/buttons.h"
#include "app/widgets/flow.h"
#include "core/engine/builtin.h"

namespace headlight::app {
namespace {

constexpr float two_columns_css = 760, side_css = 404, bar_row_css = 24;
constexpr size_t most_rows = 48;

/// A name and its control beside each other; returns where the control stands.
Rect labelled(const Ui& ui, Flow& flow, std::string_view label, float width) {
  const float text = ui.measure(TextStyle::label, label).x;
  Rect r = flow.next(text + ui.px(10) + width);
  ui.text_in(r.cut_left(text + 1), TextStyle::label, ui.theme().muted, label);
  r.cut_left(ui.px(10) - 1);
  return r;
}

}  // namespace

void GenerateView::draw_header(const ViewContext& c, CommandQueue& commands, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const bool running = c.snapshot.generation.running || c.snapshot.duel.running;
  const bool ready = !c.snapshot.prompt_tokens.empty() && !running;
  Flow flow(ui, rest, control_height, 8, 8);
  const std::string& title = ui.tr("view.generate");
  ui.text_in(flow.next(ui.measure(TextStyle::display, title).x + ui.px(12)), TextStyle::display, t.text,
             title);

  const auto place = [&](const char* id, const ButtonSpec& spec) {
    return button(ui, id, flow.next(button_width(ui, spec)), spec);
  };
  if (place("generate_view.one",
            {.icon = Icon::plus, .label = ui.tr("generate_view.one"), .main = true, .enabled = ready}))
    commands.push("generate.more", "1");
  if (place("generate_view.ten",
            {.label = "+10", .enabled = ready, .tooltip = ui.tr("generate_view.ten_tip")}))
    commands.push("generate.more", "10");
  if (place("generate_view.fifty",
            {.label = "+50", .enabled = ready, .tooltip = ui.tr("generate_view.fifty_tip")}))
    commands.push("generate.more", "50");
  if (place("generate_view.stop",
            {.icon = Icon::close, .label = ui.tr("generate_view.stop"), .enabled = running}))
    commands.push("generate.cancel");
  const bool duelling = c.snapshot.duel.asked > 0;
  if (place("generate_view.duel", {.icon = Icon::play,
                                   .label = ui.tr("generate_view.duel"),
                                   .enabled = ready && !c.snapshot.duel.running,
                                   .tooltip = ui.tr("generate_view.duel_tip")}))
    commands.push("generate.duel", "64");
  if (duelling && place("generate_view.duel_close", {.label = ui.tr("generate_view.duel_close")}))
    commands.push("generate.duel_close");
  const bool droppable = c.snapshot.prompt_tokens.size() > 1 && !running;
  if (place("generate_view.drop", {.icon = Icon::previous,
                                   .label = ui.tr("generate_view.drop"),
                                   .enabled = droppable,
                                   .tooltip = ui.tr("generate_view.drop_tip")}))
    commands.push("prompt.drop");
  rest.y0 = flow.bottom() + ui.px(10);
}

void GenerateView::draw_sampler(const ViewContext& c, CommandQueue& commands, Rect& rest) {
  const Ui& ui = c.ui;
  const SamplerConfig& sampler = c.session.state.probe.sampler;
  const double V = static_cast<double>(std::max<int64_t>(c.snapshot.model.config.vocab_size, 2));
  Flow flow(ui, rest, control_height, 18, 8);

  const SliderSpec tau{.low = 0.05, .high = 5, .logarithmic = true, .reset = 0.8, .digits = 2};
  if (const auto value = slider_pill(ui, "generate_view.temperature", labelled(ui, flow, "τ", ui.px(150)),
                                     sampler.temperature, tau))
    commands.push("sampler.temperature", fmt::format("{:g}", *value));

  // At its right end the slider cuts nothing, which the sampler writes as 0.
  const double k = sampler.top_k == 0 ? V : std::min(static_cast<double>(sampler.top_k), V);
  const SliderSpec top_k{.low = 1, .high = V, .logarithmic = true, .reset = std::min(40.0, V), .digits = 0};
  if (const auto value =
          slider_pill(ui, "generate_view.top_k", labelled(ui, flow, "top-k", ui.px(150)), k, top_k))
    commands.push("sampler.top_k", *value >= V ? "0" : fmt::format("{:.0f}", *value));

  const SliderSpec top_p{.low = 0.01, .high = 1, .reset = 0.9, .digits = 2};
  if (const auto value = slider_pill(ui, "generate_view.top_p", labelled(ui, flow, "top-p", ui.px(150)),
                                     sampler.top_p, top_p))
    commands.push("sampler.top_p", fmt::format("{:g}", *value));

  const SliderSpec min_p{.low = 0, .high = 0.5, .reset = 0, .digits = 2};
  if (const auto value = slider_pill(ui, "generate_view.min_p", labelled(ui, flow, "min-p", ui.px(150)),
                                     sampler.min_p, min_p))
    commands.push("sampler.min_p", fmt::format("{:g}", *value));

  const SliderSpec penalty{.low = 0.5, .high = 2, .logarithmic = true, .reset = 1, .digits = 2};
  if (const auto value = slider_pill(ui, "generate_view.penalty",
                                     labelled(ui, flow, ui.tr("generate_view.penalty"), ui.px(150)),
                                     sampler.repetition_penalty, penalty))
    commands.push("sampler.penalty", fmt::format("{:g}", *value));

  const std::array<Toggle, 1> greedy = {{{"greedy", ui.tr("generate_view.greedy"), sampler.greedy}}};
  if (toggles(ui, "generate_view", flow.next(toggles_width(ui, greedy)), greedy))
    commands.push("sampler.greedy", sampler.greedy ? "off" : "on");

  Rect seed = labelled(ui, flow, ui.tr("generate_view.seed"), ui.px(84));
  const float spare = (seed.height() - ui.px(field_height)) / 2;
  seed = seed.inset(0, spare);
  const std::string text = std::to_string(sampler.seed);
  if (const auto typed = field(ui, "generate_view.seed", seed, edit_,
                               {.value = text, .tooltip = ui.tr("generate_view.seed_tip")}))
    commands.push("sampler.seed", *typed);
  rest.y0 = flow.bottom() + ui.px(16);
}

void GenerateView::draw_prompt(const ViewContext& c, CommandQueue& commands, Rect& rest, int rows) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  Rect line = rest.cut_top(ui.line_height(TextStyle::section));
  line.cut_left(ui.text_in(line, TextStyle::section, t.muted, upper(ui.tr("prompt.title"))) + ui.px(6));
  ui.text_in(line, TextStyle::label, t.muted,
             fmt::format("· {} / {}", c.snapshot.prompt_tokens.size(), c.snapshot.model.config.n_positions));
  rest.cut_top(ui.px(8));

  // Rows are filled from the front; of a long prompt the last ones are shown.
  const std::vector<TokenMark>& marks = trail_.marks();
  const Tokenizer* tokenizer = c.snapshot.model.tokenizer.get();
  const size_t count = c.snapshot.prompt_tokens.size();
  constexpr size_t most_chips = 400;
  const size_t from = count > most_chips ? count - most_chips : 0;
  std::vector<std::string> texts;
  for (size_t i = from; i < count; ++i)
    texts.push_back(chip_text(display_token(tokenizer, c.snapshot.prompt_tokens[i])));
  Flow flow(ui, rest, 27, 4, 6);
  std::vector<std::pair<Rect, int>> places;
  for (const std::string& text : texts) {
    const Rect r = flow.next(ui.measure(TextStyle::mono, text).x + 2 * ui.px(8));
    places.emplace_back(r, flow.rows() - 1);
  }
  const int hidden = std::max(0, flow.rows() - rows);
  const float lift = static_cast<float>(hidden) * ui.px(33);
  for (size_t i = 0; i < texts.size(); ++i) {
    auto [r, row] = places[i];
    if (row < hidden) continue;
    r.y0 -= lift;
    r.y1 -= lift;
    const TokenMark mark = from + i < marks.size() ? marks[from + i] : TokenMark{};
    const Press press = ui.press(fmt::format("generate_view.chip.{}", from + i), r);
    using enum TokenMark::Origin;
    ui.fill(r, mark.origin == prompt ? t.raised : press.hovered ? t.hovered : t.row, 6);
    const Color ink = mark.origin == chosen ? t.key : t.accent;
    // Generated: a whole line below; chosen by hand: a dashed one.
    const float y = r.y1 - ui.px(2);
    if (mark.origin == drawn) ui.fill({r.x0 + ui.px(4), y, r.x1 - ui.px(4), r.y1}, ink, 1);
    if (mark.origin == chosen) ui.dashed({r.x0 + ui.px(4), y + 1}, {r.x1 - ui.px(4), y + 1}, ink, 2, 4, 3);
    ui.text_in(r, TextStyle::mono, t.text, texts[i], Align::centre);
    if (press.hovered) {
      std::string about = fmt::format("{} · id {}", from + i, c.snapshot.prompt_tokens[from + i]);
      if (mark.origin != prompt)
        about += fmt::format(
            "\n{} {}\n{} {} nats",
            ui.tr(mark.origin == drawn ? "generate_view.drawn_with" : "generate_view.chosen_with"),
            number_text(mark.probability), ui.tr("generate_view.entropy"), number_text(mark.entropy));
      ui.tooltip(about);
    }
    if (press.clicked) commands.push("prompt.edit");
  }
  rest.y0 = flow.bottom() - lift + ui.px(10);

  // What the lines below the chips mean.
  Flow legend(ui, rest, 18, 16, 0);
  const auto entry = [&](std::string_view key, Color color, bool dashed) {
    const std::string& text = ui.tr(key);
    Rect r = legend.next(ui.px(26) + ui.measure(TextStyle::label, text).x + 1);
    const float y = r.centre().y;
    if (dashed)
      ui.dashed({r.x0, y}, {r.x0 + ui.px(18), y}, color, 2, 4, 3);
    else
      ui.fill({r.x0, y - ui.px(1), r.x0 + ui.px(18), y + ui.px(1)}, color);
    r.cut_left(ui.px(26));
    ui.text_in(r, TextStyle::label, t.muted, text);
  };
  entry("generate_view.drawn", t.accent, false);
  entry("generate_view.chosen", t.key, true);
  rest.y0 = legend.bottom();
}

void GenerateView::draw_facts(const ViewContext& c, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  const Distribution& d = distribution_;
  rest.cut_top(ui.px(18));
  ui.text_in(rest.cut_top(ui.line_height(TextStyle::section)), TextStyle::section, t.muted,
             upper(ui.tr("generate_view.facts")));
  rest.cut_top(ui.px(8));
  const auto row = [&](std::string_view key, const std::string& value) {
    Rect r = rest.cut_top(ui.px(23));
    ui.text_in(r.cut_right(ui.measure(TextStyle::mono, value).x + 1), TextStyle::mono, t.text, value,
               Align::right);
    r.cut_right(ui.px(8));
    ui.text_in(r, TextStyle::label, t.past, ui.tr(key));
  };
  const double most = std::log(static_cast<double>(std::max<int64_t>(d.vocabulary, 1)));
  row("generate_view.entropy_before",
      fmt::format("{} / ln V {} {}", number_text(d.entropy), number_text(most, 2), ui.tr("nats")));
  row("generate_view.as_many", number_text(std::exp(d.entropy), 1));
  row("generate_view.entropy_after", fmt::format("{} {}", number_text(d.sampled_entropy), ui.tr("nats")));
  row("generate_view.kept", fmt::format("{} / {}", grouped_text(d.kept), grouped_text(d.vocabulary)));
  row("generate_view.kept_mass", number_text(d.kept_mass));
}

void GenerateView::draw_last_draw(const ViewContext& c, Rect& rest) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  if (c.snapshot.generation.tokens.empty()) return;
  const GeneratedToken& token = c.snapshot.generation.tokens.back();
  rest.cut_top(ui.px(18));
  ui.text_in(rest.cut_top(ui.line_height(TextStyle::section)), TextStyle::section, t.muted,
             upper(ui.tr("generate_view.last_draw")));
  rest.cut_top(ui.px(10));
  // [0, 1) as a line of the width of the column; the token's share stands out, u is the mark.
  const Rect whole = rest.cut_top(ui.px(14));
  const auto at = [&](double x) {
    return whole.x0 + whole.width() * static_cast<float>(std::clamp(x, 0.0, 1.0));
  };
  ui.fill(whole, t.track, 3);
  ui.fill({at(token.low), whole.y0, std::max(at(token.high), at(token.low) + ui.px(2)), whole.y1}, t.bar, 3);
  if (!greedy_)
    ui.fill({at(token.u) - ui.px(1), whole.y0 - ui.px(4), at(token.u) + ui.px(1), whole.y1 + ui.px(4)},
            t.accent);
  rest.cut_top(ui.px(8));
  const auto row = [&](const std::string& name, const std::string& value) {
    Rect r = rest.cut_top(ui.px(23));
    ui.text_in(r.cut_right(ui.measure(TextStyle::mono, value).x + 1), TextStyle::mono, t.text, value,
               Align::right);
    r.cut_right(ui.px(8));
    ui.text_in(r, TextStyle::label, t.past, name);
  };
  const std::string text = chip_text(display_token(c.snapshot.model.tokenizer.get(), token.token));
  if (greedy_) {
    row(ui.tr("generate_view.greedy"), text);
  } else {
    row(fmt::format("u = {}", number_text(token.u)),
        fmt::format("{}  [{}, {})", text, number_text(token.low), number_text(token.high)));
  }
  row(ui.tr("generate_view.time"), fmt::format("{:.2f} ms", token.seconds * 1e3));
}

void GenerateView::draw(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  if (c.snapshot.version != prepared_version_) {
    prepared_version_ = c.snapshot.version;
    distribution_ = prepare_distribution(c.snapshot, most_rows);
    for (const TokenRow& row : distribution_.rows) ui.fonts().need(row.text);
    trail_.update(c.snapshot, c.session.editing_prompt);
    duel_ = prepare_duel(c.snapshot.duel);
  }
  greedy_ = c.session.state.probe.sampler.greedy;
  running_ = c.snapshot.generation.running || c.snapshot.duel.running;
  Rect rest = c.area;
  draw_header(c, commands, rest);
  draw_sampler(c, commands, rest);
  if (rest.height() < ui.px(24)) return;
  if (c.snapshot.duel.asked > 0) {
    draw_duel(c, rest);
    return;
  }

  const auto scrolled = [&](const char* name, const Rect& area, auto contents) {
    ImGui::SetCursorScreenPos(area.min());
    ImGui::BeginChild(name, area.size(), false, ImGuiWindowFlags_NoNav);
    const float scroll = ImGui::GetScrollY();
    Rect column{area.x0, area.y0 - scroll, area.x1 - ui.px(14), area.y0 - scroll + 1e6f};
    contents(column);
    ImGui::SetCursorScreenPos({area.x0, column.y0});
    ImGui::Dummy({1, 1});
    ImGui::EndChild();
  };
  const float strip = ui.px(230);
  if (rest.width() >= ui.px(two_columns_css) && rest.height() >= ui.px(300)) {
    const Rect right = rest.cut_right(std::min(ui.px(side_css), rest.width() * 0.42f));
    rest.cut_right(ui.px(32));
    draw_distribution(c, commands, rest);
    scrolled("generate.side", right, [&](Rect& column) {
      draw_prompt(c, commands, column, 6);
      draw_facts(c, column);
      draw_last_draw(c, column);
      draw_strip(c, column.cut_top(strip));
    });
  } else {
    scrolled("generate.all", rest, [&](Rect& column) {
      const size_t rows = std::min<size_t>(distribution_.rows.size(), 16);
      draw_distribution(c, commands,
                        column.cut_top(ui.px(74) + ui.px(bar_row_css) * static_cast<float>(rows + 1)));
      column.cut_top(ui.px(14));
      draw_prompt(c, commands, column, 4);
      draw_facts(c, column);
      draw_last_draw(c, column);
      draw_strip(c, column.cut_top(strip));
    });
  }
}

}  // namespace headlight::app
