// Tries EGL's platforms in turn until one gives an OpenGL 3.3 context.
#include "app/window/offscreen.h"

#include <array>
#include <cstring>
#include <vector>

#include "core/base/error.h"

namespace headlight::app {
namespace {

/// A context on this display, or none; the display is released again then.
EGLContext try_display(EGLDisplay display) {
  if (display == EGL_NO_DISPLAY || eglInitialize(display, nullptr, nullptr) == EGL_FALSE)
    return EGL_NO_CONTEXT;
  const EGLint config_wants[] = {EGL_SURFACE_TYPE, 0, EGL_RENDERABLE_TYPE, EGL_OPENGL_BIT, EGL_NONE};
  const EGLint context_wants[] = {EGL_CONTEXT_MAJOR_VERSION,
                                  3,
                                  EGL_CONTEXT_MINOR_VERSION,
                                  3,
                                  EGL_CONTEXT_OPENGL_PROFILE_MASK,
                                  EGL_CONTEXT_OPENGL_CORE_PROFILE_BIT,
                                  EGL_NONE};
  EGLConfig config = nullptr;
  EGLint count = 0;
  if (eglBindAPI(EGL_OPENGL_API) == EGL_TRUE &&
      eglChooseConfig(display, config_wants, &config, 1, &count) == EGL_TRUE && count > 0) {
    const EGLContext context = eglCreateContext(display, config, EGL_NO_CONTEXT, context_wants);
    if (context != EGL_NO_CONTEXT) {
      if (eglMakeCurrent(display, EGL_NO_SURFACE, EGL_NO_SURFACE, context) == EGL_TRUE) return context;
      eglDestroyContext(display, context);
    }
  }
  eglTerminate(display);
  return EGL_NO_CONTEXT;
}

std::vector<EGLDisplay> displays() {
  std::vector<EGLDisplay> found;
  if (epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_MESA_platform_surfaceless"))
    found.push_back(eglGetPlatformDisplayEXT(EGL_PLATFORM_SURFACELESS_MESA, EGL_DEFAULT_DISPLAY, nullptr));
  if (epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_platform_device") &&
      epoxy_has_egl_extension(EGL_NO_DISPLAY, "EGL_EXT_device_enumeration")) {
    std::array<EGLDeviceEXT, 16> devices{};
    EGLint count = 0;
    if (eglQueryDevicesEXT(static_cast<EGLint>(devices.size()), devices.data(), &count) == EGL_TRUE)
      for (EGLint i = 0; i < count; ++i)
        found.push_back(
            eglGetPlatformDisplayEXT(EGL_PLATFORM_DEVICE_EXT, devices[static_cast<size_t>(i)], nullptr));
  }
  return found;
}

}  // namespace

Offscreen::Offscreen(int width, int height) : width_(width), height_(height) {
  if (width < 1 || height < 1 || width > 16384 || height > 16384)
    fail("A picture of {}×{} pixels cannot be drawn; give a size from 1×1 to 16384×16384.", width, height);
  for (const EGLDisplay display : displays()) {
    context_ = try_display(display);
    if (context_ != EGL_NO_CONTEXT) {
      display_ = display;
      break;
    }
  }
  if (context_ == EGL_NO_CONTEXT)
    fail("EGL gives no OpenGL 3.3 context without a display; install libegl1 and libgl1-mesa-dri.");
  glGenTextures(1, &color_);
  glBindTexture(GL_TEXTURE_2D, color_);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, width, height, 0, GL_RGBA, GL_UNSIGNED_BYTE, nullptr);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  glGenFramebuffers(1, &framebuffer_);
  glBindFramebuffer(GL_FRAMEBUFFER, framebuffer_);
  glFramebufferTexture2D(GL_FRAMEBUFFER, GL_COLOR_ATTACHMENT0, GL_TEXTURE_2D, color_, 0);
  if (glCheckFramebufferStatus(GL_FRAMEBUFFER) != GL_FRAMEBUFFER_COMPLETE)
    fail("OpenGL gives no framebuffer of {}×{} pixels.", width, height);
}

Offscreen::~Offscreen() {
  glDeleteFramebuffers(1, &framebuffer_);
  glDeleteTextures(1, &color_);
  eglMakeCurrent(display_, EGL_NO_SURFACE, EGL_NO_SURFACE, EGL_NO_CONTEXT);
  eglDestroyContext(display_, context_);
  eglTerminate(display_);
}

Picture Offscreen::read() const {
  Picture picture{width_, height_, {}};
  const size_t row = 4 * static_cast<size_t>(width_);
  std::vector<uint8_t> flipped(row * static_cast<size_t>(height_));
  picture.rgba.resize(flipped.size());
  glPixelStorei(GL_PACK_ALIGNMENT, 1);
  glReadPixels(0, 0, width_, height_, GL_RGBA, GL_UNSIGNED_BYTE, flipped.data());
  for (size_t y = 0; y < static_cast<size_t>(height_); ++y)
    std::memcpy(picture.rgba.data() + y * row, flipped.data() + (static_cast<size_t>(height_) - 1 - y) * row,
                row);
  return picture;
}

std::string Offscreen::renderer() const { return reinterpret_cast<const char*>(glGetString(GL_RENDERER)); }

}  // namespace headlight::app
