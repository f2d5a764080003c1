// Matrix products of the emulated device: plain loops over matrices by column. What the real library leaves
// to its caller is checked: sizes that fit, memory of the device, promised alignment.
#include "kernels/cuda/cublas_lt.h"

#include <atomic>
#include <cmath>
#include <numbers>
#include <vector>

#include "kernels/element.h"

namespace simt {
namespace {

namespace kernels = headlight::kernels;

std::atomic<bool> has_gelu{true};

bool adds_bias(cublasLtEpilogue_t epilogue) { return (epilogue & CUBLASLT_EPILOGUE_BIAS) != 0; }
bool uses_aux(cublasLtEpilogue_t epilogue) {
  return epilogue == CUBLASLT_EPILOGUE_GELU_AUX || epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS ||
         epilogue == CUBLASLT_EPILOGUE_DGELU;
}

// The tanh form and its slope.
double gelu(double x) {
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x)));
}
double gelu_slope(double x) {
  const double root = std::sqrt(2 / std::numbers::pi);
  const double t = std::tanh(root * (x + 0.044715 * x * x * x));
  return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * root * (1 + 3 * 0.044715 * x * x);
}

size_t size_of(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

float element(const void* data, cudaDataType type, int64_t index) {
  switch (type) {
    case CUDA_R_16BF:
      return kernels::to_float(static_cast<const kernels::bfloat16*>(data)[index]);
    case CUDA_R_16F:
      return kernels::to_float(static_cast<const kernels::float16*>(data)[index]);
    default:
      return static_cast<const float*>(data)[index];
  }
}
void set_element(void* data, cudaDataType type, int64_t index, float value) {
  switch (type) {
    case CUDA_R_16BF:
      static_cast<kernels::bfloat16*>(data)[index] = kernels::from_float<kernels::bfloat16>(value);
      break;
    case CUDA_R_16F:
      static_cast<kernels::float16*>(data)[index] = kernels::from_float<kernels::float16>(value);
      break;
    default:
      static_cast<float*>(data)[index] = value;
  }
}

// Whether all of the batch lies in one allocation and begins where it was promised to.
bool lies_well(const void* data, const Layout& layout, uint32_t alignment) {
  const int64_t elements = (layout.count - 1) * layout.stride +
                           (static_cast<int64_t>(layout.columns) - 1) * layout.leading +
                           static_cast<int64_t>(layout.rows);
  return layout.leading >= static_cast<int64_t>(layout.rows) &&
         reinterpret_cast<uintptr_t>(data) % alignment == 0 &&
         is_device_memory(data, static_cast<size_t>(elements) * size_of(layout.type));
}

// op(matrix `index` of the batch) as floats by row.
std::vector<float> by_row(const void* data, const Layout& layout, cublasOperation_t operation,
                          int32_t index) {
  const auto rows = static_cast<int64_t>(layout.rows);
  const auto columns = static_cast<int64_t>(layout.columns);
  std::vector<float> values(static_cast<size_t>(rows * columns));
  for (int64_t j = 0; j < columns; ++j) {
    for (int64_t i = 0; i < rows; ++i) {
      const int64_t to = operation == CUBLAS_OP_N ? i * columns + j : j * rows + i;
      values[static_cast<size_t>(to)] =
          element(data, layout.type, index * layout.stride + j * layout.leading + i);
    }
  }
  return values;
}

// What the operation's epilogue makes of one sum.
float finished(const Operation& operation, cudaDataType type, int64_t i, int64_t j, float sum) {
  if (adds_bias(operation.epilogue)) sum += element(operation.bias, type, i);
  const int64_t at = j * operation.aux_leading + i;
  switch (operation.epilogue) {
    case CUBLASLT_EPILOGUE_GELU_AUX:
    case CUBLASLT_EPILOGUE_GELU_AUX_BIAS:
      set_element(operation.aux, type, at, sum);
      [[fallthrough]];
    case CUBLASLT_EPILOGUE_GELU:
    case CUBLASLT_EPILOGUE_GELU_BIAS:
      return static_cast<float>(gelu(static_cast<double>(sum)));
    case CUBLASLT_EPILOGUE_DGELU:
      return sum * static_cast<float>(gelu_slope(static_cast<double>(element(operation.aux, type, at))));
    default:
      return sum;
  }
}

// As the library documents it: the leading dimension in whole eights, no shorter than a column.
bool aux_fits(const Operation& operation, const Layout& d) {
  if (!uses_aux(operation.epilogue)) return true;
  const int64_t elements =
      (static_cast<int64_t>(d.columns) - 1) * operation.aux_leading + static_cast<int64_t>(d.rows);
  return d.count == 1 && operation.aux_leading % 8 == 0 &&
         operation.aux_leading >= static_cast<int64_t>(d.rows) &&
         reinterpret_cast<uintptr_t>(operation.aux) % 16 == 0 &&
         is_device_memory(operation.aux, static_cast<size_t>(elements) * size_of(d.type));
}

// d(i,j) = Σ_k a(i,k)·b(k,j) + bias(i), the sums in float and in the order of k; then the epilogue.
void multiply(const Operation& operation, const void* a, const Layout& a_layout, const void* b,
              const Layout& b_layout, void* d, const Layout& d_layout) {
  const auto M = static_cast<int64_t>(d_layout.rows);
  const auto N = static_cast<int64_t>(d_layout.columns);
  const auto K = static_cast<int64_t>(operation.first == CUBLAS_OP_N ? a_layout.columns : a_layout.rows);
  std::vector<float> column(static_cast<size_t>(M));
  for (int32_t index = 0; index < d_layout.count; ++index) {
    // A by column, so that the inner loop runs over consecutive numbers.
    const std::vector<float> first =
        by_row(a, a_layout, operation.first == CUBLAS_OP_N ? CUBLAS_OP_T : CUBLAS_OP_N, index);
    const std::vector<float> second = by_row(b, b_layout, operation.second, index);
    for (int64_t j = 0; j < N; ++j) {
      for (int64_t i = 0; i < M; ++i) column[static_cast<size_t>(i)] = 0.0F;
      for (int64_t k = 0; k < K; ++k) {
        const float factor = second[static_cast<size_t>(k * N + j)];
        const float* from = first.data() + k * M;
        for (int64_t i = 0; i < M; ++i) column[static_cast<size_t>(i)] += from[i] * factor;
      }
      for (int64_t i = 0; i < M; ++i) {
        const float value = finished(operation, d_layout.type, i, j, column[static_cast<size_t>(i)]);
        set_element(d, d_layout.type, index * d_layout.stride + j * d_layout.leading + i, value);
      }
    }
  }
}

}  // namespace

