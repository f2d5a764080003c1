// See cell_terms.h.
#include "core/tape/cell_terms.h"

#include <cmath>

namespace headlight {

double combine_terms(const CellTerms& cell) {
  double sum = cell.constant;
  for (const CellTerm& term : cell.terms) sum += term.value;
  switch (cell.combine) {
    case CellTerms::Combine::sum:
      return sum;
    case CellTerms::Combine::quotient:
      return cell.terms.front().value / sum;
    case CellTerms::Combine::root:
      return std::sqrt(sum);
  }
  return sum;
}

}  // namespace headlight
