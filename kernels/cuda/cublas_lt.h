// cuBLASLt as a table of functions. The library is half a gigabyte: it is loaded when a device is first used,
// so that Headlight starts fast, and at all, where there is no CUDA.
#pragma once

#include <cublasLt.h>

#include <string>

namespace headlight::kernels::cuda {

struct CublasLt {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulDescCreate) operation_create;
  decltype(&cublasLtMatmulDescDestroy) operation_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) operation_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatrixLayoutSetAttribute) layout_set;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
};

/// Null with a sentence in `why_not` where the library is not found. Loaded once; any thread.
[[nodiscard]] const CublasLt* load_cublas_lt(std::string& why_not);

}  // namespace headlight::kernels::cuda
