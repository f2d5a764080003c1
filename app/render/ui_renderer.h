// Draws ImGui's lists with OpenGL 3.3: shapes, text and heat maps. The window and the offscreen picture share
// it.
#pragma once

#include <imgui.h>

#include <array>

#include "app/render/gl_program.h"
#include "app/render/texture_cache.h"

namespace headlight::app {

/// The texture id that stands for the font atlas; any other id points to a HeatMap.
[[nodiscard]] ImTextureID atlas_texture_id();

/// Needs a current context for its whole life.
class UiRenderer {
 public:
  UiRenderer();
  ~UiRenderer();
  UiRenderer(const UiRenderer&) = delete;
  UiRenderer& operator=(const UiRenderer&) = delete;

  /// After Fonts::build() built a new atlas. The atlas' pixels are then freed here and live on the device
  /// only.
  void upload_fonts();
  /// Clears the bound framebuffer and draws.
  void render(const ImDrawData& data, Color background);
  /// Debug builds: takes up changed shader files. Throws Error when one does not compile.
  void reload_shaders();
  /// Whether heat maps can be filled from the memory of the device that computed them.
  [[nodiscard]] bool shares_device() { return textures_.shares_device(); }
  [[nodiscard]] const TextureCache& textures() const { return textures_; }

 private:
  struct HeatUniforms {
    GLint viewport, origin, extent, map_row, range, gap, stripes, hatch_future, masked, hatch;
  };
  void find_uniforms();
  void draw_heat_map(const HeatMap& map, const ImDrawCmd& command);
  void draw_elements(const ImDrawCmd& command) const;

  GlProgram ui_, heat_;
  GLint ui_viewport_ = 0;
  HeatUniforms heat_uniforms_{};
  GLuint vertex_array_ = 0, vertices_ = 0, indices_ = 0, atlas_ = 0, color_maps_ = 0;
  TextureCache textures_;
  float viewport_[2] = {0, 0};
};

}  // namespace headlight::app
