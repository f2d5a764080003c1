// Inverted dropout with counter-based random numbers: whether an element is kept depends on seed, salt and
// index.
#include "kernels/cpu/context.h"
#include "kernels/cpu/cpu.h"
#include "kernels/random.h"

namespace headlight::kernels::cpu {

void dropout(Context& context, float* y, const float* x, float p, const uint64_t* seed, uint64_t salt,
             int64_t n) {
  const RandomKey key = random_key(*seed, salt);
  const float factor = 1.0F / (1.0F - p);
  // Chunks divide 2^32, so the upper half of the index is the same within one.
  static_assert((int64_t{1} << 32) % kMathChunk == 0);
  for_elements(context, n, kMathChunk, [&](int64_t begin, int64_t end) {
    const RandomKey here = shifted_key(key, static_cast<uint32_t>(begin >> 32));
    const auto first = static_cast<uint32_t>(begin);
    const auto count = static_cast<uint32_t>(end - begin);
    const float* from = x + begin;
    float* to = y + begin;
    for (uint32_t i = 0; i < count; ++i) {
      const float kept = from[i] * factor;
      to[i] = unit_float(random_bits(here, first + i)) >= p ? kept : 0.0F;
    }
  });
}

}  // namespace headlight::kernels::cpu
