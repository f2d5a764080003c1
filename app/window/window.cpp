// GLFW's callbacks push into App's input queue; the loop waits for events while nothing moves.
#include "app/window/window.h"

#include <GLFW/glfw3.h>
#include <epoxy/gl.h>
#include <imgui.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "app/frame/app.h"
#include "app/render/ui_renderer.h"
#include "core/base/error.h"

namespace headlight::app {

struct Window::State {
  GLFWwindow* handle = nullptr;
  App* app = nullptr;
  std::array<GLFWcursor*, ImGuiMouseCursor_COUNT> cursors{};
  bool fullscreen = false;
  int x = 0, y = 0, width = 0, height = 0;  ///< where it stood before full screen

  void push(InputEvent event) const {
    if (app != nullptr) app->input().push(event);
  }
  void set_fullscreen(bool on);
  void make_cursors();
  void show_cursor() const;
  void listen();
};

namespace {

Window::State* state_of(GLFWwindow* window);

}  // namespace

void Window::State::set_fullscreen(bool on) {
  if (on == fullscreen) return;
  fullscreen = on;
  if (on) {
    glfwGetWindowPos(handle, &x, &y);
    glfwGetWindowSize(handle, &width, &height);
    GLFWmonitor* monitor = glfwGetPrimaryMonitor();
    const GLFWvidmode* mode = monitor != nullptr ? glfwGetVideoMode(monitor) : nullptr;
    if (mode != nullptr)
      glfwSetWindowMonitor(handle, monitor, 0, 0, mode->width, mode->height, mode->refreshRate);
  } else {
    glfwSetWindowMonitor(handle, nullptr, x, y, width, height, 0);
  }
}

void Window::State::make_cursors() {
  cursors[ImGuiMouseCursor_Arrow] = glfwCreateStandardCursor(GLFW_ARROW_CURSOR);
  cursors[ImGuiMouseCursor_TextInput] = glfwCreateStandardCursor(GLFW_IBEAM_CURSOR);
  cursors[ImGuiMouseCursor_ResizeNS] = glfwCreateStandardCursor(GLFW_VRESIZE_CURSOR);
  cursors[ImGuiMouseCursor_ResizeEW] = glfwCreateStandardCursor(GLFW_HRESIZE_CURSOR);
  cursors[ImGuiMouseCursor_Hand] = glfwCreateStandardCursor(GLFW_HAND_CURSOR);
}

void Window::State::show_cursor() const {
  const int wanted = ImGui::GetMouseCursor();
  GLFWcursor* cursor = wanted >= 0 ? cursors[static_cast<size_t>(wanted)] : nullptr;
  glfwSetCursor(handle, cursor != nullptr ? cursor : cursors[ImGuiMouseCursor_Arrow]);
}

void Window::State::listen() {
  glfwSetWindowUserPointer(handle, this);
  glfwSetCursorPosCallback(handle, [](GLFWwindow* w, double px, double py) {
    // Positions come in screen coordinates; frames are built in pixels.
    int ww = 1, wh = 1, fw = 1, fh = 1;
    glfwGetWindowSize(w, &ww, &wh);
    glfwGetFramebufferSize(w, &fw, &fh);
    state_of(w)->push(MouseMove{static_cast<float>(px * fw / std::max(ww, 1)),
                                static_cast<float>(py * fh / std::max(wh, 1))});
  });
  glfwSetCursorEnterCallback(handle, [](GLFWwindow* w, int entered) {
    if (entered == GLFW_FALSE) state_of(w)->push(MouseMove{-1e9f, -1e9f});
  });
  glfwSetMouseButtonCallback(handle, [](GLFWwindow* w, int button, int action, int) {
    state_of(w)->push(MouseButton{button, action == GLFW_PRESS});
  });
  glfwSetScrollCallback(handle, [](GLFWwindow* w, double px, double py) {
    state_of(w)->push(MouseWheel{static_cast<float>(px), static_cast<float>(py)});
  });
  glfwSetKeyCallback(handle, [](GLFWwindow* w, int key, int, int action, int mods) {
    if (action == GLFW_PRESS || action == GLFW_RELEASE)
      state_of(w)->push(KeyPress{key, action == GLFW_PRESS, mods});
  });
  glfwSetCharCallback(handle, [](GLFWwindow* w, unsigned int code) { state_of(w)->push(Character{code}); });
  glfwSetWindowFocusCallback(
      handle, [](GLFWwindow* w, int focused) { state_of(w)->push(FocusChange{focused == GLFW_TRUE}); });
  glfwSetDropCallback(handle, [](GLFWwindow* w, int count, const char** paths) {
    App* target = state_of(w)->app;
    for (int i = 0; target != nullptr && i < count; ++i) target->open_path(paths[i]);
  });
}

namespace {

Window::State* state_of(GLFWwindow* window) {
  return static_cast<Window::State*>(glfwGetWindowUserPointer(window));
}

}  // namespace

Window::Window(const std::string& title) : state_(std::make_unique<State>()) {
  if (glfwInit() == GLFW_FALSE)
    fail(
        "There is no display to open a window on; `headlight render --view pass --out pass.png` draws "
        "without one.");
  glfwWindowHint(GLFW_CONTEXT_VERSION_MAJOR, 3);
  glfwWindowHint(GLFW_CONTEXT_VERSION_MINOR, 3);
  glfwWindowHint(GLFW_OPENGL_PROFILE, GLFW_OPENGL_CORE_PROFILE);
  glfwWindowHint(GLFW_OPENGL_FORWARD_COMPAT, GLFW_TRUE);
  int width = 1600, height = 900;
  if (GLFWmonitor* monitor = glfwGetPrimaryMonitor()) {
    int x = 0, y = 0, w = 0, h = 0;
    glfwGetMonitorWorkarea(monitor, &x, &y, &w, &h);
    if (w > 0 && h > 0) {
      width = std::min(1920, w * 19 / 20);
      height = std::min(1080, h * 19 / 20);
    }
  }
  state_->handle = glfwCreateWindow(width, height, title.c_str(), nullptr, nullptr);
  if (state_->handle == nullptr) {
    const char* why = nullptr;
    glfwGetError(&why);
    const std::string reason = why != nullptr ? why : "unknown reason";
    glfwTerminate();
    fail(
        "No window with OpenGL 3.3 can be opened ({}); `headlight render --view pass --out pass.png` draws "
        "without "
        "one.",
        reason);
  }
  glfwSetWindowSizeLimits(state_->handle, 480, 320, GLFW_DONT_CARE, GLFW_DONT_CARE);
  glfwMakeContextCurrent(state_->handle);
  glfwSwapInterval(1);
  state_->make_cursors();
  state_->listen();
}

Window::~Window() {
  glfwDestroyWindow(state_->handle);
  glfwTerminate();
}

void Window::wake() { glfwPostEmptyEvent(); }

void Window::run(App& app) {
  state_->app = &app;
  UiRenderer renderer;
  app.set_shares_device([&renderer] { return renderer.shares_device(); });
  ImGuiIO& io = ImGui::GetIO();
  io.ClipboardUserData = state_->handle;
  io.SetClipboardTextFn = [](void* w, const char* text) {
    glfwSetClipboardString(static_cast<GLFWwindow*>(w), text);
  };
  io.GetClipboardTextFn = [](void* w) { return glfwGetClipboardString(static_cast<GLFWwindow*>(w)); };

  while (glfwWindowShouldClose(state_->handle) == GLFW_FALSE && !app.session().quit) {
    const double wait = app.next_frame_in();
    if (wait > 0)
      glfwWaitEventsTimeout(wait);
    else
      glfwPollEvents();
#ifndef NDEBUG
    try {
      renderer.reload_shaders();
    } catch (const std::exception& error) {
      app.tell(Notice::Level::error, error.what());
    }
#endif
    int width = 0, height = 0;
    glfwGetFramebufferSize(state_->handle, &width, &height);
    if (width <= 0 || height <= 0) continue;
    float density_x = 1, density_y = 1;
    glfwGetWindowContentScale(state_->handle, &density_x, &density_y);
    app.frame(glfwGetTime(), {static_cast<float>(width), static_cast<float>(height)},
              std::max(density_x, 1.f));
    if (app.take_fonts_changed()) renderer.upload_fonts();
    renderer.render(*ImGui::GetDrawData(), app.background());
    glfwSwapBuffers(state_->handle);
    state_->show_cursor();
    state_->set_fullscreen(app.session().fullscreen);
  }
  state_->app = nullptr;
  app.set_shares_device({});
  app.save();
}

}  // namespace headlight::app
