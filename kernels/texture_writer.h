// Matrices that lie on a device go into OpenGL textures without a way through the host: CUDA's side of the
// window's heat maps. The renderer (app/render/texture_cache.h) asks for one where a run was made on such a
// device, and copies from the host where there is none.
#pragma once

#include <cstdint>
#include <memory>

namespace headlight::kernels {

/// Belongs to the thread whose OpenGL context was current when it was made; that context is current in every
/// call and outlives it.
class TextureWriter {
 public:
  TextureWriter() = default;
  TextureWriter(const TextureWriter&) = delete;
  TextureWriter& operator=(const TextureWriter&) = delete;
  virtual ~TextureWriter() = default;

  /// texture[rows, cols] = `device` memory with `row_stride` floats from row to row; done when it returns.
  /// `texture` is of format R32F and of this size. False where that cannot be done: the texture then has
  /// undefined values.
  [[nodiscard]] virtual bool write(uint32_t texture, const float* device, int64_t rows, int64_t cols,
                                   int64_t row_stride) = 0;
};

/// For the current OpenGL context; null where it is not drawn by a CUDA device.
[[nodiscard]] std::unique_ptr<TextureWriter> make_cuda_texture_writer();

}  // namespace headlight::kernels
