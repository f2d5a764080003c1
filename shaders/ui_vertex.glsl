#version 330 core
// Corners of everything that the window draws: pixels to clip space, texture coordinates and colours passed on.
// For heat maps the texture coordinate is (column, row) in cells.
layout(location = 0) in vec2 position;
layout(location = 1) in vec2 coordinate;
layout(location = 2) in vec4 tint;
uniform vec2 viewport;
out vec2 uv;
out vec4 color;

void main() {
  uv = coordinate;
  color = tint;
  gl_Position = vec4(2.0 * position.x / viewport.x - 1.0, 1.0 - 2.0 * position.y / viewport.y, 0.0, 1.0);
}
