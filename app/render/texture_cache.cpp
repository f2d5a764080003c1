// Uploads planes tile by tile and forgets the oldest.
#include "app/render/texture_cache.h"

#include <algorithm>

namespace headlight::app {
namespace {

constexpr uint64_t frames_to_keep = 90;

}  // namespace

TextureCache::~TextureCache() {
  for (auto& [key, entry] : entries_) drop(entry);
  if (!spare_.empty()) glDeleteTextures(static_cast<GLsizei>(spare_.size()), spare_.data());
}

void TextureCache::drop(Entry& entry) {
  for (const Tile& tile : entry.tiles) spare_.push_back(tile.texture);
  bytes_ -= entry.bytes;
  entry.tiles.clear();
}

bool TextureCache::shares_device() {
  if (!looked_for_writer_) {
    looked_for_writer_ = true;
    writer_ = kernels::make_cuda_texture_writer();
  }
  return writer_ != nullptr;
}

void TextureCache::fill(const HeatMap& map, const Tile& tile) {
  const Plane& p = map.plane;
  const float* data = p.data + tile.row * p.row_stride + tile.col * p.col_stride;
  glPixelStorei(GL_UNPACK_ALIGNMENT, 4);
  if (p.col_stride == 1) {
    glPixelStorei(GL_UNPACK_ROW_LENGTH, static_cast<GLint>(p.row_stride));
  } else {
    packed_.resize(static_cast<size_t>(tile.rows * tile.cols));
    for (int64_t i = 0; i < tile.rows; ++i)
      for (int64_t j = 0; j < tile.cols; ++j)
        packed_[static_cast<size_t>(i * tile.cols + j)] = data[i * p.row_stride + j * p.col_stride];
    data = packed_.data();
  }
  glTexImage2D(GL_TEXTURE_2D, 0, GL_R32F, static_cast<GLsizei>(tile.cols), static_cast<GLsizei>(tile.rows), 0,
               GL_RED, GL_FLOAT, data);
  glPixelStorei(GL_UNPACK_ROW_LENGTH, 0);
}

bool TextureCache::fill_on_device(const HeatMap& map, const Tile& tile) {
  const Plane& p = map.plane;
  // A device copies rows; a matrix that is drawn on its side comes from the host.
  if (map.on_device == nullptr || p.col_stride != 1 || !shares_device()) return false;
  glTexImage2D(GL_TEXTURE_2D, 0, GL_R32F, static_cast<GLsizei>(tile.cols), static_cast<GLsizei>(tile.rows), 0,
               GL_RED, GL_FLOAT, nullptr);
  const float* first = map.on_device.get() + tile.row * p.row_stride + tile.col;
  glBindTexture(GL_TEXTURE_2D, 0);
  const bool written = writer_->write(tile.texture, first, tile.rows, tile.cols, p.row_stride);
  glBindTexture(GL_TEXTURE_2D, tile.texture);
  if (written) ++written_on_device_;
  return written;
}

const std::vector<TextureCache::Tile>& TextureCache::tiles(const HeatMap& map) {
  Entry& entry = entries_[map.key];
  entry.last_frame = frame_;
  if (!entry.tiles.empty() || map.plane.empty()) return entry.tiles;
  GLint largest = 0;
  glGetIntegerv(GL_MAX_TEXTURE_SIZE, &largest);
  const Plane& p = map.plane;
  for (int64_t row = 0; row < p.rows; row += largest) {
    for (int64_t col = 0; col < p.cols; col += largest) {
      Tile tile{0, row, col, std::min<int64_t>(largest, p.rows - row),
                std::min<int64_t>(largest, p.cols - col)};
      if (spare_.empty()) {
        glGenTextures(1, &tile.texture);
      } else {
        tile.texture = spare_.back();
        spare_.pop_back();
      }
      glBindTexture(GL_TEXTURE_2D, tile.texture);
      if (!fill_on_device(map, tile)) fill(map, tile);
      glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MIN_FILTER, GL_NEAREST);
      glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_MAG_FILTER, GL_NEAREST);
      glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_S, GL_CLAMP_TO_EDGE);
      glTexParameteri(GL_TEXTURE_2D, GL_TEXTURE_WRAP_T, GL_CLAMP_TO_EDGE);
      entry.bytes += static_cast<size_t>(tile.rows * tile.cols) * sizeof(float);
      entry.tiles.push_back(tile);
    }
  }
  bytes_ += entry.bytes;
  return entry.tiles;
}

void TextureCache::end_frame() {
  ++frame_;
  for (auto it = entries_.begin(); it != entries_.end();) {
    const bool old = it->second.last_frame + frames_to_keep < frame_;
    const bool over = bytes_ > budget_bytes && it->second.last_frame + 1 < frame_;
    if (old || over) {
      drop(it->second);
      it = entries_.erase(it);
    } else {
      ++it;
    }
  }
}

}  // namespace headlight::app
