// PNG through libpng's simplified interface.
#include "app/render/png.h"

#include <png.h>

#include "core/base/error.h"

namespace headlight::app {

void write_png(const std::filesystem::path& file, const Picture& picture) {
  std::vector<uint8_t> rgb;
  rgb.reserve(picture.rgba.size() / 4 * 3);
  for (size_t i = 0; i + 3 < picture.rgba.size(); i += 4)
    rgb.insert(rgb.end(), {picture.rgba[i], picture.rgba[i + 1], picture.rgba[i + 2]});
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = static_cast<png_uint_32>(picture.width);
  image.height = static_cast<png_uint_32>(picture.height);
  image.format = PNG_FORMAT_RGB;
  if (png_image_write_to_file(&image, file.c_str(), 0, rgb.data(), 0, nullptr) == 0)
    fail("The picture {} cannot be written: {}.", file.string(), image.message);
}

}  // namespace headlight::app
