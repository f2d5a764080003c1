// See terms.h.
#include "core/ops/terms.h"

#include "core/base/error.h"

namespace headlight::ops {

void shape_error(std::string_view op, std::span<const Shape* const> inputs, std::string_view rule) {
  std::string given;
  for (const Shape* shape : inputs) given += (given.empty() ? "" : ", ") + (shape ? shape->text() : "none");
  fail("{} needs {}; it was given {}", op, rule, given);
}

int64_t counted_rows(const CellReader& run, BufferId targets) {
  const int64_t rows = run.program().buffer(targets).shape.count();
  int64_t counted = 0;
  for (int64_t r = 0; r < rows; ++r) counted += run.value(targets, r) >= 0 ? 1 : 0;
  return counted;
}

CellTerms mean_loss_terms(const CellReader& run, BufferId targets, BufferId loss_rows) {
  TermList terms(run, "loss = 1/N Σ_t loss[t]");
  const auto N = static_cast<double>(counted_rows(run, targets));
  const int64_t rows = run.program().buffer(targets).shape.count();
  for (int64_t r = 0; r < rows; ++r) {
    if (run.value(targets, r) >= 0) terms.product({{loss_rows, r}}, 1.0 / N);
  }
  return terms.finish();
}

}  // namespace headlight::ops
