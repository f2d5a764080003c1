// See cuda_gl_interop.h. Misuse that a device would refuse is refused here: a resource that is mapped twice,
// unmapped or unregistered out of turn, memory that is not the device's.
#include <cuda_gl_interop.h>

#include <cstring>
#include <utility>

#include "tests/support/simt/simt.h"

namespace simt {

struct Array {
  size_t rows = 0, cols = 0;
  std::vector<float> values;
};
struct GraphicsResource {
  unsigned texture = 0;
  bool mapped = false;
  Array array;
};

namespace {
constexpr unsigned kTexture2D = 0x0DE1;
TextureSink sink_;
}  // namespace

void set_texture_sink(TextureSink sink) { sink_ = std::move(sink); }

}  // namespace simt

cudaError_t cudaGLGetDevices(unsigned* count, int* devices, unsigned room, cudaGLDeviceList /*list*/) {
  *count = simt::sink_ && room > 0 ? 1 : 0;
  if (*count == 0) return cudaErrorNoDevice;
  devices[0] = 0;
  return cudaSuccess;
}

cudaError_t cudaGraphicsGLRegisterImage(cudaGraphicsResource_t* resource, unsigned texture, unsigned target,
                                        unsigned /*flags*/) {
  if (!simt::sink_ || texture == 0 || target != simt::kTexture2D) return cudaErrorInvalidValue;
  *resource = new simt::GraphicsResource{texture, false, {}};
  return cudaSuccess;
}

cudaError_t cudaGraphicsUnregisterResource(cudaGraphicsResource_t resource) {
  if (resource == nullptr || resource->mapped) return cudaErrorInvalidValue;
  delete resource;
  return cudaSuccess;
}

cudaError_t cudaGraphicsMapResources(int count, cudaGraphicsResource_t* resources, cudaStream_t /*stream*/) {
  for (int i = 0; i < count; ++i) {
    if (resources[i]->mapped) return cudaErrorInvalidValue;
    resources[i]->mapped = true;
  }
  return cudaSuccess;
}

cudaError_t cudaGraphicsUnmapResources(int count, cudaGraphicsResource_t* resources,
                                       cudaStream_t /*stream*/) {
  cudaError_t result = cudaSuccess;
  for (int i = 0; i < count; ++i) {
    if (!resources[i]->mapped) return cudaErrorInvalidValue;
    resources[i]->mapped = false;
    const simt::Array& array = resources[i]->array;
    if (!simt::sink_(resources[i]->texture, array.rows, array.cols, array.values))
      result = cudaErrorLaunchFailure;
  }
  return result;
}

cudaError_t cudaGraphicsSubResourceGetMappedArray(cudaArray_t* array, cudaGraphicsResource_t resource,
                                                  unsigned layer, unsigned level) {
  if (!resource->mapped || layer != 0 || level != 0) return cudaErrorInvalidValue;
  *array = &resource->array;
  return cudaSuccess;
}

cudaError_t cudaMemcpy2DToArrayAsync(cudaArray_t to, size_t x, size_t y, const void* from, size_t pitch,
                                     size_t width, size_t height, cudaMemcpyKind kind,
                                     cudaStream_t /*stream*/) {
  if (x != 0 || y != 0 || width > pitch || height == 0 || kind != cudaMemcpyDeviceToDevice ||
      !simt::is_device_memory(from, pitch * (height - 1) + width))
    return cudaErrorInvalidValue;
  to->rows = height;
  to->cols = width / sizeof(float);
  to->values.resize(to->rows * to->cols);
  for (size_t row = 0; row < height; ++row)
    std::memcpy(to->values.data() + row * to->cols, static_cast<const unsigned char*>(from) + row * pitch,
                width);
  return cudaSuccess;
}
