// See harness.h.
#include "tests/app/support/harness.h"

#include <GLFW/glfw3.h>
#include <gtest/gtest.h>

namespace headlight::app::test {

std::shared_ptr<const Snapshot> recorded_snapshot() {
  static const std::shared_ptr<const Snapshot> snapshot = [] {
    Engine engine({.threads = 1, .wake = {}});
    engine.post(OpenPreset{"nano"});
    engine.post(SetPrompt{"The cat sat on the mat. The dog ran. The cat sat"});
    engine.post(Train{12});
    engine.drain();
    return engine.snapshot();
  }();
  return snapshot;
}

Harness::Harness(ImVec2 window, App::Options options)
    : app(engine, strings, std::move(options)), size(window) {
  app.session().state.probe.preset = "nano";
  frames(2);
}

void Harness::frames(int count) {
  for (int i = 0; i < count; ++i) {
    now += 1.0 / 60;
    app.frame(now, size);
  }
}

void Harness::settle() {
  for (int i = 0; i < 200 && !app.input().empty(); ++i) frames(1);
  frames(2);
}

void Harness::hover(const std::string& id) {
  const Control* control = app.controls().find(id);
  ASSERT_NE(control, nullptr) << "no control " << id;
  app.input().push(MouseMove{control->rect.centre().x, control->rect.centre().y});
  settle();
}

void Harness::click(const std::string& id) {
  hover(id);
  app.input().push(MouseButton{0, true});
  app.input().push(MouseButton{0, false});
  settle();
}

void Harness::key(int code, bool ctrl, bool shift) {
  InputQueue& input = app.input();
  if (ctrl) input.push(KeyPress{GLFW_KEY_LEFT_CONTROL, true});
  if (shift) input.push(KeyPress{GLFW_KEY_LEFT_SHIFT, true});
  const int mods = (ctrl ? GLFW_MOD_CONTROL : 0) | (shift ? GLFW_MOD_SHIFT : 0);
  input.push(KeyPress{code, true, mods});
  input.push(KeyPress{code, false, mods});
  if (shift) input.push(KeyPress{GLFW_KEY_LEFT_SHIFT, false});
  if (ctrl) input.push(KeyPress{GLFW_KEY_LEFT_CONTROL, false});
  settle();
}

void Harness::type(const std::string& ascii) {
  for (const char c : ascii) app.input().push(Character{static_cast<unsigned char>(c)});
  settle();
}

}  // namespace headlight::app::test