void set_gelu_epilogues(bool there_are) { has_gelu = there_are; }

}  // namespace simt

cublasStatus_t cublasLtCreate(cublasLtHandle_t* handle) {
  static int only = 0;
  *handle = &only;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtDestroy(cublasLtHandle_t /*handle*/) { return CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t* operation, cublasComputeType_t /*compute*/,
                                        cudaDataType /*scale*/) {
  *operation = new simt::Operation;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation) {
  delete operation;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation,
                                              cublasLtMatmulDescAttributes_t attribute, const void* value,
                                              size_t bytes) {
  const auto set = [&](auto& to) {
    if (bytes != sizeof to) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&to, value, bytes);
    return CUBLAS_STATUS_SUCCESS;
  };
  switch (attribute) {
    case CUBLASLT_MATMUL_DESC_TRANSA:
      return set(operation->first);
    case CUBLASLT_MATMUL_DESC_TRANSB:
      return set(operation->second);
    case CUBLASLT_MATMUL_DESC_EPILOGUE:
      return set(operation->epilogue);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER:
      return set(operation->aux);
    case CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD:
      return set(operation->aux_leading);
    default:
      return set(operation->bias);
  }
}
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t* layout, cudaDataType type, uint64_t rows,
                                          uint64_t columns, int64_t leading) {
  *layout = new simt::Layout{type, rows, columns, leading};
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t layout) {
  delete layout;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatrixLayoutSetAttribute(cublasLtMatrixLayout_t layout,
                                                cublasLtMatrixLayoutAttribute_t attribute, const void* value,
                                                size_t bytes) {
  const size_t wanted =
      attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT ? sizeof layout->count : sizeof layout->stride;
  if (bytes != wanted) return CUBLAS_STATUS_INVALID_VALUE;
  if (attribute == CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT) {
    std::memcpy(&layout->count, value, bytes);
  } else {
    std::memcpy(&layout->stride, value, bytes);
  }
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t* preference) {
  *preference = new simt::Preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference) {
  delete preference;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
                                                    cublasLtMatmulPreferenceAttributes_t attribute,
                                                    const void* value, size_t bytes) {
  if (attribute >= CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES) {
    if (bytes != sizeof(uint32_t)) return CUBLAS_STATUS_INVALID_VALUE;
    std::memcpy(&preference->alignment[attribute - CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES], value, bytes);
  }
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t operation,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int /*wanted*/,
                                              cublasLtMatmulHeuristicResult_t* found, int* count) {
  const bool a_plain = operation->first == CUBLAS_OP_N;
  const bool b_plain = operation->second == CUBLAS_OP_N;
  const bool fits =
      (a_plain ? a->rows : a->columns) == d->rows && (b_plain ? b->columns : b->rows) == d->columns &&
      (a_plain ? a->columns : a->rows) == (b_plain ? b->rows : b->columns) && c->rows == d->rows &&
      c->columns == d->columns && a->count == d->count && b->count == d->count && a->type == b->type &&
      (d->type == a->type || d->type == CUDA_R_32F);
  if (!fits) return CUBLAS_STATUS_INVALID_VALUE;
  const bool plain = (operation->epilogue & ~CUBLASLT_EPILOGUE_BIAS) <= CUBLASLT_EPILOGUE_DEFAULT;
  if (!plain && (!simt::has_gelu || !simt::aux_fits(*operation, *d))) return CUBLAS_STATUS_NOT_SUPPORTED;
  std::memcpy(found->algo.alignment, preference->alignment, sizeof preference->alignment);
  found->workspaceSize = 0;
  *count = 1;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtMatmul(cublasLtHandle_t /*handle*/, cublasLtMatmulDesc_t operation,
                              const void* /*alpha*/, const void* a, cublasLtMatrixLayout_t a_layout,
                              const void* b, cublasLtMatrixLayout_t b_layout, const void* /*beta*/,
                              const void* /*c*/, cublasLtMatrixLayout_t /*c_layout*/, void* d,
                              cublasLtMatrixLayout_t d_layout, const cublasLtMatmulAlgo_t* algorithm,
                              void* /*workspace*/, size_t /*workspace_bytes*/, cudaStream_t stream) {
  if (!simt::lies_well(a, *a_layout, algorithm->alignment[0]) ||
      !simt::lies_well(b, *b_layout, algorithm->alignment[1]) ||
      !simt::lies_well(d, *d_layout, algorithm->alignment[3]) || !simt::aux_fits(*operation, *d_layout)) {
    return CUBLAS_STATUS_INVALID_VALUE;
  }
  const auto status = simt::submit(stream, [operation = *operation, a, a_layout = *a_layout, b,
                                            b_layout = *b_layout, d, d_layout = *d_layout] {
    simt::multiply(operation, a, a_layout, b, b_layout, d, d_layout);
    return cudaSuccess;
  });
  return status == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}

namespace headlight::kernels::cuda {

const CublasLt* load_cublas_lt(std::string& /*why_not*/) {
  static const CublasLt functions{cublasLtCreate,
                                  cublasLtDestroy,
                                  cublasLtMatmul,
                                  cublasLtMatmulAlgoGetHeuristic,
                                  cublasLtMatmulDescCreate,
                                  cublasLtMatmulDescDestroy,
                                  cublasLtMatmulDescSetAttribute,
                                  cublasLtMatrixLayoutCreate,
                                  cublasLtMatrixLayoutDestroy,
                                  cublasLtMatrixLayoutSetAttribute,
                                  cublasLtMatmulPreferenceCreate,
                                  cublasLtMatmulPreferenceDestroy,
                                  cublasLtMatmulPreferenceSetAttribute};
  return &functions;
}

}  // namespace headlight::kernels::cuda
