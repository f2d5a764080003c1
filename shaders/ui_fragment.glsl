#version 330 core
// Shapes and text. The atlas holds coverage in its red channel and is read as white with that opacity.
in vec2 uv;
in vec4 color;
uniform sampler2D atlas;
out vec4 result;

void main() { result = color * texture(atlas, uv); }
