// An OpenGL context without a window: EGL surfaceless on Mesa, a device on NVIDIA. Used by `headlight
// render`, `headlight bench frame` and the picture tests.
#pragma once

#include <epoxy/egl.h>
#include <epoxy/gl.h>

#include <string>

#include "app/render/png.h"

namespace headlight::app {

/// Context, current from construction on, and a framebuffer to draw into.
class Offscreen {
 public:
  /// Throws Error when EGL gives no OpenGL 3.3 core context.
  Offscreen(int width, int height);
  ~Offscreen();
  Offscreen(const Offscreen&) = delete;
  Offscreen& operator=(const Offscreen&) = delete;

  [[nodiscard]] int width() const { return width_; }
  [[nodiscard]] int height() const { return height_; }
  /// What has been drawn.
  [[nodiscard]] Picture read() const;
  /// "Mesa llvmpipe (LLVM 15)", "NVIDIA …": for `headlight info`.
  [[nodiscard]] std::string renderer() const;

 private:
  EGLDisplay display_ = EGL_NO_DISPLAY;
  EGLContext context_ = EGL_NO_CONTEXT;
  GLuint framebuffer_ = 0, color_ = 0;
  int width_, height_;
};

}  // namespace headlight::app
