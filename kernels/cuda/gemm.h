// Matrix products of the CUDA backend through cuBLASLt: one product, or a batch of them, with 16-bit or fp32
// operands and sums in fp32. Row-major, as all of Headlight; called by linear and the materialised attention.
#pragma once

#include <type_traits>

#include "kernels/cuda/context.h"

namespace headlight::kernels::cuda {

/// A matrix in memory. Element (i, j) lies at data[i·row + j], or at data[j·row + i] where `transposed`.
template <class E>
struct Operand {
  const E* data = nullptr;
  int64_t row = 0;
  bool transposed = false;
};

/// Where the matrices of a batch lie: product (o, i) of outer × inner starts at o·outer + i·inner.
struct Stride {
  int64_t outer = 0;
  int64_t inner = 0;
};
struct Batch {
  int64_t outer = 1;
  int64_t inner = 1;
  Stride a, b, c;
};

enum class ElementKind : int32_t { f32, bf16, f16 };
template <class E>
inline constexpr ElementKind kind_of = std::is_same_v<E, float>      ? ElementKind::f32
                                       : std::is_same_v<E, bfloat16> ? ElementKind::bf16
                                                                     : ElementKind::f16;

/// What is done to a product's results before they are stored.
enum class Epilogue : int32_t {
  none,
  gelu,        ///< C = gelu_tanh(A·B + bias)
  gelu_aux,    ///< the same; A·B + bias goes to `aux`
  gelu_slope,  ///< C = (A·B)·gelu_tanh'(aux)
};

/// One product as cuBLASLt is asked for it; what was chosen for it is kept under this key.
struct Product {
  ElementKind operands = ElementKind::f32;
  ElementKind result = ElementKind::f32;
  int64_t M = 0, N = 0, K = 0;
  int64_t a_row = 0, b_row = 0, c_row = 0;
  bool a_transposed = false, b_transposed = false;
  bool bias = false;
  Epilogue epilogue = Epilogue::none;  ///< aux [M,N] has C's type, with rows c_row apart
  int64_t count = 1, a_stride = 0, b_stride = 0, c_stride = 0;
  uint32_t a_alignment = 0, b_alignment = 0, c_alignment = 0, aux_alignment = 0;
  auto operator<=>(const Product&) const = default;
};

/// The library with its workspace and the products that were asked for so far.
class Gemm {
 public:
  /// Throws std::runtime_error with a sentence where cuBLASLt or its workspace cannot be had.
  Gemm();
  ~Gemm();
  Gemm(const Gemm&) = delete;
  Gemm& operator=(const Gemm&) = delete;

  /// C = A·B (+ bias by column), for each of product.count matrices. Sizes are positive. False where the
  /// library has no kernel for the product's epilogue; nothing was done then.
  bool multiply(cudaStream_t stream, const Product& product, void* c, const void* a, const void* b,
                const void* bias, void* aux);

 private:
  struct Plan;
  struct State;
  Plan& plan_for(const Product& product, const void* bias, const void* aux);

  std::unique_ptr<State> state_;
};

namespace detail {
/// For each outer index one call of Gemm::multiply. `element_sizes` in bytes.
void multiply_batches(Context& context, Product product, const Batch& batch, char* c, const char* a,
                      const char* b, const void* bias, size_t c_size, size_t operand_size);
bool multiply_with(Context& context, Product product, void* c, const void* a, const void* b, const void* bias,
                   void* aux);

template <class Out, class E>
Product product_of(int64_t c_row, const Operand<E>& a, const Operand<E>& b, int64_t M, int64_t N, int64_t K,
                   bool bias) {
  Product product;
  product.operands = kind_of<E>;
  product.result = kind_of<Out>;
  product.M = M;
  product.N = N;
  product.K = K;
  product.a_row = a.row;
  product.b_row = b.row;
  product.c_row = c_row;
  product.a_transposed = a.transposed;
  product.b_transposed = b.transposed;
  product.bias = bias;
  return product;
}
}  // namespace detail

/// C = A·B (+ bias in each row), C [M,N] with rows c_row apart, A [M,K], B [K,N]; sums in fp32. The old
/// values of C are never read.
template <class Out, class E>
void gemm(Context& context, Out* c, int64_t c_row, std::type_identity_t<Operand<E>> a, Operand<E> b,
          int64_t M, int64_t N, int64_t K, const std::type_identity_t<E>* bias = nullptr,
          const Batch& batch = {}) {
  const Product product = detail::product_of<Out>(c_row, a, b, M, N, K, bias != nullptr);
  detail::multiply_batches(context, product, batch, reinterpret_cast<char*>(c),
                           reinterpret_cast<const char*>(a.data), reinterpret_cast<const char*>(b.data), bias,
                           sizeof(Out), sizeof(E));
}

/// C [M,N], without gaps, is A·B (+ bias in each row) with an epilogue behind it; aux [M,N] as that says, or
/// null. False where this device is better off without: nothing was done then.
template <class E>
bool gemm_with(Context& context, Epilogue epilogue, E* c, E* aux, Operand<E> a, Operand<E> b, int64_t M,
               int64_t N, int64_t K, const E* bias) {
  Product product = detail::product_of<E>(N, a, b, M, N, K, bias != nullptr);
  product.epilogue = epilogue;
  return detail::multiply_with(context, product, c, a.data, b.data, bias, aux);
}

}  // namespace headlight::kernels::cuda
