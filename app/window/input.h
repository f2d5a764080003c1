// Input events on their way to ImGui. ImGui 1.86 has no queue of its own: a press and a release that arrive
// between two frames would cancel out, so that at most one transition of each key and button is fed to a
// frame. The window, and tests in its place, push; App feeds.
#pragma once

#include <imgui.h>

#include <deque>
#include <string>
#include <variant>

namespace headlight::app {

struct MouseMove {
  float x, y;
};
struct MouseButton {
  int button;  ///< 0 left, 1 right, 2 middle
  bool down;
};
struct MouseWheel {
  float x, y;
};
/// Key code of GLFW.
struct KeyPress {
  int key;
  bool down;
  int mods = 0;  ///< bits of GLFW (GLFW_MOD_CONTROL, ...) held when it happened
};
struct Character {
  unsigned int code;
};
struct FocusChange {
  bool focused;
};
using InputEvent = std::variant<MouseMove, MouseButton, MouseWheel, KeyPress, Character, FocusChange>;

class InputQueue {
 public:
  /// Tells the current ImGui context which of GLFW's key codes are its keys.
  static void map_keys();

  void push(InputEvent event) { events_.push_back(event); }
  /// Gives the current context the events of one frame. True when some are left: draw another frame at once.
  bool feed();
  [[nodiscard]] bool empty() const { return events_.empty(); }

 private:
  std::deque<InputEvent> events_;
};

}  // namespace headlight::app
