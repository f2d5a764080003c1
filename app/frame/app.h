// The window's inside: takes the newest snapshot, draws the chrome and the current view, runs the commands
// that they return. Knows nothing of GLFW or OpenGL: the window, the offscreen picture and the tests drive it
// alike.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "app/commands/command.h"
#include "app/frame/engine_link.h"
#include "app/theme/fonts.h"
#include "app/views/chrome/chrome.h"
#include "app/views/history_series.h"
#include "app/views/view.h"
#include "app/window/input.h"

namespace headlight::app {

class App {
 public:
  struct Options {
    std::filesystem::path session_file;  ///< where the session is kept; empty: nowhere
    bool autosave = true;
  };

  /// Needs a current GuiContext. `link` and `strings` outlive it.
  App(EngineLink& link, const Strings& strings, Options options);

  /// Posts what the restored session asks for, or opens the default model. Call once, before the first frame.
  void start();
  /// Builds one frame. `now` in seconds, growing; `size` in pixels; `density`: pixels for one CSS pixel at
  /// zoom 1. Afterwards ImGui::GetDrawData() holds it.
  void frame(double now, ImVec2 size, float density = 1);
  /// Asked when a run was made on a GPU: whether the renderer can draw from that device's memory
  /// (UiRenderer::shares_device).
  void set_shares_device(std::function<bool()> ask) { shares_device_ = std::move(ask); }
  /// True once after the atlas was built: the renderer has to upload it.
  [[nodiscard]] bool take_fonts_changed() { return std::exchange(fonts_changed_, false); }
  /// Seconds until the next frame is wanted unless input or the engine come first; 0: at once.
  [[nodiscard]] double next_frame_in() const;

  /// Runs a command as `--exec` gives it. Throws Error.
  void execute(std::string_view text);
  /// The same for commands of the window; an Error becomes a toast.
  void execute_or_tell(const Invocation& invocation);
  /// Shows a sentence.
  void tell(Notice::Level level, std::string text) { toasts_.add(level, std::move(text), now_); }
  /// A file or folder was dropped on the window.
  void open_path(const std::filesystem::path& path);
  /// Saves the session now, if there is a file for it; a failure becomes a toast.
  void save();

  /// True while something shown is worked out beside the window: a picture taken now would lack it.
  [[nodiscard]] bool working() const { return inspector_.working(); }

  [[nodiscard]] Session& session() { return session_; }
  [[nodiscard]] const Session& session() const { return session_; }
  [[nodiscard]] InputQueue& input() { return input_; }
  [[nodiscard]] const Controls& controls() const { return controls_; }
  [[nodiscard]] const CommandRegistry& commands() const { return registry_; }
  [[nodiscard]] const Snapshot& snapshot() const { return *snapshot_; }
  [[nodiscard]] const Toasts& toasts() const { return toasts_; }
  [[nodiscard]] Fonts& fonts() { return fonts_; }
  [[nodiscard]] Color background() const { return theme(session_.state.layout.theme).background; }

 private:
  void take_snapshot(double now);
  void advance_playback(double now);
  void update_provenance();
  /// Asks the engine for what is looked at and not recorded, once.
  void update_watch();
  void run_keys();
  void draw(double now, ImVec2 size, float scale);
  [[nodiscard]] CommandContext command_context();

  EngineLink& link_;
  const Strings& strings_;
  Options options_;
  CommandRegistry registry_;
  Session session_;
  ProbeDefaults defaults_;
  std::string defaults_of_;  ///< name of the model that they are of
  std::shared_ptr<const Snapshot> snapshot_;
  Fonts fonts_;
  bool fonts_changed_ = false;
  InputQueue input_;
  bool input_left_ = false;
  Controls controls_;
  HeatMaps heat_maps_;
  CommandQueue queue_;
  std::vector<std::unique_ptr<View>> views_;
  HistorySeries history_;
  std::vector<std::string> tokens_;
  uint64_t tokens_of_ = 0;
  std::optional<Provenance> provenance_;
  std::optional<CellPick> provenance_of_;
  uint64_t provenance_run_ = 0;
  /// What the watch was worked out from.
  struct WatchKey {
    uint64_t run = 0;
    int step = -1;
    Selection selection;
    ViewId view = ViewId::pass;
    std::string stage;
    std::optional<CellPick> cell;
    bool moved = false;
    std::shared_ptr<const RecordingFailure> failure;
    bool operator==(const WatchKey&) const = default;
  };
  std::function<bool()> shares_device_;
  std::optional<WatchKey> watch_of_;
  std::optional<SetCapture> asked_;  ///< posted last
  uint64_t asked_run_ = 0;           ///< the first run that was made for it; 0: none yet
  bool recording_ = false;
  std::string failure_;  ///< why what was asked for is not recorded
  ReadLens lens_asked_;
  StepTree tree_;
  Inspector inspector_;
  NextToken next_token_;
  PromptPanel prompt_;
  Overlays overlays_;
  Toasts toasts_;
  double now_ = 0, last_now_ = 0, play_clock_ = 0, last_save_ = 0;
  bool again_ = true;  ///< something changed in this frame: draw another at once
  SessionState saved_;
};

/// Where the parts of the window stand. Panels that find no room are left out.
struct WindowLayout {
  Rect topbar, tabs, tree, stage, inspector, next, prompt, training;
};
[[nodiscard]] WindowLayout window_layout(Rect window, float scale, float topbar_height, const Layout& layout);

/// The model that opens when nothing else is asked for: the first built-in trained one, else the first
/// preset.
[[nodiscard]] std::string default_model();

}  // namespace headlight::app
