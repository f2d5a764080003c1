// One frame: snapshot, input, keys, drawing, commands.
#include "app/frame/app.h"

#include <GLFW/glfw3.h>
#include <fmt/format.h>
#include <imgui_internal.h>

#include <algorithm>
#include <cmath>

#include "app/commands/transport.h"
#include "app/render/ui_renderer.h"
#include "app/session/store.h"
#include "app/session/watch.h"
#include "core/base/error.h"
#include "core/engine/builtin.h"
#include "core/model/presets.h"

namespace headlight::app {
namespace {

constexpr double idle_seconds = 0.25, autosave_seconds = 2, longest_frame = 0.1;

/// A thin mark at the right edge that says where a scrolled panel stands; takes no room from it.
void scroll_mark(const Ui& ui, const Rect& area) {
  const float most = ImGui::GetScrollMaxY();
  if (most <= 0) return;
  const float whole = area.height() + most,
              length = std::max(area.height() * area.height() / whole, ui.px(24));
  const float y = area.y0 + (area.height() - length) * ImGui::GetScrollY() / most;
  ui.fill({area.x1 - ui.px(5), y + ui.px(2), area.x1 - ui.px(2), y + length - ui.px(2)}, ui.theme().track,
          1.5f);
}

}  // namespace

std::string default_model() {
  const auto names = builtin_model_names();
  if (names.empty()) return presets().front().name;
  return std::find(names.begin(), names.end(), default_model_name) != names.end() ? default_model_name
                                                                                  : names.front();
}

App::App(EngineLink& link, const Strings& strings, Options options)
    : link_(link),
      strings_(strings),
      options_(std::move(options)),
      snapshot_(link.snapshot()),
      views_(make_views()) {
  for (const std::string& sentence : fonts_.missing()) toasts_.add(Notice::Level::warning, sentence, 0);
  if (!options_.session_file.empty()) {
    const std::string broken = restore_session(options_.session_file, session_);
    if (!broken.empty()) toasts_.add(Notice::Level::warning, broken, 0);
  }
  saved_ = session_.state;
}

void App::start() {
  Probe& probe = session_.state.probe;
  if (probe.preset.empty() && probe.folder.empty()) probe.preset = default_model();
  saved_ = session_.state;
  for (Request& request : requests_for(probe)) link_.post(std::move(request));
}

CommandContext App::command_context() {
  return {session_, *snapshot_, defaults_, [this](Request request) { link_.post(std::move(request)); },
          [](const std::string& text) { ImGui::SetClipboardText(text.c_str()); }};
}

void App::execute(std::string_view text) {
  snapshot_ = link_.snapshot();
  take_snapshot(now_);
  CommandContext context = command_context();
  registry_.run(parse_invocation(text), context);
  again_ = true;
}

void App::execute_or_tell(const Invocation& invocation) {
  CommandContext context = command_context();
  try {
    registry_.run(invocation, context);
  } catch (const std::exception& error) {
    toasts_.add(Notice::Level::error, error.what(), now_);
  }
  again_ = true;
}

void App::open_path(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error))
    execute_or_tell({"model.folder", path.string()});
  else
    execute_or_tell({"corpus.open", path.string()});
}

void App::save() {
  if (options_.session_file.empty()) return;
  try {
    save_session(options_.session_file, session_);
  } catch (const std::exception& error) {
    toasts_.add(Notice::Level::error, error.what(), now_);
  }
  saved_ = session_.state;
  last_save_ = now_;
}

void App::take_snapshot(double now) {
  snapshot_ = link_.snapshot();
  toasts_.take(*snapshot_, now);
  if (snapshot_->model.name != defaults_of_ && snapshot_->run) {
    defaults_of_ = snapshot_->model.name;
    defaults_ = {snapshot_->model.config, snapshot_->prompt, snapshot_->training.config};
  }
  if (snapshot_->training.history) history_.update(*snapshot_->training.history);
  if (snapshot_->run && snapshot_->run->id != tokens_of_) {
    tokens_of_ = snapshot_->run->id;
    tokens_ = token_texts(*snapshot_, *snapshot_->run);
    for (const std::string& text : tokens_) fonts_.need(text);
  }
}

