// The window on a real engine without a display, driven by names of controls: for tests of views.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "app/frame/app.h"
#include "app/frame/gui_context.h"

namespace headlight::app {

class LiveWindow {
 public:
  explicit LiveWindow(const std::string& preset = "nano", ImVec2 size = {1920, 1080}) : size_(size) {
    app_.session().state.probe.preset = preset;
    app_.start();
    settle();
  }
  App& app() { return app_; }
  [[nodiscard]] const Snapshot& snapshot() const { return app_.snapshot(); }
  void resize(ImVec2 size) { size_ = size; }

  void frames(int count) {
    for (int i = 0; i < count; ++i) app_.frame(now_ += 1.0 / 60, size_);
  }
  /// Until the engine has done what was asked and a frame shows it.
  void settle() {
    frames(2);
    engine_.drain();
    frames(2);
  }
  void run(const std::string& command) {
    app_.execute(command);
    settle();
  }
  [[nodiscard]] const Control* control(const std::string& id) const { return app_.controls().find(id); }
  void move_to(const std::string& id) {
    const Control* c = control(id);
    ASSERT_NE(c, nullptr) << id;
    app_.input().push(MouseMove{c->rect.centre().x, c->rect.centre().y});
    frames(2);
  }
  void click(const std::string& id) {
    move_to(id);
    app_.input().push(MouseButton{0, true});
    frames(2);
    app_.input().push(MouseButton{0, false});
    settle();
  }
  void key(int code) {
    app_.input().push(KeyPress{code, true});
    frames(1);
    app_.input().push(KeyPress{code, false});
    settle();
  }
  void type(const std::string& text) {
    for (const char c : text) app_.input().push(Character{static_cast<unsigned char>(c)});
    frames(2);
  }

 private:
  GuiContext gui_;
  Strings strings_;
  LiveEngine engine_{{}};
  App app_{engine_, strings_, {}};
  ImVec2 size_;
  double now_ = 0;
};

}  // namespace headlight::app
