// Compiles and links; turns a driver's log into one sentence.
#include "app/render/gl_program.h"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <regex>
#include <vector>

#include "core/base/error.h"
#include "core/io/paths.h"

namespace headlight::app {
namespace {

std::string read_text(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) fail("The shader {} cannot be read.", file.string());
  return {std::istreambuf_iterator<char>(in), {}};
}

GLuint compile(GLenum kind, const std::filesystem::path& file) {
  const std::string text = read_text(file);
  const char* source = text.c_str();
  const GLuint shader = glCreateShader(kind);
  glShaderSource(shader, 1, &source, nullptr);
  glCompileShader(shader);
  GLint ok = 0, length = 0;
  glGetShaderiv(shader, GL_COMPILE_STATUS, &ok);
  if (ok != 0) return shader;
  glGetShaderiv(shader, GL_INFO_LOG_LENGTH, &length);
  std::vector<char> log(static_cast<size_t>(std::max(length, 1)));
  glGetShaderInfoLog(shader, length, nullptr, log.data());
  glDeleteShader(shader);
  const std::string message(log.data());
  // Mesa writes "0:12(3): error: …", NVIDIA "0(12) : error …".
  std::smatch match;
  const std::regex line(R"(0[:(](\d+)[^\n]*?error[^:]*:?\s*([^\n]*))");
  if (std::regex_search(message, match, line))
    fail("The shader {} does not compile: line {}: {}", file.string(), match[1].str(), match[2].str());
  fail("The shader {} does not compile: {}", file.string(), message.substr(0, message.find('\n')));
}

}  // namespace

GlProgram::GlProgram(const std::string& vertex, const std::string& fragment)
    : vertex_(find_asset("shaders/" + vertex)), fragment_(find_asset("shaders/" + fragment)) {
  loaded_ = newest();
  program_ = link(vertex_, fragment_);
}

GlProgram::~GlProgram() { glDeleteProgram(program_); }

GLuint GlProgram::link(const std::filesystem::path& vertex, const std::filesystem::path& fragment) {
  const GLuint v = compile(GL_VERTEX_SHADER, vertex);
  GLuint f = 0;
  try {
    f = compile(GL_FRAGMENT_SHADER, fragment);
  } catch (...) {
    glDeleteShader(v);
    throw;
  }
  const GLuint program = glCreateProgram();
  glAttachShader(program, v);
  glAttachShader(program, f);
  glLinkProgram(program);
  glDeleteShader(v);
  glDeleteShader(f);
  GLint ok = 0;
  glGetProgramiv(program, GL_LINK_STATUS, &ok);
  if (ok == 0) {
    char log[512] = {};
    glGetProgramInfoLog(program, sizeof log - 1, nullptr, log);
    glDeleteProgram(program);
    fail("The shaders {} and {} do not link: {}", vertex.string(), fragment.string(), log);
  }
  return program;
}

std::filesystem::file_time_type GlProgram::newest() const {
  std::error_code error;
  const auto v = std::filesystem::last_write_time(vertex_, error);
  const auto f = std::filesystem::last_write_time(fragment_, error);
  return std::max(v, f);
}

bool GlProgram::reload_if_changed() {
  const auto now = newest();
  if (now <= loaded_) return false;
  loaded_ = now;
  const GLuint fresh = link(vertex_, fragment_);
  glDeleteProgram(program_);
  program_ = fresh;
  return true;
}

}  // namespace headlight::app
