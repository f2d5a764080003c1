// CUDA and OpenGL on one device: a texture is registered, mapped as an array, filled and given back.
#include "kernels/texture_writer.h"

#include <cuda_runtime.h>
// Its declarations use OpenGL's types.
#include <GL/gl.h>
#include <cuda_gl_interop.h>

namespace headlight::kernels {

namespace {

bool ok(cudaError_t error) {
  if (error == cudaSuccess) return true;
  (void)cudaGetLastError();
  return false;
}

class CudaTextureWriter final : public TextureWriter {
 public:
  explicit CudaTextureWriter(cudaStream_t stream) : stream_(stream) {}
  ~CudaTextureWriter() override { (void)cudaStreamDestroy(stream_); }

  bool write(uint32_t texture, const float* device, int64_t rows, int64_t cols, int64_t row_stride) override {
    cudaGraphicsResource_t resource = nullptr;
    if (!ok(cudaGraphicsGLRegisterImage(&resource, texture, GL_TEXTURE_2D,
                                        cudaGraphicsRegisterFlagsWriteDiscard)))
      return false;
    bool written = ok(cudaGraphicsMapResources(1, &resource, stream_));
    if (written) {
      cudaArray_t cells = nullptr;
      const auto bytes = [](int64_t floats) { return static_cast<size_t>(floats) * sizeof(float); };
      written = ok(cudaGraphicsSubResourceGetMappedArray(&cells, resource, 0, 0)) &&
                ok(cudaMemcpy2DToArrayAsync(cells, 0, 0, device, bytes(row_stride), bytes(cols),
                                            static_cast<size_t>(rows), cudaMemcpyDeviceToDevice, stream_));
      written = ok(cudaGraphicsUnmapResources(1, &resource, stream_)) && written;
      // The device memory may be given back as soon as this returns.
      written = ok(cudaStreamSynchronize(stream_)) && written;
    }
    (void)ok(cudaGraphicsUnregisterResource(resource));
    return written;
  }

 private:
  cudaStream_t stream_;
};

}  // namespace

std::unique_ptr<TextureWriter> make_cuda_texture_writer() {
  // Kernels run on the first device (backend.cpp); the context has to be drawn by the same one.
  unsigned count = 0;
  int device = -1;
  if (!ok(cudaGLGetDevices(&count, &device, 1, cudaGLDeviceListAll)) || count == 0 || device != 0)
    return nullptr;
  cudaStream_t stream = nullptr;
  if (!ok(cudaSetDevice(device)) || !ok(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking)))
    return nullptr;
  return std::make_unique<CudaTextureWriter>(stream);
}

}  // namespace headlight::kernels
