// Products through cuBLASLt. Its matrices lie by column, so C = A·B by row is asked for as Cᵀ = Bᵀ·Aᵀ by
// column: the same memory, A and B exchanged. What the library chose for a product is kept.
#include "kernels/cuda/gemm.h"

#include <map>
#include <stdexcept>
#include <string>

#include "kernels/cuda/cublas_lt.h"

namespace headlight::kernels::cuda {

namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;  // what cuBLAS recommends for current devices

void require(cublasStatus_t status, const char* what) {
  if (status == CUBLAS_STATUS_SUCCESS) return;
  throw std::runtime_error("cuBLASLt failed at " + std::string(what) + " (status " +
                           std::to_string(static_cast<int>(status)) + "); go on with --device cpu");
}

cudaDataType type_of(ElementKind kind) {
  switch (kind) {
    case ElementKind::bf16:
      return CUDA_R_16BF;
    case ElementKind::f16:
      return CUDA_R_16F;
    default:
      return CUDA_R_32F;
  }
}

cublasLtEpilogue_t epilogue_of(const Product& product) {
  switch (product.epilogue) {
    case Epilogue::gelu:
      return product.bias ? CUBLASLT_EPILOGUE_GELU_BIAS : CUBLASLT_EPILOGUE_GELU;
    case Epilogue::gelu_aux:
      return product.bias ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_AUX;
    case Epilogue::gelu_slope:
      return CUBLASLT_EPILOGUE_DGELU;
    case Epilogue::none:
      break;
  }
  return product.bias ? CUBLASLT_EPILOGUE_BIAS : CUBLASLT_EPILOGUE_DEFAULT;
}

// The largest power of two up to 256 that divides the address.
uint32_t alignment_of(const void* pointer) {
  const auto address = reinterpret_cast<uintptr_t>(pointer) | 256U;
  return static_cast<uint32_t>(address & (~address + 1));
}

}  // namespace

// Descriptions as cuBLASLt keeps them, and the algorithm that it chose.
struct Gemm::Plan {
  explicit Plan(const CublasLt& functions) : lt(&functions) {}
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;
  ~Plan() {
    if (operation != nullptr) lt->operation_destroy(operation);
    for (cublasLtMatrixLayout_t layout : {first, second, result}) {
      if (layout != nullptr) lt->layout_destroy(layout);
    }
  }

  const CublasLt* lt;
  cublasLtMatmulDesc_t operation = nullptr;
  cublasLtMatrixLayout_t first = nullptr;   // our B
  cublasLtMatrixLayout_t second = nullptr;  // our A
  cublasLtMatrixLayout_t result = nullptr;
  cublasLtMatmulAlgo_t algorithm{};
  size_t workspace = 0;
  bool possible = true;  // false: the library has no kernel with this epilogue
};

struct Gemm::State {
  const CublasLt* lt = nullptr;
  cublasLtHandle_t handle = nullptr;
  void* workspace = nullptr;
  std::map<Product, Plan> plans;
};

Gemm::Gemm() : state_(std::make_unique<State>()) {
  std::string why_not;
  state_->lt = load_cublas_lt(why_not);
  if (state_->lt == nullptr) throw std::runtime_error(why_not);
  check(cudaMalloc(&state_->workspace, kWorkspaceBytes), "taking memory for matrix products");
  require(state_->lt->create(&state_->handle), "its start");
}

Gemm::~Gemm() {
  state_->plans.clear();
  if (state_->handle != nullptr) state_->lt->destroy(state_->handle);
  (void)cudaFree(state_->workspace);
}

