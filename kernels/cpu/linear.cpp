// x·W + bias and its three gradients: matrix products, and a column sum for the bias.
#include "kernels/cpu/cpu.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/simd.h"

namespace headlight::kernels::cpu {

namespace {

// W as a matrix [in,out], whichever way it lies.
Operand weight(const float* w, int64_t in, int64_t out, WeightLayout layout) {
  return layout == WeightLayout::in_out ? Operand{w, out, 1} : Operand{w, 1, in};
}

Operand transposed(Operand m) { return {m.data, m.column, m.row}; }

}  // namespace

void linear_forward(Context& context, float* y, const float* x, const float* w, const float* bias, int64_t R,
                    int64_t in, int64_t out, WeightLayout layout) {
  gemm(on_cpu(context), y, out, {x, in, 1}, weight(w, in, out, layout), R, out, in, bias);
}

void linear_backward_input(Context& context, float* dx, const float* dy, const float* w, int64_t R,
                           int64_t in, int64_t out, WeightLayout layout) {
  gemm(on_cpu(context), dx, in, {dy, out, 1}, transposed(weight(w, in, out, layout)), R, in, out);
}

void linear_backward_weight(Context& context, float* dw, const float* dy, const float* x, int64_t R,
                            int64_t in, int64_t out, WeightLayout layout) {
  if (layout == WeightLayout::in_out) {
    gemm(on_cpu(context), dw, out, {x, 1, in}, {dy, out, 1}, in, out, R);
  } else {
    gemm(on_cpu(context), dw, in, {dy, 1, out}, {x, in, 1}, out, in, R);
  }
}

void linear_backward_bias(Context& context, float* db, const float* dy, int64_t R, int64_t out) {
  CpuContext& cpu = on_cpu(context);
  // Each chunk of rows leaves its sum; the sums are added in order.
  const int64_t rows = rows_in_chunk(out, kStreamChunk);
  const int64_t chunks = divide_up(R, rows);
  float* partial = chunks > 1 ? cpu.workspace(chunks * out) : db;
  if (R == 0) std::fill(db, db + out, 0.0F);
  cpu.pool.run(chunks, [&](int64_t chunk, int /*slot*/) {
    float* total = partial + chunk * out;
    const int64_t begin = chunk * rows;
    const int64_t end = std::min(R, begin + rows);
    std::copy(dy + begin * out, dy + (begin + 1) * out, total);
    for (int64_t r = begin + 1; r < end; ++r) {
      map(total, total, dy + r * out, out, [](Floats a, Floats b) { return a + b; });
    }
  });
  if (chunks <= 1) return;
  std::copy(partial, partial + out, db);
  for (int64_t chunk = 1; chunk < chunks; ++chunk) {
    map(db, db, partial + chunk * out, out, [](Floats a, Floats b) { return a + b; });
  }
}

}  // namespace headlight::kernels::cpu
