// Builds CellTerms; every op's explain() uses it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/tape/cell_terms.h"
#include "core/tape/op.h"

namespace headlight::ops {

class TermList {
 public:
  TermList(const CellReader& run, std::string formula) : run_(run) { cell_.formula = std::move(formula); }

  [[nodiscard]] double read(const CellRef& cell) const { return run_.value(cell.buffer, cell.offset); }

  /// coefficient · Π factors
  void product(std::vector<CellRef> factors, double coefficient = 1.0) {
    double value = coefficient;
    for (const CellRef& factor : factors) value *= read(factor);
    cell_.terms.push_back({std::move(factors), coefficient, value, CellTerm::Form::product});
  }
  /// A value that is another function of the factors.
  void function(std::vector<CellRef> factors, double value) {
    cell_.terms.push_back({std::move(factors), 1.0, value, CellTerm::Form::function});
  }
  void constant(double value) { cell_.constant = value; }
  void shift(double value) { cell_.shift = value; }

  [[nodiscard]] CellTerms finish(CellTerms::Combine combine = CellTerms::Combine::sum) {
    cell_.combine = combine;
    cell_.result = combine_terms(cell_);
    return std::move(cell_);
  }

 private:
  const CellReader& run_;
  CellTerms cell_;
};

/// Throws the sentence for inputs that do not fit.
[[noreturn]] void shape_error(std::string_view op, std::span<const Shape* const> inputs,
                              std::string_view rule);

/// Rows of `targets` that the loss counts (target ≥ 0).
[[nodiscard]] int64_t counted_rows(const CellReader& run, BufferId targets);
/// The loss as the mean of `loss_rows` over the counted rows.
[[nodiscard]] CellTerms mean_loss_terms(const CellReader& run, BufferId targets, BufferId loss_rows);

}  // namespace headlight::ops
