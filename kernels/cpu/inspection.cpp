// The CPU's table of kernels for looking.
#include "kernels/cpu/inspection.h"

namespace headlight::kernels::cpu {

namespace {

template <class E>
constexpr TypedInspection<E> typed() {
  return {
      .head_pictures = head_pictures<E>,
      .pattern_rows = pattern_rows<E>,
      .statistics = statistics<E>,
      .top_of_rows = top_of_rows<E>,
  };
}

}  // namespace

const InspectionKernels& inspection_kernels() {
  static constexpr InspectionKernels table = {
      .of_float = typed<float>(),
      .of_bfloat16 = typed<bfloat16>(),
      .of_float16 = typed<float16>(),
  };
  return table;
}

}  // namespace headlight::kernels::cpu
