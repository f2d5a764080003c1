// The window's inside without a window: App on a recorded engine, fed through its input queue. Used by every
// test of the user interface.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "app/frame/app.h"
#include "app/frame/gui_context.h"

namespace headlight::app::test {

/// An engine that answers with one snapshot and writes down what was posted.
class RecordedEngine final : public EngineLink {
 public:
  explicit RecordedEngine(std::shared_ptr<const Snapshot> snapshot) : snapshot_(std::move(snapshot)) {}
  void post(Request request) override { posted.push_back(std::move(request)); }
  [[nodiscard]] std::shared_ptr<const Snapshot> snapshot() const override { return snapshot_; }
  void show(std::shared_ptr<const Snapshot> snapshot) { snapshot_ = std::move(snapshot); }

  /// Requests of one kind, in order.
  template <class T>
  [[nodiscard]] std::vector<T> posted_of() const {
    std::vector<T> found;
    for (const Request& request : posted)
      if (const T* wanted = std::get_if<T>(&request)) found.push_back(*wanted);
    return found;
  }
  std::vector<Request> posted;

 private:
  std::shared_ptr<const Snapshot> snapshot_;
};

/// What the real engine published for the smallest preset after a few steps of training; made once.
[[nodiscard]] std::shared_ptr<const Snapshot> recorded_snapshot();

class Harness {
 public:
  explicit Harness(ImVec2 size = {1920, 1080}, App::Options options = {});

  void frames(int count = 1);
  /// Feeds what waits in the queue, as many frames as it takes.
  void settle();
  /// Moves the pointer onto the control of that id and clicks; fails the test when there is none in sight.
  void click(const std::string& id);
  void hover(const std::string& id);
  /// Presses and releases a key of GLFW with modifiers.
  void key(int code, bool ctrl = false, bool shift = false);
  void type(const std::string& ascii);

  [[nodiscard]] SessionState& state() { return app.session().state; }

  GuiContext gui;
  Strings strings;
  RecordedEngine engine{recorded_snapshot()};
  App app;
  ImVec2 size;
  double now = 1;
};

}  // namespace headlight::app::test
