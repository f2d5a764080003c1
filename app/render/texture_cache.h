// Float textures of matrices, keyed by run, buffer and plane. Filled when first drawn, dropped when not drawn
// for a while. Used by the renderer alone.
#pragma once

#include <epoxy/gl.h>

#include <map>
#include <memory>
#include <vector>

#include "app/render/heat_map.h"
#include "kernels/texture_writer.h"

namespace headlight::app {

/// Needs a current context.
class TextureCache {
 public:
  /// A part of a plane that fits one texture.
  struct Tile {
    GLuint texture = 0;
    int64_t row = 0, col = 0, rows = 0, cols = 0;
  };

  ~TextureCache();
  TextureCache() = default;
  TextureCache(const TextureCache&) = delete;
  TextureCache& operator=(const TextureCache&) = delete;

  /// The plane's tiles, uploaded now if they are not there yet.
  const std::vector<Tile>& tiles(const HeatMap& map);
  /// Drops what the last frames did not draw, and more when over `budget_bytes`.
  void end_frame();
  /// Whether a device's memory can be written into textures without the host; looked up once.
  [[nodiscard]] bool shares_device();
  /// Tiles that were filled so.
  [[nodiscard]] size_t written_on_device() const { return written_on_device_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }
  [[nodiscard]] size_t count() const { return entries_.size(); }
  size_t budget_bytes = size_t{128} << 20;

 private:
  struct Entry {
    std::vector<Tile> tiles;
    uint64_t last_frame = 0;
    size_t bytes = 0;
  };
  void drop(Entry& entry);
  /// Fills the bound texture of a tile.
  void fill(const HeatMap& map, const Tile& tile);
  bool fill_on_device(const HeatMap& map, const Tile& tile);

  std::map<HeatKey, Entry> entries_;
  std::vector<GLuint> spare_;  ///< texture names to use again
  std::vector<float> packed_;
  std::unique_ptr<kernels::TextureWriter> writer_;
  bool looked_for_writer_ = false;
  size_t written_on_device_ = 0;
  uint64_t frame_ = 0;
  size_t bytes_ = 0;
};

}  // namespace headlight::app
