// What a build without CUDA links in place of the CUDA backend: it says why there is none.
#include "kernels/backend.h"
#include "kernels/texture_writer.h"

namespace headlight::kernels {

namespace {
constexpr const char* kReason = "this Headlight was built without its CUDA backend; it runs on the CPU";
}

std::unique_ptr<Backend> make_cuda_backend(std::string& why_not) {
  why_not = kReason;
  return nullptr;
}

std::vector<DeviceInfo> describe_cuda(std::string& why_not) {
  why_not = kReason;
  return {};
}

std::unique_ptr<TextureWriter> make_cuda_texture_writer() { return nullptr; }

}  // namespace headlight::kernels