void App::advance_playback(double now) {
  if (!session_.playing) {
    play_clock_ = now;
    return;
  }
  const double period = 1 / session_.steps_per_second;
  while (session_.playing && now - play_clock_ >= period) {
    play_clock_ = std::max(play_clock_ + period, now - period);
    CommandContext context = command_context();
    const TransportPlace place = transport_place(context);
    if (place.at >= place.last) {
      session_.playing = false;
      break;
    }
    execute_or_tell({"step.next", {}});
  }
}

void App::update_provenance() {
  const CellPick* cell = session_.cell();
  const uint64_t run = snapshot_->run ? snapshot_->run->id : 0;
  if (cell == nullptr || run == 0) {
    provenance_.reset();
    provenance_of_.reset();
    return;
  }
  if (provenance_of_ == *cell && provenance_run_ == run) return;
  provenance_of_ = *cell;
  provenance_run_ = run;
  provenance_.reset();
  const auto id = snapshot_->run->program().find(cell->buffer);
  if (!id || cell->offset < 0 || cell->offset >= snapshot_->run->program().buffer(*id).shape.count()) return;
  Provenance p;
  p.cell = {*id, cell->offset};
  try {
    p.terms = snapshot_->run->explain(*id, cell->offset);
  } catch (const std::exception& error) {
    p.failure = error.what();
  }
  provenance_ = std::move(p);
}

void App::update_watch() {
  const auto& run = snapshot_->run;
  if (!run) {
    recording_ = false;
    failure_.clear();
    return;
  }
  const SessionState& state = session_.state;
  if (const ReadLens lens = wanted_lens(state); lens != lens_asked_) {
    lens_asked_ = lens;
    link_.post(lens);
  }
  WatchKey key{run->id,
               command_context().step(),
               {std::clamp(state.selection.block, 0, std::max(static_cast<int>(run->config.n_layer) - 1, 0)),
                std::clamp(state.selection.head, 0, std::max(static_cast<int>(run->config.n_head) - 1, 0))},
               state.layout.view,
               state.option("attention.stage", ""),
               state.pins.cell,
               !state.playhead.step.empty(),
               snapshot_->recording_failure};
  if (watch_of_ == key) return;
  SetCapture wanted = wanted_capture(state, *run, key.step, key.selection.block, key.selection.head);
  wanted.capture.keep_on_device = run->backend == "cuda" && shares_device_ && shares_device_();
  watch_of_ = std::move(key);
  if (asked_ && asked_run_ == 0 && made_for(*run, *asked_)) asked_run_ = run->id;
  recording_ = !holds(*run, wanted) && !made_for(*run, wanted);
  // What cannot be recorded is not on its way; another wish is asked for as ever.
  const auto& failed = snapshot_->recording_failure;
  failure_ = recording_ && failed && failed->asked == wanted ? failed->sentence : std::string();
  if (!failure_.empty()) {
    recording_ = false;
    return;
  }
  // Gradients of a large model are not worked out with each new prompt once nobody looks at them.
  const bool less = asked_ && asked_->last && !wanted.last && asked_run_ != 0 && asked_run_ != run->id;
  if (asked_ == wanted || !(recording_ || less)) return;
  asked_ = wanted;
  asked_run_ = 0;
  link_.post(wanted);
}

void App::run_keys() {
  const ImGuiIO& io = ImGui::GetIO();
  for (const Command& command : registry_.all()) {
    for (const KeyChord& chord : command.keys) {
      if (chord.ctrl != io.KeyCtrl || chord.shift != io.KeyShift || io.KeyAlt) continue;
      const bool function_key = chord.key >= GLFW_KEY_F1 && chord.key <= GLFW_KEY_F12;
      if (io.WantTextInput && !function_key) {
        // While text is typed, only what no text field uses is a shortcut.
        const bool editing = chord.key == GLFW_KEY_Z || chord.key == GLFW_KEY_Y || chord.key == GLFW_KEY_C ||
                             chord.key == GLFW_KEY_A || chord.key == GLFW_KEY_V || chord.key == GLFW_KEY_X;
        if (!chord.ctrl || editing) continue;
      }
      if (session_.overlay != Overlay::none && !chord.ctrl && !function_key) continue;
      if (!ImGui::IsKeyPressed(chord.key, command.repeats)) continue;
      CommandContext context = command_context();
      if (!command.can_run || command.can_run(context)) queue_.push(command.id);
    }
  }
}

