// One pass over the draw commands; switches program between shapes and heat maps.
#include "app/render/ui_renderer.h"

#include <cstddef>
#include <vector>

namespace headlight::app {
namespace {

constexpr int map_rows = 5;  // viridis, cividis, and the diverging map in each theme
const char atlas_marker = 0;

float map_row(const HeatStyle& style) {
  const int row =
      style.map == ColorMap::diverging ? 2 + static_cast<int>(style.theme) : static_cast<int>(style.map);
  return (static_cast<float>(row) + 0.5f) / map_rows;
}

}  // namespace

ImTextureID atlas_texture_id() { return const_cast<char*>(&atlas_marker); }

UiRenderer::UiRenderer()
    : ui_("ui_vertex.glsl", "ui_fragment.glsl"), heat_("ui_vertex.glsl", "heat_fragment.glsl") {
  glGenVertexArrays(1, &vertex_array_);
  glGenBuffers(1, &vertices_);
  glGenBuffers(1, &indices_);
  glGenTextures(1, &color_maps_);
  std::vector<Color> table;
  for (int row = 0; row < map_rows; ++row) {
    const ColorMap map = row < 2 ? static_cast<ColorMap>(row) : ColorMap::diverging;
    const ThemeKind kind = row < 2 ? ThemeKind::dark : static_cast<ThemeKind>(row - 2);
    for (int i = 0; i < 256; ++i) table.push_back(map_color(map, static_cast<float>(i) / 255.f, kind));
  }
  glBindTexture(GL_TEXTURE_2D, color_maps_);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_RGBA8, 256, map_rows, 0, GL_RGBA, GL_UNSIGNED_BYTE, table.data());
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
  find_uniforms();
}

UiRenderer::~UiRenderer() {
  glDeleteVertexArrays(1, &vertex_array_);
  glDeleteBuffers(1, &vertices_);
  glDeleteBuffers(1, &indices_);
  glDeleteTextures(1, &atlas_);
  glDeleteTextures(1, &color_maps_);
}

void UiRenderer::find_uniforms() {
  ui_viewport_ = ui_.uniform("viewport");
  ui_.use();
  glUniform1i(ui_.uniform("atlas"), 0);
  heat_uniforms_ = {heat_.uniform("viewport"), heat_.uniform("origin"),       heat_.uniform("extent"),
                    heat_.uniform("map_row"),  heat_.uniform("range"),        heat_.uniform("gap"),
                    heat_.uniform("stripes"),  heat_.uniform("hatch_future"), heat_.uniform("masked"),
                    heat_.uniform("hatch")};
  heat_.use();
  glUniform1i(heat_.uniform("plane"), 0);
  glUniform1i(heat_.uniform("color_maps"), 1);
}

void UiRenderer::reload_shaders() {
  const bool ui = ui_.reload_if_changed(), heat = heat_.reload_if_changed();
  if (ui || heat) find_uniforms();
}

void UiRenderer::upload_fonts() {
  ImFontAtlas* fonts = ImGui::GetIO().Fonts;
  unsigned char* pixels = nullptr;
  int width = 0, height = 0;
  fonts->GetTexDataAsAlpha8(&pixels, &width, &height);
  if (atlas_ == 0) glGenTextures(1, &atlas_);
  glBindTexture(GL_TEXTURE_2D, atlas_);
  glPixelStorei(GL_UNPACK_ALIGNMENT, 1);
  glTexImage2D(GL_TEXTURE_2D, 0, GL_R8, width, height, 0, GL_RED, GL_UNSIGNED_BYTE, pixels);
  const GLint swizzle[] = {GL_ONE, GL_ONE, GL_ONE, GL_RED};
  glTexParameteriv(GL_TEXTURE_2D, GL_TEXTURE_SWIZZLE_RGBA, swizzle);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_LINEAR);
  glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_LINEAR);
  fonts->SetTexID(atlas_texture_id());
  fonts->ClearTexData();
}

void UiRenderer::draw_elements(const ImDrawCmd& command) const {
  glDrawElementsBaseVertex(
      GL_TRIANGLES, static_cast<GLsizei>(command.ElemCount),
      sizeof(ImDrawIdx) == 2 ? GL_UNSIGNED_SHORT : GL_UNSIGNED_INT,
      reinterpret_cast<const void*>(static_cast<uintptr_t>(command.IdxOffset * sizeof(ImDrawIdx))),
      static_cast<GLint>(command.VtxOffset));
}

