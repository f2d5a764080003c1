// The emulated device: its memory reaches a texture by way of the host.
#include "tests/app/support/shared_textures.h"

#include <epoxy/gl.h>

#include <vector>

#include "tests/support/simt/cuda_gl_interop.h"

namespace headlight::app::test {

namespace {

bool write_texture(unsigned texture, size_t rows, size_t cols, const std::vector<float>& values) {
  GLint before = 0;
  glGetIntegerv(GL_TEXTURE_BINDING_2D, &before);
  glBindTexture(GL_TEXTURE_2D, texture);
  glTexSubImage2D(GL_TEXTURE_2D, 0, 0, 0, static_cast<GLsizei>(cols), static_cast<GLsizei>(rows), GL_RED,
                  GL_FLOAT, values.data());
  glBindTexture(GL_TEXTURE_2D, static_cast<GLuint>(before));
  return glGetError() == GL_NO_ERROR;
}

}  // namespace

bool let_textures_be_shared() {
  simt::set_texture_sink(write_texture);
  return true;
}

}  // namespace headlight::app::test