void App::frame(double now, ImVec2 size, float density) {
  last_now_ = now_;
  now_ = now;
  again_ = false;
  take_snapshot(now);
  input_left_ = input_.feed();
  const Layout& layout = session_.state.layout;
  const float scale = static_cast<float>(layout.zoom) * density * (layout.presenter ? 2.f : 1.f);
  if (fonts_.build(scale)) {
    ImGui::GetIO().Fonts->SetTexID(atlas_texture_id());
    fonts_changed_ = true;
  }
  advance_playback(now);
  update_provenance();

  ImGuiIO& io = ImGui::GetIO();
  io.DisplaySize = size;
  io.DeltaTime = static_cast<float>(std::clamp(now - last_now_, 1e-4, longest_frame));
  controls_.clear();
  heat_maps_.clear();
  ImGui::NewFrame();
  run_keys();
  draw(now, size, scale);
  ImGui::Render();
  io.MouseWheel = io.MouseWheelH = 0;

  if (!ImGui::IsMouseDown(ImGuiMouseButton_Left) && ImGui::IsMouseReleased(ImGuiMouseButton_Left))
    session_.history.seal();
  for (const Invocation& invocation : queue_.take()) execute_or_tell(invocation);
  update_watch();
  if (options_.autosave && now - last_save_ >= autosave_seconds && !(session_.state == saved_)) save();
}

double App::next_frame_in() const {
  if (again_ || input_left_ || !input_.empty()) return 0;
  for (const auto& view : views_)
    if (view->id() == session_.state.layout.view && session_.state.layout.motion && view->animating())
      return 0;
  if (session_.playing) return std::max(0.0, play_clock_ + 1 / session_.steps_per_second - now_);
  return idle_seconds;
}

