// See op.h.
#include "core/tape/op.h"

#include "core/base/error.h"

namespace headlight {

void Op::backward(Differentiator&, const Step& step) const {
  fail("step \"{}\" ({}) has no gradient", step.name, kind());
}

}  // namespace headlight
