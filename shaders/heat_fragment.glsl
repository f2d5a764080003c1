#version 330 core
// A matrix of floats as colours: value range, colour map, stripes on masked cells, magenta for NaN, gaps between
// large cells. uv is (column, row) in cells, so panning and zooming cost nothing.
in vec2 uv;
in vec4 color;
uniform sampler2D plane;      // R32F, one texel a cell
uniform vec2 origin;          // column and row of the texture's first texel
uniform vec2 extent;          // columns and rows of the texture
uniform sampler2D color_maps;  // one map a row
uniform float map_row;        // texture coordinate of the row in use
uniform vec2 range;           // values at the map's ends
uniform float gap;            // pixels between cells
uniform float stripes;        // width of a stripe, pixels
uniform int hatch_future;     // 1: a zero right of the diagonal counts as masked
uniform vec3 masked;
uniform vec3 hatch;
out vec4 result;

bool is_nan(float v) { return (floatBitsToUint(v) & 0x7fffffffu) > 0x7f800000u; }
bool is_minus_infinity(float v) { return floatBitsToUint(v) == 0xff800000u; }

vec3 mapped(float v) {
  float t = clamp((v - range.x) / max(range.y - range.x, 1e-30), 0.0, 1.0);
  return texture(color_maps, vec2((t * 255.0 + 0.5) / 256.0, map_row)).rgb;
}

void main() {
  vec2 cells = max(abs(dFdx(uv)) + abs(dFdy(uv)), vec2(1e-6));  // per pixel
  vec2 pixels = 1.0 / cells;                                    // per cell
  if (any(lessThan(uv, origin)) || any(greaterThanEqual(uv, origin + extent))) discard;

  // Where several cells share a pixel, the mean of up to 4 × 4 of them stands for all.
  vec2 n = clamp(ceil(cells), vec2(1.0), vec2(4.0));
  float sum = 0.0, count = 0.0, hidden = 0.0, bad = 0.0;
  for (float y = 0.0; y < n.y; y += 1.0) {
    for (float x = 0.0; x < n.x; x += 1.0) {
      vec2 p = n.x * n.y > 1.0 ? uv + ((vec2(x, y) + 0.5) / n - 0.5) * cells : uv;
      ivec2 cell = ivec2(clamp(floor(p), origin, origin + extent - 1.0));
      float v = texelFetch(plane, cell - ivec2(origin), 0).r;
      if (is_nan(v)) {
        bad += 1.0;
      } else if (is_minus_infinity(v) || (hatch_future == 1 && cell.x > cell.y && v == 0.0)) {
        hidden += 1.0;
      } else {
        sum += v;
        count += 1.0;
      }
    }
  }
  vec2 inside = fract(uv) * pixels;  // pixels from the cell's corner
  vec3 c;
  if (bad > 0.0) {
    c = vec3(1.0, 0.0, 1.0);
  } else if (count >= hidden) {
    c = mapped(sum / max(count, 1.0));
  } else {
    c = masked;
    if (min(pixels.x, pixels.y) >= 5.0) {
      vec2 f = fract(uv);
      float distance = abs(f.x + f.y - 1.0) * min(pixels.x, pixels.y) * 0.7071;
      c = mix(masked, hatch, clamp(0.5 + stripes * 0.5 - distance, 0.0, 1.0));
    }
  }
  float opacity = 1.0;
  if (gap > 0.0 && min(pixels.x, pixels.y) >= 6.0) {
    vec2 edge = clamp(pixels - gap - inside + 0.5, 0.0, 1.0);
    opacity = edge.x * edge.y;
  }
  result = vec4(c, opacity) * color;
}
