// The desktop window: GLFW, OpenGL 3.3 core, input callbacks, the frame loop with idle pacing.
#pragma once

#include <functional>
#include <memory>
#include <string>

namespace headlight::app {

class App;

class Window {
 public:
  /// Opens it. Throws Error where there is no display or no OpenGL 3.3.
  explicit Window(const std::string& title);
  ~Window();
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;

  /// Draws frames until the user closes the window.
  void run(App& app);
  /// Ends the wait for input from any thread: something new is there to draw.
  static void wake();

  struct State;

 private:
  std::unique_ptr<State> state_;
};

}  // namespace headlight::app
