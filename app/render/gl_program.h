// A GLSL program loaded from shaders/*.glsl. Used by the renderer; reloads itself when a file changes in a
// debug build.
#pragma once

#include <epoxy/gl.h>

#include <filesystem>
#include <string>

namespace headlight::app {

/// Owns the program. Needs a current context.
class GlProgram {
 public:
  /// Names are files under shaders/. Throws Error naming file and line when one does not compile.
  GlProgram(const std::string& vertex, const std::string& fragment);
  ~GlProgram();
  GlProgram(const GlProgram&) = delete;
  GlProgram& operator=(const GlProgram&) = delete;

  void use() const { glUseProgram(program_); }
  [[nodiscard]] GLint uniform(const char* name) const { return glGetUniformLocation(program_, name); }
  /// Compiles again if a file is newer than what runs. A new version that does not compile throws Error once
  /// and the old one stays. True when it was replaced: uniforms are looked up again.
  bool reload_if_changed();

 private:
  [[nodiscard]] static GLuint link(const std::filesystem::path& vertex,
                                   const std::filesystem::path& fragment);
  [[nodiscard]] std::filesystem::file_time_type newest() const;

  std::filesystem::path vertex_, fragment_;
  std::filesystem::file_time_type loaded_;
  GLuint program_ = 0;
};

}  // namespace headlight::app