Gemm::Plan& Gemm::plan_for(const Product& p, const void* bias, const void* aux) {
  const auto known = state_->plans.find(p);
  if (known != state_->plans.end()) return known->second;
  const CublasLt& lt = *state_->lt;
  Plan& plan = state_->plans.try_emplace(p, lt).first->second;
  try {
    const auto set = [&](cublasLtMatmulDescAttributes_t attribute, auto value) {
      require(lt.operation_set(plan.operation, attribute, &value, sizeof value), "describing a product");
    };
    require(lt.operation_create(&plan.operation, CUBLAS_COMPUTE_32F, CUDA_R_32F), "describing a product");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.b_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.a_transposed ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, epilogue_of(p));
    // Their alignment counts in the choice.
    if (p.bias) set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, bias);
    if (aux != nullptr) {
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, aux);
      set(CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, p.c_row);
    }

    // A matrix [rows,columns] by row is [columns,rows] by column.
    const auto layout = [&](cublasLtMatrixLayout_t& made, ElementKind kind, int64_t rows, int64_t columns,
                            int64_t row, int64_t stride) {
      require(lt.layout_create(&made, type_of(kind), static_cast<uint64_t>(columns),
                               static_cast<uint64_t>(rows), row),
              "describing a matrix");
      const auto count = static_cast<int32_t>(p.count);
      require(lt.layout_set(made, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, sizeof count),
              "describing a batch");
      require(lt.layout_set(made, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride),
              "describing a batch");
    };
    layout(plan.first, p.operands, p.b_transposed ? p.N : p.K, p.b_transposed ? p.K : p.N, p.b_row,
           p.b_stride);
    layout(plan.second, p.operands, p.a_transposed ? p.K : p.M, p.a_transposed ? p.M : p.K, p.a_row,
           p.a_stride);
    layout(plan.result, p.result, p.M, p.N, p.c_row, p.c_stride);

    cublasLtMatmulPreference_t preference = nullptr;
    require(lt.preference_create(&preference), "describing its limits");
    const auto prefer = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      return lt.preference_set(preference, attribute, &value, sizeof value);
    };
    cublasLtMatmulHeuristicResult_t found{};
    int count = 0;
    cublasStatus_t status = prefer(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, kWorkspaceBytes);
    // Parts of a sum meet in the workspace, in fp32 and in a fixed order: the bits repeat.
    const uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
    if (status == CUBLAS_STATUS_SUCCESS) {
      status = prefer(CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, reductions);
    }
    for (const auto& [attribute, bytes] :
         {std::pair{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, p.b_alignment},
          std::pair{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, p.a_alignment},
          std::pair{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, p.c_alignment},
          std::pair{CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, p.c_alignment}}) {
      if (status == CUBLAS_STATUS_SUCCESS) status = prefer(attribute, bytes);
    }
    if (status == CUBLAS_STATUS_SUCCESS) {
      status = lt.heuristic(state_->handle, plan.operation, plan.first, plan.second, plan.result, plan.result,
                            preference, 1, &found, &count);
    }
    lt.preference_destroy(preference);
    if (p.epilogue != Epilogue::none && (status != CUBLAS_STATUS_SUCCESS || count == 0)) {
      plan.possible = false;
      return plan;
    }
    require(status, "choosing a kernel for a matrix product");
    if (count == 0) {
      throw std::runtime_error("cuBLASLt has no kernel for a product of " + std::to_string(p.M) + " × " +
                               std::to_string(p.K) + " by " + std::to_string(p.N) +
                               " numbers; go on with --device cpu");
    }
    plan.algorithm = found.algo;
    plan.workspace = found.workspaceSize;
  } catch (...) {
    state_->plans.erase(p);
    throw;
  }
  return plan;
}

bool Gemm::multiply(cudaStream_t stream, const Product& product, void* c, const void* a, const void* b,
                    const void* bias, void* aux) {
  Plan& plan = plan_for(product, bias, aux);
  if (!plan.possible) return false;
  const CublasLt& lt = *state_->lt;
  if (bias != nullptr) {
    require(lt.operation_set(plan.operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
            "naming a bias");
  }
  if (aux != nullptr) {
    require(lt.operation_set(plan.operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &aux, sizeof aux),
            "naming a second result");
  }
  const float one = 1.0F;
  const float zero = 0.0F;
  require(lt.matmul(state_->handle, plan.operation, &one, b, plan.first, a, plan.second, &zero, c,
                    plan.result, c, plan.result, &plan.algorithm, state_->workspace, plan.workspace, stream),
          "a matrix product");
  return true;
}

namespace detail {

void multiply_batches(Context& context, Product product, const Batch& batch, char* c, const char* a,
                      const char* b, const void* bias, size_t c_size, size_t operand_size) {
  if (product.M == 0 || product.N == 0 || batch.outer == 0 || batch.inner == 0) return;
  CudaContext& cuda = on_cuda(context);
  if (product.K == 0) {
    // A sum of nothing; happens to gradients of weights, which lie without gaps.
    check(cudaMemsetAsync(c, 0, static_cast<size_t>(product.M * product.N) * c_size, cuda.stream()),
          "clearing a product without terms");
    return;
  }
  product.count = batch.inner;
  product.a_stride = batch.a.inner;
  product.b_stride = batch.b.inner;
  product.c_stride = batch.c.inner;
  const auto bytes = [](int64_t elements, size_t size) { return elements * static_cast<int64_t>(size); };
  for (int64_t i = 0; i < batch.outer; ++i) {
    char* to = c + bytes(i * batch.c.outer, c_size);
    const char* left = a + bytes(i * batch.a.outer, operand_size);
    const char* right = b + bytes(i * batch.b.outer, operand_size);
    product.a_alignment = alignment_of(left);
    product.b_alignment = alignment_of(right);
    product.c_alignment = alignment_of(to);
    (void)cuda.gemm().multiply(cuda.stream(), product, to, left, right, bias, nullptr);
  }
}

bool multiply_with(Context& context, Product product, void* c, const void* a, const void* b, const void* bias,
                   void* aux) {
  if (product.M == 0 || product.N == 0 || product.K == 0) return false;
  CudaContext& cuda = on_cuda(context);
  // Before Hopper an epilogue hides less of GELU than a kernel behind the product costs.
  constexpr int kHopper = 9;
  if (cuda.generation() < kHopper) return false;
  if (aux != nullptr && product.c_row % 8 != 0) return false;  // what the library asks of its rows
  product.a_alignment = alignment_of(a);
  product.b_alignment = alignment_of(b);
  product.c_alignment = alignment_of(c);
  product.aux_alignment = alignment_of(aux);
  return cuda.gemm().multiply(cuda.stream(), product, c, a, b, bias, aux);
}

}  // namespace detail

}  // namespace headlight::kernels::cuda
