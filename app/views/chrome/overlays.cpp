// Palette, help, the model menu and the list of devices.
#include <GLFW/glfw3.h>
#include <fmt/format.h>
#include <imgui.h>
#include <imgui_stdlib.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "app/views/chrome/chrome.h"
#include "app/widgets/buttons.h"
#include "core/base/out_of_memory.h"
#include "core/engine/builtin.h"
#include "core/model/presets.h"

namespace headlight::app {
namespace {

/// A window above the others, `width` × `height` CSS pixels at most, its top third in the middle of the
/// screen. Returns its inside; false when the pointer pressed outside.
bool begin_panel(const Ui& ui, const Rect& screen, const char* name, float width, float height,
                 Rect* inside) {
  const Theme& t = ui.theme();
  const float w = std::min(ui.px(width), screen.width() - ui.px(24));
  const float h = std::min(ui.px(height), screen.height() - ui.px(24));
  const float x = screen.x0 + std::round((screen.width() - w) / 2);
  const float y = screen.y0 + std::round(std::min((screen.height() - h) / 2, ui.px(96)));
  // What is behind steps back.
  ImGui::SetNextWindowPos(screen.min());
  ImGui::SetNextWindowSize(screen.size());
  ImGui::Begin("scrim", nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
                   ImGuiWindowFlags_NoNav | ImGuiWindowFlags_NoFocusOnAppearing |
                   ImGuiWindowFlags_NoBackground);
  ui.fill(screen, fade(rgb(0x000000), t.dark ? 0.55f : 0.3f));
  ImGui::End();
  ImGui::SetNextWindowPos({x, y});
  ImGui::SetNextWindowSize({w, h});
  ImGui::SetNextWindowFocus();
  ImGui::PushStyleColor(ImGuiCol_WindowBg, t.surface);
  ImGui::PushStyleColor(ImGuiCol_Border, t.line);
  ImGui::PushStyleVar(ImGuiStyleVar_WindowRounding, ui.px(12));
  ImGui::PushStyleVar(ImGuiStyleVar_WindowBorderSize, 1);
  ImGui::Begin(name, nullptr,
               ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove | ImGuiWindowFlags_NoSavedSettings |
                   ImGuiWindowFlags_NoNav);
  ImGui::PopStyleVar(2);
  ImGui::PopStyleColor(2);
  const Rect frame{x, y, x + w, y + h};
  *inside = frame.inset(ui.px(20), ui.px(18));
  ui.controls().add(name, frame, screen);
  return !(ImGui::IsMouseClicked(ImGuiMouseButton_Left) && !frame.contains(ImGui::GetIO().MousePos));
}

/// A list that scrolls: the child window's area for rows.
Rect begin_list(const char* name, const Rect& area) {
  ImGui::SetCursorScreenPos(area.min());
  ImGui::BeginChild(name, area.size(), false, ImGuiWindowFlags_NoNav | ImGuiWindowFlags_NoBackground);
  Rect r = area;
  r.y0 -= ImGui::GetScrollY();
  return r;
}

void end_list(const Rect& area, float bottom) {
  ImGui::SetCursorScreenPos({area.x0, bottom});
  ImGui::Dummy({1, 1});
  ImGui::EndChild();
}

}  // namespace

int fuzzy_score(std::string_view query, std::string_view text) {
  if (query.empty()) return 0;
  const auto lower = [](char c) { return static_cast<char>(std::tolower(static_cast<unsigned char>(c))); };
  int score = 0, streak = 0;
  size_t q = 0;
  for (size_t i = 0; i < text.size() && q < query.size(); ++i) {
    if (lower(text[i]) == lower(query[q])) {
      const bool word_start = i == 0 || text[i - 1] == ' ' || text[i - 1] == '.' || text[i - 1] == '_';
      score += 1 + 2 * streak + (word_start ? 4 : 0);
      ++streak;
      ++q;
    } else {
      streak = 0;
    }
  }
  if (q < query.size()) return -1;
  return score * 16 - static_cast<int>(std::min<size_t>(text.size(), 64)) / 4;
}

void Overlays::draw(const ViewContext& c, const CommandRegistry& registry, const CommandContext& state,
                    CommandQueue& commands, Session& session) {
  if (session.overlay != shown_) {
    shown_ = session.overlay;
    query_.clear();
    chosen_ = 0;
  }
  switch (session.overlay) {
    case Overlay::none:
      break;
    case Overlay::palette:
      draw_palette(c, registry, state, commands, session);
      break;
    case Overlay::help:
      draw_help(c, registry, session);
      break;
    case Overlay::models:
      draw_models(c, commands, session);
      break;
    case Overlay::devices:
      draw_devices(c, commands, session);
      break;
  }
}

void Overlays::draw_palette(const ViewContext& c, const CommandRegistry& registry,
                            const CommandContext& state, CommandQueue& commands, Session& session) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  Rect inside;
  if (!begin_panel(ui, c.area, "palette", 640, 460, &inside)) session.overlay = Overlay::none;

