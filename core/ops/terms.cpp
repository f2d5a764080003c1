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

}  // namespace headlight::ops
