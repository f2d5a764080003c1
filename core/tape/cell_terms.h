// How one cell of a buffer came about: the sum, quotient or function of named cells that its op computed.
// What the inspector's provenance shows; tested against the kernels for every op.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "core/tape/program.h"

namespace headlight {

/// One cell of one buffer.
struct CellRef {
  BufferId buffer = no_buffer;
  int64_t offset = 0;  ///< flat, row-major
  bool operator==(const CellRef&) const = default;
};

/// One term: a value made from a few source cells. The first factor is the cell that the hover lights up.
struct CellTerm {
  enum class Form {
    product,   ///< coefficient · Π factors
    function,  ///< another function of the factors, as CellTerms::formula says
  };
  std::vector<CellRef> factors;  ///< the cells it is made of
  double coefficient = 1.0;      ///< constant factor (1/√D, −1, 1/N, …)
  double value = 0.0;            ///< what it contributes
  Form form = Form::product;
};

/// The whole cell: result = combine(terms).
struct CellTerms {
  enum class Combine {
    sum,       ///< Σ terms + constant
    quotient,  ///< terms[0] / Σ terms: a softmax; terms[0] is the cell's own exponential
    root,      ///< √(Σ terms + constant)
  };
  Combine combine = Combine::sum;
  std::vector<CellTerm> terms;
  double constant = 0.0;  ///< added to the sum
  double shift = 0.0;     ///< what was taken off before exp (softmax's row maximum)
  double result = 0.0;    ///< the value recomputed from the terms, in double
  std::string formula;  ///< in symbols, with the op's letters: "A[i,j] = e^(s[i,j] − m) / Σ_k e^(s[i,k] − m)"
};

/// The value that terms, constant and `combine` give.
[[nodiscard]] double combine_terms(const CellTerms& cell);

}  // namespace headlight
