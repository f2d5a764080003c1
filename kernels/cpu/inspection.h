// The kernels of inspection.h on the CPU, for every element type. Defined in inspection_heads.cpp,
// inspection_statistics.cpp and inspection_top.cpp.
#pragma once

#include "kernels/inspection.h"

namespace headlight::kernels::cpu {

template <class E>
void head_pictures(Context&, float* picture, float* range, const E* x, int64_t H, int64_t Tq, int64_t Tk);
template <class E>
void pattern_rows(Context&, PatternRow* rows, const E* p, const int32_t* copied, int64_t H, int64_t Tq,
                  int64_t Tk);
template <class E>
void statistics(Context&, ValueStatistics* result, uint64_t* histogram, const E* x, int64_t n, int bins);
template <class E>
void top_of_rows(Context&, float* values, int32_t* index, float* log_sum_exp, float* named, const E* x,
                 const int32_t* columns, int64_t R, int64_t V, int64_t k);

/// The table that the CPU backend hands out.
[[nodiscard]] const InspectionKernels& inspection_kernels();

}  // namespace headlight::kernels::cpu
