// The top bar: model, switches, τ, transport, device. Flows into a second row where the window is narrow.
#include <fmt/format.h>

#include <array>
#include <cmath>
#include <functional>

#include "app/views/chrome/chrome.h"
#include "app/widgets/buttons.h"

namespace headlight::app {
namespace {

constexpr float bar_css = 56, row_css = 44, label_gap_css = 10;

/// A piece of the bar: how wide it is and how to draw it into a rectangle.
struct Item {
  float width = 0;
  std::function<void(const Rect&)> draw;
  bool at_right = false;
  /// What gives way first where the window is small (0: never). Dropped switches move into a menu.
  int drop = 0;
  bool in_menu = true;
};

void push_choice(CommandQueue& commands, const char* command, std::string_view value) {
  commands.push(command, std::string(value));
}

std::vector<int64_t> head_choices(const ModelConfig& config) {
  std::vector<int64_t> heads;
  for (const int64_t h : {1, 2, 4, 8})
    if (h <= config.n_embd && config.n_embd % h == 0) heads.push_back(h);
  if (std::find(heads.begin(), heads.end(), config.n_head) == heads.end()) heads.push_back(config.n_head);
  return heads;
}

Item labelled(const Ui& ui, const std::string& label, float width, int drop,
              std::function<void(const Rect&)> draw) {
  const float text = ui.measure(TextStyle::label, label).x;
  const float gap = ui.px(label_gap_css);
  return {text + gap + width,
          [&ui, label, text, gap, draw = std::move(draw)](const Rect& r) {
            Rect rest = r;
            ui.text_in(rest.cut_left(text + 1), TextStyle::label, ui.theme().muted, label);
            rest.cut_left(gap - 1);
            draw(rest);
          },
          false, drop};
}

/// `compact`: without the program's name and the model's sizes, which the pill's menu and the tree also tell.
std::vector<Item> items(const ViewContext& c, CommandQueue& commands, bool compact) {
  const Ui& ui = c.ui;
  const ModelConfig& config = c.config;
  std::vector<Item> all;

  const float name = compact ? 0 : ui.measure(TextStyle::title, "Headlight").x;
  all.push_back({compact ? ui.px(22) : ui.px(32) + name, [&ui, name](const Rect& r) {
                   Rect rest = r;
                   draw_icon(ui, Icon::logo, rest.cut_left(ui.px(22)), 22, 0);
                   if (name == 0) return;
                   rest.cut_left(ui.px(10));
                   ui.text_in({rest.x0, rest.y0, rest.x0 + name + 1, rest.y1}, TextStyle::title,
                              ui.theme().text, "Headlight");
                 }});
  {
    const std::string label = c.snapshot.model.name;
    const std::string detail =
        compact ? count_text(c.snapshot.model.parameters.total())
                : fmt::format("L{} H{} C{} · {}", config.n_layer, config.n_head, config.n_embd,
                              count_text(c.snapshot.model.parameters.total()));
    const float width = pill_width(ui, {label, detail, true});
    all.push_back({width, [&ui, &commands, label, detail](const Rect& r) {
                     if (pill(ui, "model", r, {label, detail, true})) commands.push("model.menu");
                   }});
  }
  {
    const auto heads = head_choices(config);
    std::vector<std::string> names;
    for (const int64_t h : heads) names.push_back(std::to_string(h));
    std::vector<Segment> segments;
    for (const std::string& n : names) segments.push_back({n, n});
    const float width = segmented_width(ui, segments);
    all.push_back(
        labelled(ui, ui.tr("switch.heads"), width, 7, [&ui, &commands, &config, heads](const Rect& r) {
          std::vector<std::string> texts;
          for (const int64_t h : heads) texts.push_back(std::to_string(h));
          std::vector<Segment> cells;
          for (const std::string& n : texts) cells.push_back({n, n});
          const auto now =
              static_cast<size_t>(std::find(heads.begin(), heads.end(), config.n_head) - heads.begin());
          if (const auto i = segmented(ui, "heads", r, cells, now))
            push_choice(commands, "switch.heads", texts[*i]);
        }));
  }
  {
    const std::array<Segment, 3> segments = {
        {{"pre", ui.tr("norm.pre")}, {"post", ui.tr("norm.post")}, {"none", ui.tr("norm.none")}}};
    all.push_back(labelled(ui, ui.tr("switch.norm"), segmented_width(ui, segments), 5,
                           [&ui, &commands, &config, segments](const Rect& r) {
                             const size_t now = config.norm == NormKind::none                ? 2
                                                : config.norm_position == NormPosition::post ? 1
                                                                                             : 0;
                             if (const auto i = segmented(ui, "norm", r, segments, now))
                               push_choice(commands, "switch.norm", segments[*i].id);
                           }));
  }
  {
    const std::array<Segment, 4> segments = {{{"causal", ui.tr("mask.causal")},
                                              {"zero", ui.tr("mask.zero")},
                                              {"finite", ui.tr("mask.finite")},
                                              {"none", ui.tr("mask.none")}}};
    all.push_back(labelled(ui, ui.tr("switch.mask"), segmented_width(ui, segments), 6,
                           [&ui, &commands, &config, segments](const Rect& r) {
                             constexpr std::array order = {AttentionMask::causal, AttentionMask::zero,
                                                           AttentionMask::finite, AttentionMask::none};
                             const auto now = static_cast<size_t>(
                                 std::find(order.begin(), order.end(), config.mask) - order.begin());
                             if (const auto i = segmented(ui, "mask", r, segments, now))
                               push_choice(commands, "switch.mask", segments[*i].id);
                           }));
  }
  {
    const std::array<Toggle, 3> parts = {{{"residual", ui.tr("switch.residual"), config.residual},
                                          {"mlp", ui.tr("switch.mlp"), config.mlp != MlpKind::none},
                                          {"scale", ui.tr("switch.scale"), config.scale_attn_weights}}};
    all.push_back({toggles_width(ui, parts),
                   [&ui, &commands, parts](const Rect& r) {
                     if (const auto i = toggles(ui, "parts", r, parts))
                       commands.push(fmt::format("switch.{}", parts[*i].id), parts[*i].on ? "off" : "on");
                   },
                   false, 4});
  }
  all.push_back(labelled(ui, "τ", ui.px(132), 3, [&ui, &commands, &config](const Rect& r) {
    const SliderSpec spec{.low = 0.1, .high = 10, .logarithmic = true, .reset = 1, .digits = 2};
    if (const auto tau = slider_pill(ui, "temperature", r, config.temperature, spec))
      commands.push("switch.temperature", fmt::format("{}", *tau));
  }));

  {
    const float play = button_width(ui, {.icon = Icon::play, .label = ui.tr("play"), .main = true});
    const float pause = button_width(ui, {.icon = Icon::pause, .label = ui.tr("pause"), .main = true});
    const float middle = std::max(play, pause), side = ui.px(38), gap = ui.px(6);
    all.push_back({middle + 4 * side + 4 * gap,
                   [&ui, &commands, &c, middle, side, gap](const Rect& r) {
                     Rect rest = r;
                     const auto key = [&](const char* id) { return ui.tr(std::string("command.") + id); };
                     const auto side_button = [&](const char* id, Icon icon) {
                       if (button(ui, id, rest.cut_left(side),
                                  {.icon = icon, .enabled = c.step >= 0, .tooltip = key(id)}))
                         commands.push(id);
                       rest.cut_left(gap);
                     };
                     side_button("step.first", Icon::first);
                     side_button("step.previous", Icon::previous);
                     const bool playing = c.session.playing;
                     if (button(ui, "play.toggle", rest.cut_left(middle),
                                {.icon = playing ? Icon::pause : Icon::play,
                                 .label = ui.tr(playing ? "pause" : "play"),
                                 .main = true,
                                 .enabled = c.step >= 0}))
                       commands.push("play.toggle");
                     rest.cut_left(gap);
                     side_button("step.next", Icon::next);
                     side_button("step.last", Icon::last);
                   },
                   true});
  }
  if (!c.snapshot.device.empty()) {
    // "CPU ×2 (AVX-512)": the instruction set is for the tooltip.
    const std::string device = c.snapshot.device.substr(0, c.snapshot.device.find(" ("));
    all.push_back({pill_width(ui, {{}, device, true}),
                   [&ui, &c, &commands, device](const Rect& r) {
                     if (pill(ui, "device", r, {{}, device, true})) commands.push("device.menu");
                     if (r.contains(ImGui::GetIO().MousePos)) ui.tooltip(c.snapshot.device);
                   },
                   true, 1, false});
  }
  return all;
}

/// Items broken into rows, and the space between them: as much as still gives the fewest rows.
struct Flow {
  std::vector<int> rows;  ///< of each item; −1: dropped
  int count = 1;
  float gap = 0;
  bool menu = false;  ///< some switches were dropped
};

Flow flow_once(const Ui& ui, const std::vector<Item>& all, const std::vector<bool>& dropped, float width) {
  Flow best;
  for (const float gap_css : {22, 18, 14, 10}) {
    Flow f;
    f.gap = ui.px(gap_css);
    float x = 0;
    int row = 0;
    for (size_t i = 0; i < all.size(); ++i) {
      if (dropped[i]) {
        f.rows.push_back(-1);
        f.menu = f.menu || all[i].in_menu;
        continue;
      }
      if (x > 0 && x + all[i].width > width) {
        ++row;
        x = 0;
      }
      f.rows.push_back(row);
      x += all[i].width + f.gap;
    }
    f.count = row + 1;
    if (best.rows.empty() || f.count < best.count) best = std::move(f);
  }
  return best;
}

/// At most the rows that leave most of the window to the stage.
Flow flow(const ViewContext& c, const std::vector<Item>& all) {
  const Ui& ui = c.ui;
  const float width = c.area.width() - 2 * ui.px(20);
  const float window = ImGui::GetIO().DisplaySize.y / ui.scale();
  const int most = window >= 640 ? 3 : window >= 420 ? 2 : 1;
  std::vector<bool> dropped(all.size(), false);
  Flow f = flow_once(ui, all, dropped, width);
  if (f.count > 1) {
    // The badge and the name give way when that saves a row.
    for (int level = 1; level <= 2; ++level) {
      std::vector<bool> fewer(all.size());
      for (size_t i = 0; i < all.size(); ++i) fewer[i] = !all[i].in_menu && all[i].drop <= level;
      Flow g = flow_once(ui, all, fewer, width);
      if (g.count < f.count) {
        f = std::move(g);
        dropped = std::move(fewer);
        break;
      }
    }
  }
  for (int level = 1; f.count > most && level <= 7; ++level) {
    for (size_t i = 0; i < all.size(); ++i)
      dropped[i] = dropped[i] || (all[i].drop != 0 && all[i].drop <= level);
    f = flow_once(ui, all, dropped, width - ui.px(38) - ui.px(10));
  }
  return f;
}

struct Bar {
  std::vector<Item> items;
  Flow flow;
};

/// The bar with all its words, or the compact one where that saves a row.
Bar make_bar(const ViewContext& c, CommandQueue& commands) {
  Bar bar{items(c, commands, false), {}};
  bar.flow = flow(c, bar.items);
  if (bar.flow.count > 1) {
    Bar small{items(c, commands, true), {}};
    small.flow = flow(c, small.items);
    if (small.flow.count < bar.flow.count) return small;
  }
  return bar;
}

}  // namespace

float topbar_height(const ViewContext& c) {
  CommandQueue none;
  return c.ui.px(bar_css) + static_cast<float>(make_bar(c, none).flow.count - 1) * c.ui.px(row_css);
}

void draw_topbar(const ViewContext& c, CommandQueue& commands) {
  const Ui& ui = c.ui;
  ui.fill(c.area, ui.theme().surface);
  const auto [all, f] = make_bar(c, commands);
  const float height = ui.px(control_height), gap_right = std::min(f.gap, ui.px(16));
  for (int row = 0; row < f.count; ++row) {
    const float y =
        c.area.y0 + ui.px((bar_css - control_height) / 2) + static_cast<float>(row) * ui.px(row_css);
    float from_right = 0;
    for (size_t i = 0; i < all.size(); ++i)
      if (f.rows[i] == row && all[i].at_right) from_right += all[i].width + (from_right > 0 ? gap_right : 0);
    float x = c.area.x0 + ui.px(20), at = c.area.x1 - ui.px(20) - from_right;
    for (size_t i = 0; i < all.size(); ++i) {
      if (f.rows[i] != row) continue;
      float& left = all[i].at_right ? at : x;
      all[i].draw({left, y, left + all[i].width, y + height});
      left += all[i].width + (all[i].at_right ? gap_right : f.gap);
    }
    if (row == 0 && f.menu &&
        button(ui, "switches.menu", {x, y, x + ui.px(38), y + height},
               {.icon = Icon::menu, .tooltip = ui.tr("switches")}))
      ImGui::OpenPopup("switches");
  }
  // The switches that found no room, below each other.
  ImGui::PushStyleVar(ImGuiStyleVar_WindowPadding, ImVec2(ui.px(12), ui.px(12)));
  if (ImGui::BeginPopup("switches", ImGuiWindowFlags_NoNav)) {
    for (size_t i = 0; i < all.size(); ++i) {
      if (f.rows[i] >= 0 || !all[i].in_menu) continue;
      const ImVec2 p = ImGui::GetCursorScreenPos();
      all[i].draw({p.x, p.y, p.x + all[i].width, p.y + height});
      ImGui::SetCursorScreenPos(p);
      ImGui::Dummy({all[i].width, height + ui.px(8)});
    }
    ImGui::EndPopup();
  }
  ImGui::PopStyleVar();
  ui.horizontal(c.area.x0, c.area.x1, c.area.y1 - 1, ui.theme().line);
}

}  // namespace headlight::app