void UiRenderer::draw_heat_map(const HeatMap& map, const ImDrawCmd& command) {
  heat_.use();
  const HeatStyle& s = map.style;
  const Theme& t = theme(s.theme);
  glUniform2f(heat_uniforms_.viewport, viewport_[0], viewport_[1]);
  glUniform1f(heat_uniforms_.map_row, map_row(s));
  glUniform2f(heat_uniforms_.range, s.low, s.high);
  glUniform1f(heat_uniforms_.gap, s.gap);
  glUniform1f(heat_uniforms_.stripes, s.stripe);
  glUniform1i(heat_uniforms_.hatch_future, s.hatch_future ? 1 : 0);
  glUniform3f(heat_uniforms_.masked, red(t.masked), green(t.masked), blue(t.masked));
  glUniform3f(heat_uniforms_.hatch, red(t.hatch), green(t.hatch), blue(t.hatch));
  glActiveTexture(GL_TEXTURE1);
  glBindTexture(GL_TEXTURE_2D, color_maps_);
  glActiveTexture(GL_TEXTURE0);
  for (const TextureCache::Tile& tile : textures_.tiles(map)) {
    glBindTexture(GL_TEXTURE_2D, tile.texture);
    glUniform2f(heat_uniforms_.origin, static_cast<float>(tile.col), static_cast<float>(tile.row));
    glUniform2f(heat_uniforms_.extent, static_cast<float>(tile.cols), static_cast<float>(tile.rows));
    draw_elements(command);
  }
}

void UiRenderer::render(const ImDrawData& data, Color background) {
  const int width = static_cast<int>(data.DisplaySize.x * data.FramebufferScale.x);
  const int height = static_cast<int>(data.DisplaySize.y * data.FramebufferScale.y);
  if (width <= 0 || height <= 0) return;
  viewport_[0] = data.DisplaySize.x;
  viewport_[1] = data.DisplaySize.y;
  glViewport(0, 0, width, height);
  glDisable(GL_SCISSOR_TEST);
  glClearColor(red(background), green(background), blue(background), 1);
  glClear(GL_COLOR_BUFFER_BIT);
  glEnable(GL_BLEND);
  glBlendEquation(GL_FUNC_ADD);
  glBlendFuncSeparate(GL_SRC_ALPHA, GL_ONE_MINUS_SRC_ALPHA, GL_ONE, GL_ONE_MINUS_SRC_ALPHA);
  glDisable(GL_CULL_FACE);
  glDisable(GL_DEPTH_TEST);
  glEnable(GL_SCISSOR_TEST);
  glBindVertexArray(vertex_array_);
  glBindBuffer(GL_ARRAY_BUFFER, vertices_);
  glBindBuffer(GL_ELEMENT_ARRAY_BUFFER, indices_);
  glEnableVertexAttribArray(0);
  glEnableVertexAttribArray(1);
  glEnableVertexAttribArray(2);
  const auto offset = [](size_t bytes) { return reinterpret_cast<const void*>(bytes); };
  glVertexAttribPointer(0, 2, GL_FLOAT, GL_FALSE, sizeof(ImDrawVert), offset(offsetof(ImDrawVert, pos)));
  glVertexAttribPointer(1, 2, GL_FLOAT, GL_FALSE, sizeof(ImDrawVert), offset(offsetof(ImDrawVert, uv)));
  glVertexAttribPointer(2, 4, GL_UNSIGNED_BYTE, GL_TRUE, sizeof(ImDrawVert),
                        offset(offsetof(ImDrawVert, col)));
  glActiveTexture(GL_TEXTURE0);

  for (int n = 0; n < data.CmdListsCount; ++n) {
    const ImDrawList& list = *data.CmdLists[n];
    glBufferData(GL_ARRAY_BUFFER, list.VtxBuffer.size_in_bytes(), list.VtxBuffer.Data, GL_STREAM_DRAW);
    glBufferData(GL_ELEMENT_ARRAY_BUFFER, list.IdxBuffer.size_in_bytes(), list.IdxBuffer.Data,
                 GL_STREAM_DRAW);
    bool shapes = false;
    for (const ImDrawCmd& command : list.CmdBuffer) {
      if (command.UserCallback != nullptr || command.ElemCount == 0) continue;
      const ImVec2 scale = data.FramebufferScale;
      const int x0 = static_cast<int>((command.ClipRect.x - data.DisplayPos.x) * scale.x);
      const int y0 = static_cast<int>((command.ClipRect.y - data.DisplayPos.y) * scale.y);
      const int x1 = static_cast<int>((command.ClipRect.z - data.DisplayPos.x) * scale.x);
      const int y1 = static_cast<int>((command.ClipRect.w - data.DisplayPos.y) * scale.y);
      if (x1 <= x0 || y1 <= y0) continue;
      glScissor(x0, height - y1, x1 - x0, y1 - y0);
      if (command.TextureId == atlas_texture_id()) {
        if (!shapes) {
          ui_.use();
          glUniform2f(ui_viewport_, viewport_[0], viewport_[1]);
          glBindTexture(GL_TEXTURE_2D, atlas_);
          shapes = true;
        }
        draw_elements(command);
      } else {
        draw_heat_map(*static_cast<const HeatMap*>(command.TextureId), command);
        shapes = false;
      }
    }
  }
  glDisable(GL_SCISSOR_TEST);
  textures_.end_frame();
}

}  // namespace headlight::app