  const Rect field = inside.cut_top(ui.px(38));
  ui.fill(field, t.raised, 8);
  ImGui::SetCursorScreenPos({field.x0 + ui.px(12), field.y0});
  ImGui::PushFont(ui.fonts().font(TextStyle::body));
  ImGui::PushStyleColor(ImGuiCol_FrameBg, 0);
  ImGui::PushStyleColor(ImGuiCol_Text, t.text);
  ImGui::PushStyleVar(ImGuiStyleVar_FramePadding,
                      ImVec2(0, (field.height() - ui.line_height(TextStyle::body)) / 2));
  ImGui::SetNextItemWidth(field.width() - ui.px(24));
  if (ImGui::IsWindowAppearing() || !ImGui::IsAnyItemActive()) ImGui::SetKeyboardFocusHere();
  const bool entered = ImGui::InputText("##query", &query_, ImGuiInputTextFlags_EnterReturnsTrue);
  if (ImGui::IsItemEdited()) chosen_ = 0;
  ImGui::PopStyleVar();
  ImGui::PopStyleColor(2);
  ImGui::PopFont();
  if (query_.empty()) ui.text_in(field.inset(ui.px(12), 0), TextStyle::body, t.muted, ui.tr("palette.hint"));
  inside.cut_top(ui.px(10));

  // "switch.heads 4" or "heads 4": what follows the first word that is a number or an id's rest is the
  // argument.
  const Invocation typed = parse_invocation(query_);
  struct Hit {
    const Command* command;
    int score;
  };
  std::vector<Hit> hits;
  for (const Command& command : registry.all()) {
    if (command.can_run && !command.can_run(state)) continue;
    const std::string& title = ui.tr("command." + command.id);
    int score = std::max(fuzzy_score(query_, title), fuzzy_score(query_, command.id));
    if (command.id == typed.id) score = 1 << 20;
    if (!command.argument.empty() && !typed.argument.empty())
      score = std::max(score, fuzzy_score(typed.id, command.id));
    if (score >= 0) hits.push_back({&command, score});
  }
  std::stable_sort(hits.begin(), hits.end(), [](const Hit& a, const Hit& b) { return a.score > b.score; });
  if (!hits.empty()) chosen_ = std::min(chosen_, hits.size() - 1);
  if (ImGui::IsKeyPressed(GLFW_KEY_DOWN) && chosen_ + 1 < hits.size()) ++chosen_;
  if (ImGui::IsKeyPressed(GLFW_KEY_UP) && chosen_ > 0) --chosen_;

