// Feeds events in order and stops before a second transition of the same key or button.
#include "app/window/input.h"

#include <GLFW/glfw3.h>

#include <optional>
#include <set>

namespace headlight::app {
namespace {

constexpr int key_limit = 512;

bool is_modifier(int key) { return key >= GLFW_KEY_LEFT_SHIFT && key <= GLFW_KEY_RIGHT_SUPER; }

struct Feeder {
  std::set<int> buttons, keys;
  std::optional<int> mods;  // of this frame's keys
  bool moved = false, pressed = false, typed = false;
  ImGuiIO& io = ImGui::GetIO();

  // Each returns false when the event has to wait for the next frame.
  bool operator()(const MouseMove& e) {
    if (pressed) return false;  // a drag starts where the button went down
    io.MousePos = {e.x, e.y};
    moved = true;
    return true;
  }
  bool operator()(const MouseButton& e) {
    if (e.button < 0 || e.button >= 5) return true;
    if (!buttons.insert(e.button).second) return false;
    io.MouseDown[e.button] = e.down;
    pressed = true;
    return true;
  }
  bool operator()(const MouseWheel& e) {
    io.MouseWheel += e.y;
    io.MouseWheelH += e.x;
    return true;
  }
  bool operator()(const KeyPress& e) {
    if (e.key < 0 || e.key >= key_limit) return true;
    // A frame has one set of modifiers, and its keys have to have been struck with them.
    if (typed || (mods && (is_modifier(e.key) || *mods != e.mods))) return false;
    if (!keys.insert(e.key).second) return false;
    io.KeysDown[e.key] = e.down;
    if (!is_modifier(e.key)) {
      mods = e.mods;
      io.KeyCtrl = (e.mods & GLFW_MOD_CONTROL) != 0;
      io.KeyShift = (e.mods & GLFW_MOD_SHIFT) != 0;
      io.KeyAlt = (e.mods & GLFW_MOD_ALT) != 0;
      io.KeySuper = (e.mods & GLFW_MOD_SUPER) != 0;
      return true;
    }
    // Systems differ in whether a modifier's own event already counts it.
    const auto either = [this](int left, int right) { return io.KeysDown[left] || io.KeysDown[right]; };
    io.KeyCtrl = either(GLFW_KEY_LEFT_CONTROL, GLFW_KEY_RIGHT_CONTROL);
    io.KeyShift = either(GLFW_KEY_LEFT_SHIFT, GLFW_KEY_RIGHT_SHIFT);
    io.KeyAlt = either(GLFW_KEY_LEFT_ALT, GLFW_KEY_RIGHT_ALT);
    io.KeySuper = either(GLFW_KEY_LEFT_SUPER, GLFW_KEY_RIGHT_SUPER);
    return true;
  }
  bool operator()(const Character& e) {
    io.AddInputCharacter(e.code);
    typed = true;  // a key after a character belongs to the next frame, so that typing keeps its order
    return true;
  }
  bool operator()(const FocusChange& e) {
    if (mods && !e.focused) return false;  // the keys struck before it are to be seen
    io.AddFocusEvent(e.focused);
    if (!e.focused) io.ClearInputKeys();
    return true;
  }
};

}  // namespace

void InputQueue::map_keys() {
  ImGuiIO& io = ImGui::GetIO();
  constexpr std::pair<ImGuiKey_, int> keys[] = {{ImGuiKey_Tab, GLFW_KEY_TAB},
                                                {ImGuiKey_LeftArrow, GLFW_KEY_LEFT},
                                                {ImGuiKey_RightArrow, GLFW_KEY_RIGHT},
                                                {ImGuiKey_UpArrow, GLFW_KEY_UP},
                                                {ImGuiKey_DownArrow, GLFW_KEY_DOWN},
                                                {ImGuiKey_PageUp, GLFW_KEY_PAGE_UP},
                                                {ImGuiKey_PageDown, GLFW_KEY_PAGE_DOWN},
                                                {ImGuiKey_Home, GLFW_KEY_HOME},
                                                {ImGuiKey_End, GLFW_KEY_END},
                                                {ImGuiKey_Insert, GLFW_KEY_INSERT},
                                                {ImGuiKey_Delete, GLFW_KEY_DELETE},
                                                {ImGuiKey_Backspace, GLFW_KEY_BACKSPACE},
                                                {ImGuiKey_Space, GLFW_KEY_SPACE},
                                                {ImGuiKey_Enter, GLFW_KEY_ENTER},
                                                {ImGuiKey_Escape, GLFW_KEY_ESCAPE},
                                                {ImGuiKey_KeyPadEnter, GLFW_KEY_KP_ENTER},
                                                {ImGuiKey_A, GLFW_KEY_A},
                                                {ImGuiKey_C, GLFW_KEY_C},
                                                {ImGuiKey_V, GLFW_KEY_V},
                                                {ImGuiKey_X, GLFW_KEY_X},
                                                {ImGuiKey_Y, GLFW_KEY_Y},
                                                {ImGuiKey_Z, GLFW_KEY_Z}};
  for (const auto& [key, code] : keys) io.KeyMap[key] = code;
}

bool InputQueue::feed() {
  Feeder feeder;
  while (!events_.empty()) {
    if (!std::visit(feeder, events_.front())) return true;
    events_.pop_front();
  }
  return false;
}

}  // namespace headlight::app