void App::draw(double now, ImVec2 size, float scale) {
  const Layout& layout = session_.state.layout;
  const Ui ui({fonts_, strings_, controls_, heat_maps_}, layout.theme, layout.language, scale,
              layout.magnitudes, layout.motion);
  const Theme& t = ui.theme();
  ImGuiStyle& style = ImGui::GetStyle();
  style.ScrollbarSize = ui.px(8);
  style.ScrollbarRounding = ui.px(4);
  style.Colors[ImGuiCol_ScrollbarBg] = ImGui::ColorConvertU32ToFloat4(0);
  style.Colors[ImGuiCol_ScrollbarGrab] = ImGui::ColorConvertU32ToFloat4(t.track);
  style.Colors[ImGuiCol_PopupBg] = ImGui::ColorConvertU32ToFloat4(t.raised);
  style.Colors[ImGuiCol_Text] = ImGui::ColorConvertU32ToFloat4(t.text);
  style.Colors[ImGuiCol_WindowBg] = style.Colors[ImGuiCol_ChildBg] = ImGui::ColorConvertU32ToFloat4(0);

  const CommandContext command = command_context();
  const ModelConfig config = command.config();
  const auto& run = snapshot_->run;
  int block = session_.state.selection.block, head = session_.state.selection.head;
  if (run) {
    block = std::clamp(block, 0, std::max(static_cast<int>(run->config.n_layer) - 1, 0));
    head = std::clamp(head, 0, std::max(static_cast<int>(run->config.n_head) - 1, 0));
  }
  std::optional<CellPick> hover;
  const Rect window{0, 0, size.x, size.y};
  const auto context = [&](const Rect& area) {
    return ViewContext{*snapshot_, run,     session_,       config,
                       ui,         area,    command.step(), block,
                       head,       tokens_, history_,       provenance_ ? &*provenance_ : nullptr,
                       hover,      now,     recording_,     failure_};
  };

  constexpr ImGuiWindowFlags still = ImGuiWindowFlags_NoDecoration | ImGuiWindowFlags_NoMove |
                                     ImGuiWindowFlags_NoSavedSettings | ImGuiWindowFlags_NoNav |
                                     ImGuiWindowFlags_NoScrollWithMouse;
  ImGui::SetNextWindowPos({0, 0});
  ImGui::SetNextWindowSize(size);
  ImGui::Begin("window", nullptr, still | ImGuiWindowFlags_NoBringToFrontOnFocus);
  const float bar = layout.presenter ? 0 : topbar_height(context(window));
  const WindowLayout parts = window_layout(window, scale, bar, layout);

  // Each part is a child window that clips; tree and inspector scroll.
  const auto part = [&](const char* name, const Rect& area, bool scrolls, auto draw_part) {
    if (area.empty()) return;
    ImGui::SetCursorScreenPos(area.min());
    ImGuiWindowFlags flags = ImGuiWindowFlags_NoNav | ImGuiWindowFlags_NoScrollbar;
    if (!scrolls) flags |= ImGuiWindowFlags_NoScrollWithMouse;
    ImGui::BeginChild(name, area.size(), false, flags);
    draw_part(context(area));
    if (scrolls) scroll_mark(ui, area);
    ImGui::EndChild();
  };
  const auto panel = [&](const Rect& area) { ui.fill(area, t.surface); };
  panel(parts.tree);
  panel(parts.inspector);
  for (const Rect& r : {parts.next, parts.prompt, parts.training}) panel(r);

  part("topbar", parts.topbar, false, [&](const ViewContext& c) { draw_topbar(c, queue_); });
  part("tabs", parts.tabs, false, [&](const ViewContext& c) { draw_tabs(c, queue_); });
  part("tree", parts.tree, true, [&](const ViewContext& c) { tree_.draw(c, queue_); });
  part("stage", parts.stage, false, [&](const ViewContext& c) {
    for (const auto& view : views_) {
      if (view->id() != layout.view) continue;
      ViewContext inner = c;
      const bool roomy = c.area.width() > ui.px(700);
      inner.area = c.area.inset(ui.px(roomy ? 28 : 16), ui.px(c.area.height() > ui.px(480) ? 22 : 12));
      if (!inner.area.empty()) view->draw(inner, queue_);
    }
  });
  part("inspector", parts.inspector, true, [&](const ViewContext& c) { inspector_.draw(c, queue_); });
  part("next", parts.next, false, [&](const ViewContext& c) { next_token_.draw(c, queue_); });
  part("prompt", parts.prompt, false, [&](const ViewContext& c) { prompt_.draw(c, queue_); });
  part("training", parts.training, false, [&](const ViewContext& c) { draw_training_panel(c, queue_); });

  if (!parts.tree.empty()) ui.vertical(parts.tree.x1 - 1, parts.tree.y0, parts.tree.y1, t.line);
  if (!parts.inspector.empty())
    ui.vertical(parts.inspector.x0, parts.inspector.y0, parts.inspector.y1, t.line);
  if (!parts.prompt.empty()) {
    ui.horizontal(0, size.x, parts.prompt.y0, t.line);
    if (!parts.next.empty()) ui.vertical(parts.next.x1 - 1, parts.next.y0, size.y, t.line);
    if (!parts.training.empty()) ui.vertical(parts.training.x0, parts.training.y0, size.y, t.line);
  }
  ImGui::End();

  overlays_.draw(context(window), registry_, command, queue_, session_);
  // Toasts stay clear of the bottom panels and their buttons.
  Rect above = window;
  if (!parts.prompt.empty()) above.y1 = parts.prompt.y0;
  toasts_.draw(ui, above, now);
  if (hover != session_.hover) {
    session_.hover = hover;
    again_ = true;
  }
  if (session_.overlay != Overlay::none || toasts_.any()) again_ = again_ || ImGui::GetIO().WantTextInput;
}

}  // namespace headlight::app
