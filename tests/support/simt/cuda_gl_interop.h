// OpenGL textures as the emulated device sees them: a mapped texture is an array on the host, and what was
// copied into it goes to the sink that a test has set when it is given back.
#pragma once

#include <cuda_runtime.h>

#include <functional>
#include <vector>

namespace simt {
struct GraphicsResource;
struct Array;
/// Receives the rows of a texture. Without one (the default) no context shares with the device. False: the
/// texture cannot be written.
using TextureSink =
    std::function<bool(unsigned texture, size_t rows, size_t cols, const std::vector<float>&)>;
void set_texture_sink(TextureSink sink);
}  // namespace simt

using cudaGraphicsResource_t = simt::GraphicsResource*;
using cudaArray_t = simt::Array*;
enum : unsigned { cudaGraphicsRegisterFlagsWriteDiscard = 2 };
enum cudaGLDeviceList { cudaGLDeviceListAll = 1 };

cudaError_t cudaGLGetDevices(unsigned* count, int* devices, unsigned room, cudaGLDeviceList list);
cudaError_t cudaGraphicsGLRegisterImage(cudaGraphicsResource_t* resource, unsigned texture, unsigned target,
                                        unsigned flags);
cudaError_t cudaGraphicsUnregisterResource(cudaGraphicsResource_t resource);
cudaError_t cudaGraphicsMapResources(int count, cudaGraphicsResource_t* resources, cudaStream_t stream);
cudaError_t cudaGraphicsUnmapResources(int count, cudaGraphicsResource_t* resources, cudaStream_t stream);
cudaError_t cudaGraphicsSubResourceGetMappedArray(cudaArray_t* array, cudaGraphicsResource_t resource,
                                                  unsigned layer, unsigned level);
/// `width` in bytes.
cudaError_t cudaMemcpy2DToArrayAsync(cudaArray_t to, size_t x, size_t y, const void* from, size_t pitch,
                                     size_t width, size_t height, cudaMemcpyKind kind, cudaStream_t stream);
