// Matrix products of the CPU backend. gemm() shares one product, or a batch of them, among the pool's
// threads; Panels and multiply() are its single-threaded parts, which fused attention uses on its own tiles.
#pragma once

#include <cstdint>

#include "kernels/cpu/context.h"

namespace headlight::kernels::cpu {

/// A matrix in memory: element (i, j) lies at data[i·row + j·column].
struct Operand {
  const float* data = nullptr;
  int64_t row = 0;
  int64_t column = 1;
};

/// Where the matrices of a batch lie: product (o, i) of outer × inner starts at o·outer + (i / shared)·inner,
/// so that `shared` products in a row read the same matrix.
struct Stride {
  int64_t outer = 0;
  int64_t inner = 0;
  int64_t shared = 1;
};
struct Batch {
  int64_t outer = 1;
  int64_t inner = 1;
  Stride a, b, c;
};

/// C = A·B (+ bias in each row), C [M,N] with rows c_row apart, A [M,K], B [K,N]. The old values of C are
/// never read. Not-a-number and infinity propagate. Tiles have a fixed shape: the bits do not depend on the
/// threads.
void gemm(CpuContext& context, float* c, int64_t c_row, Operand a, Operand b, int64_t M, int64_t N, int64_t K,
          const float* bias = nullptr, const Batch& batch = {});

/// y [N] = x [K]·B [K,N] (+ bias): gemm for one row, at the speed at which B can be read.
void gemv(CpuContext& context, float* y, const float* x, Operand b, int64_t N, int64_t K, const float* bias);

/// B [depth,columns] as pack_panels left it.
struct Panels {
  const float* data = nullptr;
  int64_t depth = 0;
  int64_t columns = 0;
};

/// Floats that pack_panels writes for B [K,N].
int64_t panel_floats(int64_t K, int64_t N);
/// Copies B [K,N] into panels of a few vectors of columns each, the last vector filled up with zeros.
Panels pack_panels(float* to, Operand b, int64_t K, int64_t N);

/// C [M,N] = A·B, or C += A·B where `accumulate`, on this thread, with the first K rows and N columns of what
/// was packed. A has a.row or a.column equal to 1. `bias` [N] or null is added once.
void multiply(float* c, int64_t c_row, Operand a, const Panels& b, int64_t M, int64_t N, int64_t K,
              bool accumulate, const float* bias = nullptr);

}  // namespace headlight::kernels::cpu
