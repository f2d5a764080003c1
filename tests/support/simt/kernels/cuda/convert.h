// Stands in for kernels/cuda/convert.h on the emulated device.
#pragma once

#include "kernels/element.h"

namespace headlight::kernels::cuda {

template <class E>
float wide(E value) {
  return to_float(value);
}
template <class E>
E narrow_to(float value) {
  return from_float<E>(value);
}

}  // namespace headlight::kernels::cuda
