// Finds cuBLASLt: where the system looks for libraries, then in the toolkit that Headlight was built with.
#include "kernels/cuda/cublas_lt.h"

#include <cuda_runtime_api.h>
#include <dlfcn.h>

#include <memory>

namespace headlight::kernels::cuda {

namespace {

struct Loaded {
  std::unique_ptr<CublasLt> functions;
  std::string why_not;
};

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(dlsym(library, name));
  return function != nullptr;
}

Loaded load() {
  const std::string name = "libcublasLt.so." + std::to_string(CUDART_VERSION / 1000);
  // Never closed: its functions are used until the program ends.
  void* library = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    library = dlopen((std::string(HEADLIGHT_CUDA_LIBRARIES "/") + name).c_str(), RTLD_NOW | RTLD_LOCAL);
  }
  if (library == nullptr) {
    return {nullptr, name + " was not found; install NVIDIA's cuBLAS for CUDA " +
                         std::to_string(CUDART_VERSION / 1000) + " or name its folder in LD_LIBRARY_PATH"};
  }
  auto lt = std::make_unique<CublasLt>();
  const bool complete = find(library, "cublasLtCreate", lt->create) &&
                        find(library, "cublasLtDestroy", lt->destroy) &&
                        find(library, "cublasLtMatmul", lt->matmul) &&
                        find(library, "cublasLtMatmulAlgoGetHeuristic", lt->heuristic) &&
                        find(library, "cublasLtMatmulDescCreate", lt->operation_create) &&
                        find(library, "cublasLtMatmulDescDestroy", lt->operation_destroy) &&
                        find(library, "cublasLtMatmulDescSetAttribute", lt->operation_set) &&
                        find(library, "cublasLtMatrixLayoutCreate", lt->layout_create) &&
                        find(library, "cublasLtMatrixLayoutDestroy", lt->layout_destroy) &&
                        find(library, "cublasLtMatrixLayoutSetAttribute", lt->layout_set) &&
                        find(library, "cublasLtMatmulPreferenceCreate", lt->preference_create) &&
                        find(library, "cublasLtMatmulPreferenceDestroy", lt->preference_destroy) &&
                        find(library, "cublasLtMatmulPreferenceSetAttribute", lt->preference_set);
  if (!complete) return {nullptr, name + " lacks a function that Headlight uses; install a newer cuBLAS"};
  return {std::move(lt), {}};
}

}  // namespace

const CublasLt* load_cublas_lt(std::string& why_not) {
  static const Loaded loaded = load();
  if (!loaded.functions) why_not = loaded.why_not;
  return loaded.functions.get();
}

}  // namespace headlight::kernels::cuda