  const Rect area = inside;
  Rect rows = begin_list("palette.list", area);
  const float height = ui.px(32);
  std::optional<size_t> run;
  for (size_t i = 0; i < hits.size(); ++i) {
    const Rect r{rows.x0, rows.y0 + height * static_cast<float>(i), rows.x1,
                 rows.y0 + height * static_cast<float>(i + 1)};
    if (i == chosen_ && (r.y0 < area.y0 || r.y1 > area.y1))
      ImGui::SetScrollY(std::max(0.f, height * static_cast<float>(i) - area.height() / 2));
    if (r.y1 < area.y0 || r.y0 > area.y1) continue;
    const Command& command = *hits[i].command;
    const Press press = ui.press("palette." + command.id, r);
    if (i == chosen_ || press.hovered) ui.fill(r, t.row, 6);
    Rect line = r.inset(ui.px(10), 0);
    std::string keys;
    for (const KeyChord& chord : command.keys) keys += (keys.empty() ? "" : "  ") + chord_text(chord);
    const float keys_width = ui.measure(TextStyle::mono_small, keys).x;
    ui.text_in(line.cut_right(keys_width), TextStyle::mono_small, t.muted, keys, Align::right);
    const std::string& title = ui.tr("command." + command.id);
    const float used = ui.text_in(line, TextStyle::body, t.text, title);
    line.x0 += used + ui.px(12);
    const std::string detail = command.argument.empty() ? command.id : command.id + " " + command.argument;
    if (ui.measure(TextStyle::mono_small, detail).x <= line.width() - ui.px(8))
      ui.text_in(line, TextStyle::mono_small, t.muted, detail);
    if (press.clicked) run = i;
  }
  end_list(area, rows.y0 + height * static_cast<float>(hits.size()));
  if (entered && !hits.empty()) run = chosen_;
  if (run) {
    const Command& command = *hits[*run].command;
    const bool wants = !command.argument.empty();
    if (wants && typed.argument.empty() && command.argument.find("on|off") == std::string::npos) {
      // It takes something more: put its id in the field and wait.
      query_ = command.id + " ";
      chosen_ = 0;
    } else {
      session.overlay = Overlay::none;
      commands.push(command.id, wants ? typed.argument : std::string());
    }
  }
  if (ImGui::IsKeyPressed(GLFW_KEY_ESCAPE, false)) session.overlay = Overlay::none;
  ImGui::End();
}

void Overlays::draw_help(const ViewContext& c, const CommandRegistry& registry, Session& session) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  Rect inside;
  if (!begin_panel(ui, c.area, "help", 760, 620, &inside)) session.overlay = Overlay::none;
  ui.text_in(inside.cut_top(ui.px(32)), TextStyle::title, t.text, ui.tr("help.title"));
  inside.cut_top(ui.px(8));
  const Rect area = inside;
  Rect rows = begin_list("help.list", area);
  rows.y0 += ui.paragraph(rows, TextStyle::small, t.muted, ui.tr("help.text")) + ui.px(12);
  const float height = ui.px(26);
  float y = rows.y0;
  for (const Command& command : registry.all()) {
    if (command.keys.empty()) continue;
    Rect r{rows.x0, y, rows.x1 - ui.px(10), y + height};
    y = r.y1;
    if (r.y1 < area.y0 || r.y0 > area.y1) continue;
    std::string keys;
    for (const KeyChord& chord : command.keys) keys += (keys.empty() ? "" : "   ") + chord_text(chord);
    ui.text_in(r.cut_left(ui.px(220)), TextStyle::mono, t.accent, keys);
    ui.text_in(r, TextStyle::small, t.text, ui.tr("command." + command.id));
  }
  end_list(area, y);
  if (ImGui::IsKeyPressed(GLFW_KEY_ESCAPE, false)) session.overlay = Overlay::none;
  ImGui::End();
}

void Overlays::draw_models(const ViewContext& c, CommandQueue& commands, Session& session) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  Rect inside;
  if (!begin_panel(ui, c.area, "models", 620, 520, &inside)) session.overlay = Overlay::none;
  const Rect area = inside;
  Rect rows = begin_list("models.list", area);
  float y = rows.y0;
  const auto heading = [&](std::string_view key) {
    y += ui.px(8);
    ui.text_in({rows.x0, y, rows.x1, y + ui.px(20)}, TextStyle::section, t.muted, upper(ui.tr(key)));
    y += ui.px(24);
  };
  const auto entry = [&](const std::string& id, std::string_view name, std::string_view title,
                         std::string_view detail) {
    const Rect r{rows.x0, y, rows.x1 - ui.px(8), y + ui.px(34)};
    y = r.y1;
    const Press press = ui.press(id, r);
    if (press.hovered) ui.fill(r, t.row, 6);
    Rect line = r.inset(ui.px(10), 0);
    const float width = ui.measure(TextStyle::mono, detail).x;
    ui.text_in(line.cut_right(width), TextStyle::mono, t.muted, detail, Align::right);
    line.cut_right(ui.px(12));
    const float used = ui.text_in(line, TextStyle::body_medium, t.text, name);
    line.x0 += used + ui.px(12);
    if (line.width() > ui.px(40)) {
      const float wide = ui.measure(TextStyle::small, title).x;
      ui.text_in(line, TextStyle::small, t.muted,
                 wide <= line.width() ? std::string(title)
                                      : elide(ui.fonts(), TextStyle::small, title, line.width()));
    }
    return press.clicked;
  };
  const auto pick = [&](const char* command, const std::string& argument) {
    session.overlay = Overlay::none;
    commands.push(command, argument);
  };
  const std::vector<std::string> built_in = builtin_model_names();
  if (!built_in.empty()) {
    heading("models.trained");
    for (const std::string& name : built_in)
      if (entry("model." + name, name, ui.tr("models.trained_here"), {})) pick("model.open", name);
  }
  heading("models.presets");
  for (const Preset& preset : presets()) {
    const std::string& title = ui.language() == Language::vietnamese ? preset.title_vi : preset.title_en;
    const ModelConfig& m = preset.config;
    const std::string detail = fmt::format("L{} H{} C{} · {}", m.n_layer, m.n_head, m.n_embd,
                                           count_text(count_parameters(m).total()));
    if (entry("model." + preset.name, preset.name, title, detail)) pick("model.open", preset.name);
  }
  std::vector<std::string> folders;
  for (const std::string& path : session.recent) {
    std::error_code error;
    if (std::filesystem::is_directory(path, error)) folders.push_back(path);
  }
  if (!folders.empty()) {
    heading("models.recent");
    for (const std::string& path : folders)
      if (entry("model.recent." + path, std::filesystem::path(path).filename().string(), path, {}))
        pick("model.folder", path);
  }
  y += ui.px(10);
  y += ui.paragraph({rows.x0, y, rows.x1, y + ui.px(40)}, TextStyle::caption, t.muted, ui.tr("models.hint"));
  end_list(area, y);
  if (ImGui::IsKeyPressed(GLFW_KEY_ESCAPE, false)) session.overlay = Overlay::none;
  ImGui::End();
}

void Overlays::draw_devices(const ViewContext& c, CommandQueue& commands, Session& session) {
  const Ui& ui = c.ui;
  const Theme& t = ui.theme();
  Rect inside;
  if (!begin_panel(ui, c.area, "devices", 620, 300, &inside)) session.overlay = Overlay::none;
  ui.text_in(inside.cut_top(ui.px(32)), TextStyle::title, t.text, ui.tr("devices.title"));
  inside.cut_top(ui.px(6));
  for (const DeviceState& device : c.snapshot.devices) {
    const bool now = device.kind == c.snapshot.device_kind, can = device.why_not.empty();
    const std::string memory =
        device.memory_bytes > 0 ? " · " + bytes_text(device.memory_bytes) : std::string();
    const std::string& below = can ? device.detail : device.why_not;
    const Rect text_area = inside.inset(ui.px(10), 0);
    const float lines = ui.paragraph(text_area, TextStyle::small, 0, below);
    const Rect r{inside.x0, inside.y0, inside.x1, inside.y0 + ui.px(36) + lines + ui.px(8)};
    inside.cut_top(r.height() + ui.px(6));
    const Press press = ui.press("device." + device.kind, r, can && !now);
    if (now) ui.outline(r, t.accent, 1.5f, 8);
    if (press.hovered && can && !now) ui.fill(r, t.row, 8);
    Rect line{r.x0 + ui.px(10), r.y0, r.x1 - ui.px(10), r.y0 + ui.px(36)};
    const std::string state = now ? ui.tr("devices.now") : can ? std::string() : ui.tr("devices.not_here");
    ui.text_in(line.cut_right(ui.measure(TextStyle::label, state).x + 1), TextStyle::label,
               now ? t.accent : t.muted, state, Align::right);
    line.cut_right(ui.px(8));
    const std::string name = upper(device.kind) + (device.name.empty() ? "" : "  " + device.name) + memory;
    ui.text_in(line, TextStyle::body_medium, can ? t.text : t.muted, name);
    ui.paragraph({line.x0, r.y0 + ui.px(34), r.x1 - ui.px(10), r.y1}, TextStyle::small, t.muted, below);
    if (press.clicked) {
      session.overlay = Overlay::none;
      commands.push("device.set", device.kind);
    }
  }
  ui.paragraph(inside, TextStyle::caption, t.muted, ui.tr("devices.hint"));
  if (ImGui::IsKeyPressed(GLFW_KEY_ESCAPE, false)) session.overlay = Overlay::none;
  ImGui::End();
}

}  // namespace headlight::app
